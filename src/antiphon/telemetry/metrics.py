"""Metrics: conversation events, folded into Prometheus' counters and histograms. A listener; it never waits.

Every metric is in docs/observability.md. A label never holds a session, an address or a user.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

from antiphon import __version__
from antiphon.conversation import events
from antiphon.conversation.listening import SessionFacts
from antiphon.telemetry.labels import Names
from antiphon.telemetry.latency_budget import FIRST_SOUND_EDGES_S, STAGE_EDGES_S
from antiphon.telemetry.pricing import MICRO, Price, free_or_unknown
from antiphon.telemetry.signs import Sign, sign, withdrawn
from antiphon.telemetry.sources import Sources, SourcesCollector
from antiphon.telemetry.tally import failed

CALL_EDGES_S = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SESSION_EDGES_S = (10.0, 30.0, 60.0, 180.0, 600.0, 1_800.0, 3_600.0)

TraceOf = Callable[[str], str]
"""Session → the hex id of its trace; empty while traces are off."""


M = TypeVar("M")


class _Series(Generic[M]):
    """The series of one metric by the values of its labels, each looked up once: the library's own look-up takes longer
    than the counting. As many as there are series, which ``Names`` bounds."""

    def __init__(self, look_up: Callable[..., M]) -> None:
        """``look_up``: the metric's ``labels``."""
        self._look_up = look_up
        self._known: dict[tuple[str, ...], M] = {}

    def __call__(self, *values: str) -> M:
        found = self._known.get(values)
        if found is None:
            found = self._known[values] = self._look_up(*values)
        return found


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


