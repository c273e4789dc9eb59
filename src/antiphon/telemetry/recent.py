"""What happened of late: the last turns one by one, the last day minute by minute. A listener; it never waits.

The operator page and ``antiphon report`` are made from it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from antiphon.conversation import events
from antiphon.conversation.listening import SessionFacts
from antiphon.telemetry.metrics import TraceOf, short_id
from antiphon.telemetry.minutes import Minutes
from antiphon.telemetry.pricing import MICRO, Price, free_or_unknown
from antiphon.telemetry.signs import sign
from antiphon.telemetry.tally import failed, wasted_micro

KEEP_TURNS = 200
"""What somebody looks through by hand. 1 KB each, some 3 KB with their words."""

KEEP_ERRORS = 50
LONGEST_WORDS = 2_000
"""Characters kept of a turn's question and answer each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentTurn:
    """One turn that is over."""

    ended_s: float
    """Since 1970."""
    session: str
    """Its id, shortened."""
    turn_id: str
    latency_ms: dict[str, float]
    stages: tuple[events.Stage, ...]
    providers: dict[str, str]
    """asr, llm, tts → ``provider:model``."""
    cost_usd: float | None
    """None when a price is not known."""
    interrupted: bool
    error: str
    trace_id: str
    asked: str = ""
    """What was said; empty unless the operator turned transcripts on."""
    answered: str = ""

    def row(self) -> dict[str, Any]:
        """As operators are told it."""
        # Not ``asdict``, which copies all there is: 200 turns would take the loop that sends the sound 10 ms.
        told = {name: getattr(self, name) for name in self.__slots__}
        return {
            **told,
            "stages": [{name: getattr(stage, name) for name in stage.__slots__} for stage in self.stages],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentError:
    """A provider call that failed, or an error that a caller was told."""

    at_s: float
    """Since 1970."""
    what: str
    """``provider:model``, or empty when it was not a provider's."""
    kind: str
    """``asr``, ``llm``, ``tts``; empty when it was not a provider's."""
    cause: str


@dataclass(slots=True)
class _Session:
    began_s: float
    asked: dict[str, str]
    """Turn → words; the last few, and only with transcripts on."""


class Recent:
    """A ``Listener``."""

    def __init__(
        self,
        *,
        price: Price = free_or_unknown,
        trace_of: TraceOf = lambda _: "",
        transcripts: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.minutes = Minutes()
        self.turns: deque[RecentTurn] = deque(maxlen=KEEP_TURNS)
        """Oldest first."""
        self.errors: deque[RecentError] = deque(maxlen=KEEP_ERRORS)
        self.transcripts = transcripts
        self._price = price
        self._trace_of = trace_of
        self._now = now
        self._live: dict[str, _Session] = {}

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._now()

    def opened(self, session: SessionFacts) -> None:
        """A conversation begins."""
        self._live[session.session_id] = _Session(began_s=self._now(), asked={})
        self.minutes.at(self._now()).sessions += not session.resumed
        self.sample()

    def told(self, session_id: str, event: events.Event) -> None:
        """Count it, and remember turns and errors."""
        match event:
            case events.Decision():
                if (found := sign(event)) is not None:
                    self.minutes.at(self._now()).signs[found] += 1
            case events.ProviderCall():
                self._called(event)
            case events.ReplyDone():
                self._reply_done(session_id, event)
            case events.TranscriptChanged(final=True) if self.transcripts:
                self._asked(session_id, event)
            case events.Failed():
                self._failed("", "", event.code)
            case _:
                pass

    def sample(self) -> None:
        """Conversations go on in this minute too, though nothing may happen in them."""
        if self._live:
            tally = self.minutes.at(self._now())
            tally.most_sessions = max(tally.most_sessions, len(self._live))

    def closed(self, session_id: str, reason: str) -> None:
        """It is over."""
        self._live.pop(session_id, None)

    def refused(self, reason: str) -> None:
        """A caller was not let in."""
        self.minutes.at(self._now()).refused[reason] += 1

    def _called(self, call: events.ProviderCall) -> None:
        self.minutes.at(self._now()).provider(call.kind, call.provider).add(call, self._price(call))
        if failed(call):
            self._failed(call.provider, call.kind, call.outcome)

    def _asked(self, session_id: str, event: events.TranscriptChanged) -> None:
        session = self._live.get(session_id)
        if session is not None:
            session.asked[event.turn_id] = event.text[:LONGEST_WORDS]
            while len(session.asked) > KEEP_ASKED:
                del session.asked[next(iter(session.asked))]

    def _failed(self, provider: str, kind: str, cause: str) -> None:
        self.errors.append(RecentError(at_s=self._now(), what=provider, kind=kind, cause=cause))

    def _reply_done(self, session_id: str, event: events.ReplyDone) -> None:
        now = self._now()
        priced = [(call, self._price(call)) for call in event.calls]
        self.minutes.at(now).reply_done(event, wasted_micro(priced))
        known = [micro for _, micro in priced if micro is not None]
        turn = RecentTurn(
            ended_s=now,
            session=short_id(session_id),
            turn_id=event.turn_id,
            latency_ms=dict(event.latency_ms),
            stages=event.stages,
            providers={call.kind: call.provider for call in event.calls},
            cost_usd=sum(known) / MICRO if len(known) == len(priced) else None,
            interrupted=event.interrupted,
            error=event.error,
            trace_id=self._trace_of(session_id),
        )
        self.turns.append(self._with_words(turn, session_id, event) if self.transcripts else turn)

    def _with_words(self, turn: RecentTurn, session_id: str, event: events.ReplyDone) -> RecentTurn:
        session = self._live.get(session_id)
        asked = session.asked.get(event.turn_id, "") if session is not None else ""
        return replace(turn, asked=asked, answered=event.text[:LONGEST_WORDS])


KEEP_ASKED = 8
"""Questions of a session whose answer may still end: one or two."""
