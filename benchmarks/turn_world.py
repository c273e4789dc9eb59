"""Plays a recording to the turn machine, and to simpler ways of ending a turn, in simulated time.

The models hear the sound for real; what they would have taken is added from measurements, so that the figures
do not depend on the machine that runs this or on what else it does.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from antiphon.providers.base import SPEECH_RATE, VOICE_FRAME, Recognizer, TurnModel, VoiceDetector
from antiphon.turns import events as t
from antiphon.turns.machine import TurnMachine
from antiphon.turns.policy import TurnPolicy
from antiphon.turns.speech import SpeechGate

RECOGNITION_S = 0.2
"""Of a turn, whisper-base on two cores (docs/benchmarks.md)."""
JUDGEMENT_S = 0.04
"""smart-turn on one core."""
REPLY_LAG_S = 0.4
"""From a turn's words to the first sound of its reply, profile ``fast``."""
REPLY_S = 4.0

SMART_TURN_PAUSE_S = 0.2
"""Silence after which smart-turn alone is asked, as Pipecat does."""
SMART_TURN_CAP_S = 3.0
"""Silence after which it is not asked any more: Pipecat's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A moment at which a contender took the turn as over."""

    at: float
    sounds_at: float | None = None
    """When its answer began to sound; None when it was taken back before, or the contender only ends
    turns."""
    reason: str = ""