class Usage:
    """What was used since the start, by kind, as the JSON form tells it."""

    def __init__(self) -> None:
        self.asr_requests = self.llm_requests = self.tts_requests = 0
        self.audio_s = 0.0
        self.input_tokens = self.output_tokens = self.characters = 0
        self.micro = {"asr": 0, "llm": 0, "tts": 0}

    def add(self, call: events.ProviderCall, micro: int | None) -> None:
        """One more request; what came from our own cache was none."""
        if call.cached:
            return
        self.micro[call.kind] += micro or 0
        match call.kind:
            case "asr":
                self.asr_requests += 1
                self.audio_s += call.usage.audio_s
            case "llm":
                self.llm_requests += 1
                self.input_tokens += call.usage.input_tokens
                self.output_tokens += call.usage.output_tokens
            case "tts":
                self.tts_requests += 1
                self.characters += call.usage.characters

    def to_json(self) -> dict[str, object]:
        """``usage`` of the JSON form."""
        usd = {kind: micro / MICRO for kind, micro in self.micro.items()}
        return {
            "asr": {
                "requests": self.asr_requests,
                "audio_minutes": round(self.audio_s / 60, 4),
                "cost_usd": usd["asr"],
            },
            "llm": {
                "requests": self.llm_requests,
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "cost_usd": usd["llm"],
            },
            "tts": {"requests": self.tts_requests, "characters": self.characters, "cost_usd": usd["tts"]},
            "total_cost_usd": sum(self.micro.values()) / MICRO,
        }


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
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside every counter, which nothing here needs
        self.registry = CollectorRegistry()
        self.sources = sources or Sources()
        self.usage = Usage()
        self._price = price
        self._trace_of = trace_of
        self._now = now
        self._live: dict[str, _Session] = {}
        self._reasons, self._codes, self._models, self._stages = Names(), Names(), Names(), Names()
        self._define()
        if self.sources.sessions is None:
            self.sources.sessions = lambda: len(self._live)
        self.registry.register(SourcesCollector(self.sources))
        ProcessCollector(registry=self.registry)

    def _define(self) -> None:
        registry = self.registry

        def counter(name: str, text: str) -> Counter:
            return Counter(f"antiphon_{name}", text, registry=registry)

        def counters(name: str, text: str, *labels: str) -> _Series[Counter]:
            return _Series(Counter(f"antiphon_{name}", text, labels, registry=registry).labels)

        def histogram(name: str, text: str, edges: tuple[float, ...]) -> Histogram:
            return Histogram(f"antiphon_{name}", text, buckets=edges, registry=registry)

        def histograms(name: str, text: str, edges: tuple[float, ...], *labels: str) -> _Series[Histogram]:
            return _Series(
                Histogram(f"antiphon_{name}", text, labels, buckets=edges, registry=registry).labels
            )

        Info("antiphon_build", "What runs here.", registry=registry).info(
            {"version": __version__, "python": platform.python_version()}
        )
        self._opened = counters("sessions_opened", "Conversations that began.", "resumed")
        self._closed = counters("sessions_closed", "Conversations that ended.", "reason")
        self._refused = counters("sessions_refused", "Callers that were not let in.", "reason")
        self._session_s = histogram("session_seconds", "Length of a conversation.", SESSION_EDGES_S)
        self._turns = counters("turns", "Turns that were answered or failed.", "outcome")
        self._stage_s = histograms("turn_stage_seconds", "Time of a turn's stage.", STAGE_EDGES_S, "stage")
        self._first_s = histogram(
            "first_sound_seconds", "From the last word to the first sound sent.", FIRST_SOUND_EDGES_S
        )
        self._interruptions = counter("interruptions", "Replies that were cut short.")
        self._backchannels = counter("backchannels", 'An "uh-huh" over a reply, which went on.')
        self._noises = counter("overlap_noises", "Sounds over a reply that were no words; it went on.")
        self._echoes = counter("echoes", "Its own voice, heard through the microphone and ignored.")
        self._false_starts = counter("false_starts", "It answered too soon; the user went on.")
        self._dropped = counter("turns_dropped", "Turns without words for it, not answered.")
        self._speculations = counters("speculations", "Answers prepared before the turn was over.", "result")
        self._errors = counters("errors", "Errors told to callers.", "code")
        self._define_calls(counter, counters, histograms)
        self._by_sign = {
            Sign.KEPT: self._speculations("kept"),
            Sign.DISCARDED: self._speculations("discarded"),
            Sign.BACKCHANNEL: self._backchannels,
            Sign.NOISE: self._noises,
            Sign.ECHO: self._echoes,
            Sign.FALSE_START: self._false_starts,
            Sign.DROPPED: self._dropped,
        }

    def _define_calls(
        self,
        counter: Callable[..., Counter],
        counters: Callable[..., _Series[Counter]],
        histograms: Callable[..., _Series[Histogram]],
    ) -> None:
        who = ("kind", "provider", "model")
        self._calls = counters("provider_calls", "Requests to providers.", *who, "outcome")
        self._call_errors = counters("provider_errors", "Requests that failed, by cause.", *who, "cause")
        self._first_result_s = histograms(
            "provider_first_result_seconds", "From a request to its first result.", CALL_EDGES_S, *who
        )
        self._call_s = histograms("provider_call_seconds", "Length of a request.", CALL_EDGES_S, *who)
        self._audio_s = counters("provider_audio_seconds", "Sound sent to recognisers.", *who)
        self._tokens = counters("provider_tokens", "Tokens; `cached` are part of `input`.", *who, "direction")
        self._characters = counters("provider_characters", "Characters sent to voices.", *who)
        self._cost = counters("cost_usd", "What was spent, by the price book.", *who)
        self._wasted = counters("cost_discarded_usd", "The part spent on answers thrown away.", *who)
        self._unpriced = counters("unpriced_calls", "Requests whose price is not known.", *who)
        self._from_cache = counter("speech_cache_hits", "Sentences spoken from our own cache.")

    # ---- listening

    def opened(self, session: SessionFacts) -> None:
        """A conversation begins."""
        self._live[session.session_id] = _Session(began=self._now())
        self._opened("yes" if session.resumed else "no").inc()

    def told(self, session_id: str, event: events.Event) -> None:
        """Count it. Sound and pieces of text, nine in ten of all events, are let by at once."""
        kind = type(event)
        if kind is events.ReplyAudio or kind is events.ReplyText:
            return
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
        exemplar = {"trace_id": trace} if trace else None
        for stage, ms in event.latency_ms.items():
            if stage == "first_sound":
                self._first_s.observe(ms / 1000, exemplar)
            else:
                self._stage_s(self._stages(stage)).observe(ms / 1000, exemplar)
        for call in event.calls:
            if call.discarded and (micro := self._price(call)):
                self._wasted(*self._who(call)).inc(micro / MICRO)

    def _who(self, call: events.ProviderCall) -> tuple[str, str, str]:
        provider, _, model = self._models(call.provider).partition(":")
        return call.kind, provider, model

    def _called(self, call: events.ProviderCall) -> None:
        if call.cached:
            self._from_cache.inc()
            return
        who = self._who(call)
        micro = self._price(call)
        self.usage.add(call, micro)
        outcome = "failed" if failed(call) else "cancelled" if call.cancelled else "ok"
        self._calls(*who, outcome).inc()
        if outcome == "failed":
            self._call_errors(*who, self._codes(call.outcome)).inc()
        if call.first_ms is not None:
            self._first_result_s(*who).observe(call.first_ms / 1000)
        if call.total_ms:
            self._call_s(*who).observe(call.total_ms / 1000)
        self._consumed(call, who)
        # A price of nothing is a price: the series is there, at 0.
        self._cost(*who).inc((micro or 0) / MICRO)
        if micro is None:
            self._unpriced(*who).inc()

    def _consumed(self, call: events.ProviderCall, who: tuple[str, str, str]) -> None:
        usage = call.usage
        match call.kind:
            case "asr":
                self._audio_s(*who).inc(usage.audio_s)
            case "llm":
                self._tokens(*who, "input").inc(usage.input_tokens)
                self._tokens(*who, "cached").inc(usage.cached_tokens)
                self._tokens(*who, "output").inc(usage.output_tokens)
            case "tts":
                self._characters(*who).inc(usage.characters)

    # ---- telling

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
