"""Plays a flight recording through the turn machine again, with other settings: what would have changed?

The user, the recogniser and the turn model behave as they were recorded: speech comes when it came, an answer is the
recorded one nearest to what is asked now, as long after the question as it took then. Replies are as long, and as
late, as the recorded ones were on average. What people would have said to a different assistant nobody knows.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from statistics import median
from typing import Any

from antiphon.turns import events as t
from antiphon.turns.machine import TurnMachine, UnexpectedEvent
from antiphon.turns.policy import TurnPolicy

FORMAT = "antiphon-flight-1"
USUAL_REPLY_LAG_S = 0.4
USUAL_REPLY_S = 4.0
"""For recordings in which no reply was heard."""

DECIDING = ("turn", "cancel", "resume", "drop", "discard")
"""Kinds of notes by which two flights are compared."""

_KINDS: dict[str, type[t.Event]] = {
    kind.__name__: kind
    for kind in (
        t.SpeechStarted,
        t.SpeechPaused,
        t.SpeechFaltered,
        t.EndOfTurnProbability,
        t.Transcript,
        t.RecognitionFailed,
        t.ReplyReady,
        t.Speaking,
        t.ReplyOver,
        t.Typed,
        t.Unheard,
        t.Commit,
        t.Interrupt,
        t.Tick,
    )
}


class NotAFlight(ValueError):
    """The file is not a flight recording; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A transcription that was asked for, and what came of it."""

    end: float
    latency: float
    text: str | None
    """None when it failed."""
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """A recording, ready to be replayed."""

    policy: TurnPolicy
    user: tuple[t.Event, ...]
    """What the user did: speech, typing, buttons."""
    judged: Mapping[float, tuple[float, float]]
    """Pause → (probability, seconds until it was known)."""
    asked: tuple[Asked, ...]
    reply_lag: float
    reply_length: float
    decisions: tuple[t.Note, ...]


def flight_from(data: object) -> Flight:
    """Read what ``FlightRecorder.to_json`` wrote. Raises ``NotAFlight``."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise NotAFlight(f"not a flight recording: its format should be {FORMAT!r}")
    try:
        signals = [_signal(entry) for entry in data["signals"]]
        notes = tuple(t.Note(**entry) for entry in data["decisions"])
        policy = TurnPolicy(**data["policy"])
        questions = {entry["request"]: entry for entry in data["asked"]}
    except (KeyError, TypeError) as error:
        raise NotAFlight(f"a damaged flight recording: {error}") from error
    paused = {event.since: event.at for event in signals if isinstance(event, t.SpeechPaused)}
    lag, length = _replies(signals)
    return Flight(
        policy=policy,
        user=tuple(
            event
            for event in signals
            if isinstance(
                event, t.SpeechStarted | t.SpeechPaused | t.SpeechFaltered | t.Typed | t.Commit | t.Interrupt
            )
        ),
        judged={
            event.pause: (event.probability, max(0.0, event.at - paused.get(event.pause, event.at)))
            for event in signals
            if isinstance(event, t.EndOfTurnProbability)
        },
        asked=tuple(_answers(signals, questions)),
        reply_lag=lag,
        reply_length=length,
        decisions=notes,
    )


def _signal(entry: Mapping[str, Any]) -> t.Event:
    kind = _KINDS[entry["event"]]
    return kind(**{item.name: entry[item.name] for item in fields(kind)})


def _answers(signals: Iterable[t.Event], questions: Mapping[int, Mapping[str, Any]]) -> Iterable[Asked]:
    for event in signals:
        if not isinstance(event, t.Transcript | t.RecognitionFailed):
            continue
        question = questions.get(event.request)
        if question is None:
            continue
        heard = isinstance(event, t.Transcript)
        yield Asked(
            end=question["end"],
            latency=max(0.0, event.at - question["at"]),
            text=event.text if isinstance(event, t.Transcript) else None,
            language=event.language if heard and isinstance(event, t.Transcript) else "",
        )