class Hearing:
    """One recording with what the models make of it; everything is asked once."""

    def __init__(
        self, pcm: bytes, *, detector: VoiceDetector, turn_model: TurnModel, recognizer: Recognizer | None
    ) -> None:
        self.pcm = pcm
        self._detector = detector
        self._turn_model = turn_model
        self._recognizer = recognizer
        self._judged: dict[tuple[float, float], float] = {}
        self._heard: dict[tuple[float, float], tuple[str, str]] = {}

    @property
    def duration_s(self) -> float:
        return len(self.pcm) / 2 / SPEECH_RATE

    async def speech(self) -> list[t.SpeechStarted | t.SpeechFaltered | t.SpeechPaused]:
        """When speech began, faltered and paused, by the detector."""
        size = 2 * VOICE_FRAME
        whole = self.pcm[: len(self.pcm) // size * size]
        gate = SpeechGate()
        return [event for p in await self._detector.open().detect(whole) for event in gate.push(p)]

    async def judge(self, start: float, end: float) -> float:
        """The turn model's probability for a stretch."""
        key = (round(start, 3), round(end, 3))
        if key not in self._judged:
            self._judged[key] = await self._turn_model.end_of_turn(self._cut(start, end))
        return self._judged[key]

    async def words(self, start: float, end: float) -> tuple[str, str]:
        """Text and language of a stretch."""
        assert self._recognizer is not None
        key = (round(start, 3), round(end, 3))
        if key not in self._heard:
            async with self._recognizer.open(language="en") as stream:
                await stream.send(self._cut(start, end))
                await stream.finish()
                async for transcript in stream:
                    if transcript.final:
                        self._heard[key] = (transcript.text, transcript.language)
        return self._heard[key]

    def _cut(self, start: float, end: float) -> bytes:
        return self.pcm[2 * int(max(start, 0.0) * SPEECH_RATE) : 2 * int(end * SPEECH_RATE)]


Contender = Callable[[Hearing], Awaitable[Sequence[Ending]]]


def plain_silence(seconds: float) -> Contender:
    """A turn is over after so much silence."""

    async def endings(hearing: Hearing) -> list[Ending]:
        return [
            Ending(at=since + seconds, sounds_at=since + seconds, reason="silence")
            for since, until in await _pauses(hearing)
            if until - since >= seconds
        ]

    return endings


def turn_model_alone(threshold: float = 0.5) -> Contender:
    """The turn model is asked once in each pause; what it does not end, a long silence does."""

    async def endings(hearing: Hearing) -> list[Ending]:
        found, start = [], 0.0
        for since, until in await _pauses(hearing):
            asked = since + SMART_TURN_PAUSE_S
            if until < asked:
                continue
            sure = await hearing.judge(start, asked) > threshold
            at = asked + JUDGEMENT_S if sure else since + SMART_TURN_CAP_S
            if at <= until:
                found.append(Ending(at=at, sounds_at=at, reason="turn model" if sure else "silence"))
                start = until
        return found

    return endings


async def _pauses(hearing: Hearing) -> list[tuple[float, float]]:
    """(silent since, until), the last one until the end of the recording."""
    events = [event for event in await hearing.speech() if not isinstance(event, t.SpeechFaltered)]
    pauses = []
    for place, event in enumerate(events):
        if isinstance(event, t.SpeechPaused):
            after = events[place + 1 :]
            pauses.append((event.since, after[0].at if after else hearing.duration_s))
    return pauses


def turn_machine(policy: TurnPolicy) -> Contender:
    """Antiphon."""

    async def endings(hearing: Hearing) -> list[Ending]:
        world = _World(hearing, TurnMachine(policy))
        await world.run()
        return world.endings

    return endings


@dataclass(slots=True)
class _World:
    """Answers the machine's commands with what the models say, in order of time."""

    hearing: Hearing
    machine: TurnMachine
    endings: list[Ending] = field(default_factory=list)
    queue: list[tuple[float, int, t.Event]] = field(default_factory=list)
    count: int = 0
    wait: float | None = None
    begun: dict[str, float] = field(default_factory=dict)
    """Reply → when it could first sound."""
    reason: str = ""

    def at(self, time: float, event: t.Event) -> None:
        self.count += 1
        heapq.heappush(self.queue, (time, self.count, event))

    async def run(self) -> None:
        for event in await self.hearing.speech():
            self.at(event.at, event)
        while self.queue or self.wait is not None:
            if self.wait is not None and (not self.queue or self.wait <= self.queue[0][0]):
                await self.tell(t.Tick(at=self.wait))
            else:
                await self.tell(heapq.heappop(self.queue)[2])

    async def tell(self, event: t.Event) -> None:
        if isinstance(event, t.ReplyReady):
            self._sounds(event)
        if isinstance(event, t.ReplyOver) and not self._is_under_way(event.reply):
            return
        for command in self.machine.handle(event):
            await self.answer(command, self.machine.context.now)

    async def answer(self, command: t.Command, now: float) -> None:
        match command:
            case t.WaitUntil(at=at):
                self.wait = at
            case t.Note(kind="turn", reason=reason):
                self.reason = reason
            case t.JudgeTurn(start=start, pause=pause):
                p = await self.hearing.judge(start, now)
                self._later(
                    now, JUDGEMENT_S, lambda at: t.EndOfTurnProbability(pause=pause, probability=p, at=at)
                )
            case t.Transcribe(request=request, start=start, end=end):
                text, language = await self.hearing.words(start, min(end, self.hearing.duration_s))
                self._later(
                    max(now, end),
                    RECOGNITION_S,
                    lambda at: t.Transcript(request=request, text=text, language=language, at=at),
                )
            case t.StartReply(reply=reply, speculative=speculative):
                self.begun[reply] = now + REPLY_LAG_S
                if not speculative:
                    self._release(reply, now)
            case t.ReleaseReply(reply=reply):
                self._release(reply, now)
            case _:
                pass

    def _later(self, now: float, seconds: float, event: Callable[[float], t.Event]) -> None:
        self.at(now + seconds, event(now + seconds))

    def _release(self, reply: str, now: float) -> None:
        self.endings.append(Ending(at=now, reason=self.reason))
        ready = max(now, self.begun[reply])
        self.at(ready, t.ReplyReady(reply=reply, at=ready))
        self.at(ready + REPLY_S, t.ReplyOver(reply=reply, at=ready + REPLY_S))

    def _is_under_way(self, reply: str) -> bool:
        return self.machine.context.reply is not None and self.machine.context.reply.id == reply

    def _sounds(self, event: t.ReplyReady) -> None:
        """The newest ending is answered aloud, unless it was taken back."""
        if self._is_under_way(event.reply):
            last = self.endings[-1]
            self.endings[-1] = Ending(at=last.at, sounds_at=event.at, reason=last.reason)
