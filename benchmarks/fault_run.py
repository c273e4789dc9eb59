"""Callers who talk to the engine while its providers fail: what each turn came to.

Works on any loop, so that the same callers serve the benchmark (real sockets, real time) and a test (virtual time).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from antiphon.audio.coded_speech import silence, speech_sound
from antiphon.conversation import events
from antiphon.conversation.apology import APOLOGIES
from antiphon.conversation.config import ConversationConfig, Providers
from antiphon.conversation.conversation import Conversation

FRAME_S = 0.02
RATE_IN, RATE_OUT = 16_000, 24_000
SPEECH_S = 1.0
"""How long a caller talks."""
PAUSE_S = 0.4
"""Between the end of a reply and the next turn."""
PATIENCE_S = 15.0
"""Then a turn is taken to have been lost."""


@dataclass(slots=True, kw_only=True)
class Turn:
    """One question, and what came of it."""

    said_until: float
    """Loop time at which the caller had said it."""
    first_sound: float | None = None
    silence_s: float = 0.0
    """Longest time without sound from the end of the question to the end of the answer."""
    text: str = ""
    over: bool = False
    error: str = ""
    calls: tuple[events.ProviderCall, ...] = ()

    @property
    def apologised(self) -> bool:
        return self.text.strip() in APOLOGIES.values()

    @property
    def answered(self) -> bool:
        """By a provider, to the end, aloud."""
        return self.over and not self.error and self.first_sound is not None and not self.apologised

    @property
    def providers(self) -> set[str]:
        """Who took part in what was heard."""
        return {call.provider for call in self.calls if call.outcome == "ok" and not call.discarded}


@dataclass(slots=True)
class Caller:
    """Says a question, listens to the answer, says the next."""

    name: str
    providers: Providers
    questions: Sequence[str]
    turns: list[Turn] = field(default_factory=list)
    ended_well: bool = False
    """Whether the session lasted to the end."""
    _heard_until: float = 0.0
    """Loop time at which the sound that has come will have been played."""
    _played_from: float = 0.0
    _reply: str = ""
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self) -> None:
        """All of the questions, in a session of their own."""
        conversation = Conversation(
            session_id=self.name,
            providers=self.providers,
            config=ConversationConfig(output_rate=RATE_OUT, language="en"),
            emit=self._take,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(conversation.run())
            microphone = group.create_task(self._microphone(conversation))
            for question in self.questions:
                await self._ask(question)
            self.ended_well = not running.done()
            microphone.cancel()
            conversation.close()

    async def _ask(self, question: str) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(PAUSE_S)
        self._over.clear()
        self._saying = bytearray(speech_sound(question, SPEECH_S, rate=RATE_IN))
        turn = Turn(said_until=loop.time() + SPEECH_S)
        self._heard_until = turn.said_until
        self.turns.append(turn)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._over.wait()
                await asyncio.sleep(max(self._heard_until - loop.time(), 0.0))
        except TimeoutError:
            turn.silence_s = PATIENCE_S

    _saying: bytearray = field(default_factory=bytearray)

    async def _microphone(self, conversation: Conversation) -> None:
        """Real time: a packet every 20 ms, silence when nothing is said."""
        loop = asyncio.get_running_loop()
        size = 2 * round(FRAME_S * RATE_IN)
        began, number = loop.time(), 0
        while True:
            number += 1
            await asyncio.sleep(max(began + number * FRAME_S - loop.time(), 0.0))
            packet = bytes(self._saying[:size])
            del self._saying[:size]
            conversation.hear(packet or silence(FRAME_S, rate=RATE_IN))
            if self._reply and number % 5 == 0:
                self._report(conversation, loop.time())

    def _report(self, conversation: Conversation, now: float) -> None:
        conversation.played(
            self._reply, round(max(min(now, self._heard_until) - self._played_from, 0.0) * 1000)
        )

    async def _take(self, event: events.Event) -> None:
        if not self.turns:
            return
        turn, now = self.turns[-1], asyncio.get_running_loop().time()
        match event:
            case events.AudioStarted():
                self._reply, self._played_from = event.reply_id, now
                turn.first_sound = turn.first_sound or now
            case events.ReplyAudio():
                if now > self._heard_until:
                    turn.silence_s = max(turn.silence_s, now - self._heard_until)
                    self._played_from += now - max(self._heard_until, self._played_from)
                    self._heard_until = now
                self._heard_until += len(event.pcm) / 2 / RATE_OUT
            case events.ReplyDone():
                turn.text, turn.error, turn.calls = event.text, event.error, event.calls
                turn.over = True
                self._over.set()
            case _:
                pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All turns together."""

    turns: list[Turn]
    sessions: int
    lost: int
    """Sessions that did not last to their end, or raised."""

    @property
    def answered(self) -> float:
        """Share, 0-1."""
        return sum(turn.answered for turn in self.turns) / max(len(self.turns), 1)

    @property
    def longest_silence_s(self) -> float:
        return max((turn.silence_s for turn in self.turns), default=0.0)

    def silent_for_more_than(self, seconds: float) -> int:
        return sum(turn.silence_s > seconds for turn in self.turns)

    def first_sounds_ms(self) -> list[float]:
        """From the end of the question."""
        return [
            (turn.first_sound - turn.said_until) * 1000 for turn in self.turns if turn.first_sound is not None
        ]


async def hold_calls(providers: Providers, *, sessions: int, turns: int) -> Outcome:
    """``turns`` questions, shared out among ``sessions`` callers who talk at the same time."""
    callers = [
        Caller(
            f"s{number}",
            providers,
            [f"please tell me about number {turn}" for turn in range(number, turns, sessions)],
        )
        for number in range(sessions)
    ]
    async with asyncio.TaskGroup() as group:
        for number, caller in enumerate(callers):
            group.create_task(_later(caller, 0.13 * number))
    return Outcome(
        turns=[turn for caller in callers for turn in caller.turns],
        sessions=sessions,
        lost=sum(not caller.ended_well for caller in callers),
    )


async def _later(caller: Caller, wait_s: float) -> None:
    await asyncio.sleep(wait_s)
    try:
        await caller.call()
    except Exception as failure:  # noqa: BLE001 - the edge: a session that breaks is a figure of the run, not its end
        caller.ended_well = False
        traceback.print_exception(failure)