def _replies(signals: Sequence[t.Event]) -> tuple[float, float]:
    """(median seconds from the last words to the first sound, median seconds of sound)."""
    lags, lengths, words_at, ready_at = [], [], None, None
    for event in signals:
        match event:
            case t.Transcript() | t.Typed():
                words_at = event.at
            case t.ReplyReady():
                ready_at = event.at
                if words_at is not None:
                    lags.append(event.at - words_at)
            case t.ReplyOver() if ready_at is not None:
                lengths.append(event.at - ready_at)
                ready_at = None
            case _:
                pass
    return (median(lags) if lags else USUAL_REPLY_LAG_S, median(lengths) if lengths else USUAL_REPLY_S)


@dataclass(slots=True)
class _World:
    """Answers the machine as the recording says, in order of time."""

    flight: Flight
    machine: TurnMachine
    notes: list[t.Note] = field(default_factory=list)
    queue: list[tuple[float, int, t.Event]] = field(default_factory=list)
    count: int = 0
    wait: float | None = None
    started: dict[str, float] = field(default_factory=dict)

    def at(self, time: float, event: t.Event) -> None:
        self.count += 1
        heapq.heappush(self.queue, (time, self.count, event))

    def run(self) -> None:
        for event in self.flight.user:
            self.at(event.at, event)
        while self.queue or self.wait is not None:
            if self.wait is not None and (not self.queue or self.wait <= self.queue[0][0]):
                self.tell(t.Tick(at=self.wait))
            else:
                self.tell(heapq.heappop(self.queue)[2])

    def tell(self, event: t.Event) -> None:
        try:
            commands = self.machine.handle(event)
        except UnexpectedEvent:
            return  # the recording began or ended in the middle of something
        for command in commands:
            self.answer(command, self.machine.context.now)

    def answer(self, command: t.Command, now: float) -> None:
        match command:
            case t.WaitUntil(at=at):
                self.wait = at
            case t.Note():
                self.notes.append(command)
            case t.JudgeTurn(pause=pause):
                near = min(self.flight.judged, key=lambda known: abs(known - pause), default=None)
                if near is not None and abs(near - pause) < 0.2:
                    probability, latency = self.flight.judged[near]
                    when = now + latency
                    self.at(when, t.EndOfTurnProbability(pause=pause, probability=probability, at=when))
            case t.Transcribe(request=request, end=end):
                self.hear(request, end, now)
            case t.StartReply(reply=reply):
                self.started[reply] = now
                if not command.speculative:
                    self.sound(reply, now)
            case t.ReleaseReply(reply=reply):
                self.sound(reply, now)
            case _:
                pass

    def hear(self, request: int, end: float, now: float) -> None:
        near = min(self.flight.asked, key=lambda asked: abs(asked.end - end), default=None)
        if near is None or near.text is None:
            self.at(now, t.RecognitionFailed(request=request, at=now))
            return
        when = now + near.latency
        self.at(when, t.Transcript(request=request, text=near.text, language=near.language, at=when))

    def sound(self, reply: str, now: float) -> None:
        ready = max(now, self.started[reply] + self.flight.reply_lag)
        self.at(ready, t.ReplyReady(reply=reply, at=ready))
        over = ready + self.flight.reply_length
        self.at(over, t.ReplyOver(reply=reply, at=over))


def replay(flight: Flight, policy: TurnPolicy) -> tuple[t.Note, ...]:
    """The decisions that the machine takes with ``policy``."""
    world = _World(flight, TurnMachine(policy))
    world.run()
    return tuple(world.notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One deciding moment, then and now; None where there was none."""

    before: t.Note | None
    after: t.Note | None


def compare(
    before: Sequence[t.Note], after: Sequence[t.Note], *, within_s: float = 2.0
) -> tuple[Difference, ...]:
    """Pairs the deciding notes of two flights: same kind, nearest in time, at most ``within_s`` apart."""
    left = [note for note in before if note.kind in DECIDING]
    right = [note for note in after if note.kind in DECIDING]
    pairs: list[Difference] = []
    for note in left:
        near = min(
            (other for other in right if other.kind == note.kind and abs(other.at - note.at) <= within_s),
            key=lambda other: abs(other.at - note.at),
            default=None,
        )
        if near is not None:
            right.remove(near)
        pairs.append(Difference(before=note, after=near))
    pairs += [Difference(before=None, after=note) for note in right]
    return tuple(
        sorted(pairs, key=lambda pair: (pair.before or pair.after or t.Note(at=0, kind="", reason="")).at)
    )
