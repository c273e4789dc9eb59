"""Metrics: conversation events, folded into Prometheus' counters and histograms. A listener; it never waits.

Every metric is in docs/observability.md. A label never holds a session, an address or a user.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

from antiphon import __version__
from antiphon.conversation import events
from antiphon.conversation.listening import SessionFacts
from antiphon.telemetry.asked import AskedCollector, Usage
from antiphon.telemetry.labels import Names
from antiphon.telemetry.latency_budget import FIRST_SOUND_EDGES_S, STAGE_EDGES_S
from antiphon.telemetry.pricing import Price, free_or_unknown
from antiphon.telemetry.series import SeriesCollector
from antiphon.telemetry.signs import Sign, sign, withdrawn
from antiphon.telemetry.sources import Sources, SourcesCollector

SESSION_EDGES_S = (10.0, 30.0, 60.0, 180.0, 600.0, 1_800.0, 3_600.0)

TraceOf = Callable[[str], str]
"""Session → the hex id of its trace; empty while traces are off."""


@dataclass(slots=True)
class _Session:
    began: float
    messages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionNow:
    """A live session, as ``/metrics`` tells operators of it."""

    id: str
    seconds: float
    messages: int
    """Turns taken and replies given."""


class Metrics:
    """A ``Listener``. Its registry is its own: two servers in one process do not mix."""

    def __init__(
        self,
        *,
        price: Price = free_or_unknown,
        trace_of: TraceOf = lambda _: "",
        sources: Sources | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = CollectorRegistry()
        self.sources = sources or Sources()
        self._asked = AskedCollector()
        self._price = price
        self._trace_of = trace_of
        self._now = now
        self._live: dict[str, _Session] = {}
        self._reasons, self._codes, self._stages = Names(), Names(), Names()
        self._define()
        if self.sources.sessions is None:
            self.sources.sessions = lambda: len(self._live)
        self.registry.register(SourcesCollector(self.sources))
        ProcessCollector(registry=self.registry)

    def _define(self) -> None:
        Info("antiphon_build", "What runs here.", registry=self.registry).info(
            {"version": __version__, "python": platform.python_version()}
        )
        series = SeriesCollector("antiphon_")
        self.registry.register(series)
        self.registry.register(self._asked)
        self._opened = series.counters("sessions_opened", "Conversations that began.", "resumed")
        self._closed = series.counters("sessions_closed", "Conversations that ended.", "reason")
        self._refused = series.counters("sessions_refused", "Callers that were not let in.", "reason")
        self._session_s = series.histogram("session_seconds", "Length of a conversation.", SESSION_EDGES_S)
        self._turns = series.counters("turns", "Turns that were answered or failed.", "outcome")
        self._stage_s = series.histograms(
            "turn_stage_seconds", "Time of a turn's stage.", STAGE_EDGES_S, "stage"
        )
        self._first_s = series.histogram(
            "first_sound_seconds", "From the last word to the first sound sent.", FIRST_SOUND_EDGES_S
        )
        self._interruptions = series.counter("interruptions", "Replies that were cut short.")
        self._backchannels = series.counter("backchannels", 'An "uh-huh" over a reply, which went on.')
        self._noises = series.counter("overlap_noises", "Sounds over a reply that were no words; it went on.")
        self._echoes = series.counter("echoes", "Its own voice, heard through the microphone and ignored.")
        self._false_starts = series.counter("false_starts", "It answered too soon; the user went on.")
        self._dropped = series.counter("turns_dropped", "Turns without words for it, not answered.")
        self._speculations = series.counters(
            "speculations", "Answers prepared before the turn was over.", "result"
        )
        self._errors = series.counters("errors", "Errors told to callers.", "code")
        self._from_cache = series.counter("speech_cache_hits", "Sentences spoken from our own cache.")
        self._by_sign = {
            Sign.KEPT: self._speculations("kept"),
            Sign.DISCARDED: self._speculations("discarded"),
            Sign.BACKCHANNEL: self._backchannels,
            Sign.NOISE: self._noises,
            Sign.ECHO: self._echoes,
            Sign.FALSE_START: self._false_starts,
            Sign.DROPPED: self._dropped,
        }

    # ---- listening

    def opened(self, session: SessionFacts) -> None:
        """A conversation begins."""
        self._live[session.session_id] = _Session(began=self._now())
        self._opened("yes" if session.resumed else "no").inc()

    def told(self, session_id: str, event: events.Event) -> None:
        """Count it."""
        match event:
            case events.Decision():
                if (found := sign(event)) is not None:
                    self._by_sign[found].inc()
            case events.ProviderCall():
                self._called(event)
            case events.ReplyDone():
                self._reply_done(session_id, event)
            case events.Interrupted() if event.heard_ms:
                self._interruptions.inc()
            case events.TranscriptChanged(final=True):
                self._message(session_id, bool(event.text))
            case events.Failed():
                self._errors(self._codes(event.code)).inc()
            case _:
                pass

    def closed(self, session_id: str, reason: str) -> None:
        """It is over."""
        session = self._live.pop(session_id, None)
        if session is not None:
            self._session_s.observe(self._now() - session.began)
            self._closed(self._reasons(reason)).inc()

    def refused(self, reason: str) -> None:
        """A caller was not let in."""
        self._refused(self._reasons(reason)).inc()

    def _message(self, session_id: str, counts: bool) -> None:
        session = self._live.get(session_id)
        if session is not None and counts:
            session.messages += 1

    def _reply_done(self, session_id: str, event: events.ReplyDone) -> None:
        self._message(session_id, bool(event.text))
        if not withdrawn(event):
            outcome = "failed" if event.error else "interrupted" if event.interrupted else "answered"
            self._turns(outcome).inc()
        trace = self._trace_of(session_id)
        for stage, ms in event.latency_ms.items():
            if stage == "first_sound":
                self._first_s.observe(ms / 1000, trace)
            else:
                self._stage_s(self._stages(stage)).observe(ms / 1000, trace)
        for call in event.calls:
            if call.discarded and (micro := self._price(call)):
                self._asked.waste(call, micro)

    def _called(self, call: events.ProviderCall) -> None:
        if call.cached:
            self._from_cache.inc()
        else:
            self._asked.add(call, self._price(call))

    # ---- telling

    @property
    def usage(self) -> Usage:
        """What was used since the start."""
        return self._asked.usage

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The metrics in the form that the ``Accept`` header asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def sessions_now(self) -> tuple[SessionNow, ...]:
        """Live sessions, oldest first; ids whole."""
        now = self._now()
        return tuple(
            SessionNow(id=name, seconds=now - session.began, messages=session.messages)
            for name, session in self._live.items()
        )

    def to_json(self, *, with_sessions: bool) -> dict[str, object]:
        """The JSON form. The list of sessions is for operators only."""
        listed = [
            {"id": short_id(s.id), "duration_seconds": round(s.seconds, 1), "messages": s.messages}
            for s in (self.sessions_now() if with_sessions else ())
        ]
        sources = self.sources
        return {
            "usage": self.usage.to_json(),
            "sessions": {
                "active_sessions": sources.sessions() if sources.sessions else len(self._live),
                "max_sessions": sources.max_sessions(),
                "sessions": listed,
            },
        }


SHORT_ID = 6
"""Letters of a session's id that operators are shown: enough to point at one, also to end it, too few to be of use
elsewhere."""


def short_id(session_id: str) -> str:
    """``k3Jx0a``"""
    return session_id[:SHORT_ID]
