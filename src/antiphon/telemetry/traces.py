"""Traces: one a session, a span a turn, one a stage, one a provider call. OpenTelemetry, off unless it is set.

A turn's spans are made when it is over, from the times it was measured with: nothing is traced while someone waits.
Provider calls follow OpenTelemetry's conventions for generative AI (``gen_ai.*``); what those do not know is
``voice.*``. What was said is put in only when the operator turned transcripts on.

The most tokens and the temperature that a reply may have (``gen_ai.request.*``) are not there: they are settings, the
same for every call, and an adapter sends what its model takes of them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from antiphon.conversation import events
from antiphon.conversation.listening import SessionFacts
from antiphon.telemetry.pricing import MICRO, Price, free_or_unknown
from antiphon.telemetry.tally import failed

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

KEEP_CALLS = 200
"""Calls of a session that wait for their turn's span; a turn makes three to ten."""

NS = 1_000_000_000

OPERATIONS = {"asr": "transcribe", "llm": "chat", "tts": "speak"}
"""Kind of call → ``gen_ai.operation.name``. The conventions list ``chat``, and nothing for speech: there a name of
one's own is right."""

FINISH_REASONS = {"tool_calls": "tool_call", "filtered": "content_filter"}
"""``base.Finished`` → the names that the conventions list; ``stop`` and ``length`` are theirs already."""

Attribute = str | float | int | bool | Sequence[str]
Attributes = Mapping[str, Attribute]


@dataclass(slots=True)
class _Session:
    id: str
    span: Span
    trace_id: str
    asked: dict[str, str] = field(default_factory=dict)
    first_sound_s: dict[str, float] = field(default_factory=dict)
    """Reply → when its first sound was sent, seconds since 1970."""
    calls: deque[tuple[float, events.ProviderCall]] = field(default_factory=lambda: deque(maxlen=KEEP_CALLS))
    """(when it ended, the call)."""


class Traces:
    """A ``Listener``. ``tracer`` is OpenTelemetry's; what becomes of its spans is the exporter's business."""

    def __init__(
        self,
        tracer: Tracer,
        *,
        price: Price = free_or_unknown,
        transcripts: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        from opentelemetry import trace

        self._api = trace
        self._tracer = tracer
        self._price = price
        self._transcripts = transcripts
        self._now = now
        self._live: dict[str, _Session] = {}

    def trace_id(self, session_id: str) -> str:
        """Hex id of the session's trace; empty when there is none, or it is not sampled."""
        session = self._live.get(session_id)
        return session.trace_id if session is not None else ""

    # ---- listening

    def opened(self, session: SessionFacts) -> None:
        """A conversation begins: its trace does."""
        span = self._tracer.start_span(
            "voice.session",
            # A trace of its own, whatever request is being served.
            context=self._api.set_span_in_context(self._api.INVALID_SPAN),
            kind=self._api.SpanKind.SERVER,
            start_time=_ns(self._now()),
            attributes={
                "voice.session.id": session.session_id,
                "gen_ai.conversation.id": session.session_id,
                "voice.session.resumed": session.resumed,
            },
        )
        found = span.get_span_context()
        trace_id = self._api.format_trace_id(found.trace_id) if found.trace_flags.sampled else ""
        self._live[session.session_id] = _Session(id=session.session_id, span=span, trace_id=trace_id)

    def told(self, session_id: str, event: events.Event) -> None:
        """Note times; a turn that is over becomes its spans."""
        session = self._live.get(session_id)
        if session is None or not session.trace_id:
            return
        match event:
            case events.AudioStarted():
                session.first_sound_s[event.reply_id] = self._now()
            case events.ProviderCall():
                session.calls.append((self._now(), event))
            case events.TranscriptChanged(final=True) if self._transcripts:
                session.asked[event.turn_id] = event.text
            case events.ReplyDone():
                self._turn(session, event)
            case events.Failed():
                session.span.add_event("voice.error", {"error.type": event.code}, _ns(self._now()))
            case _:
                pass

    def closed(self, session_id: str, reason: str) -> None:
        """It is over; calls that no turn claimed are the session's own."""
        session = self._live.pop(session_id, None)
        if session is None:
            return
        self._calls(session.span, session.id, session.calls)
        session.span.set_attribute("voice.session.ended", reason)
        session.span.end(_ns(self._now()))

    def refused(self, reason: str) -> None:
        """Nobody's trace."""

    # ---- spans

    def _turn(self, session: _Session, event: events.ReplyDone) -> None:
        now = self._now()
        speech_end = session.first_sound_s.pop(event.reply_id, now)
        if session_first := event.latency_ms.get("first_sound"):
            speech_end -= session_first / 1000
        session.first_sound_s.clear()
        calls, session.calls = session.calls, deque(maxlen=KEEP_CALLS)
        begins = [speech_end + stage.start_ms / 1000 for stage in event.stages]
        begins += [ended - call.total_ms / 1000 for ended, call in calls]
        turn = self._span(
            "voice.turn", session.span, min([*begins, speech_end]), self._of_turn(event, session)
        )
        turn.add_event("voice.speech_end", None, _ns(speech_end))
        for stage in event.stages:
            start, end = speech_end + stage.start_ms / 1000, speech_end + stage.end_ms / 1000
            self._span(f"voice.stage.{stage.name}", turn, start, {}).end(_ns(end))
        self._calls(turn, session.id, calls, discarded={c.reply_id for c in event.calls if c.discarded})
        if event.error:
            turn.set_status(self._api.Status(self._api.StatusCode.ERROR, event.error))
        turn.end(_ns(now))

    def _of_turn(self, event: events.ReplyDone, session: _Session) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {
            "voice.turn.id": event.turn_id,
            "voice.reply.id": event.reply_id,
            "voice.interrupted": event.interrupted,
        }
        if "first_sound" in event.latency_ms:  # the stages have spans of their own
            found["voice.first_sound_ms"] = event.latency_ms["first_sound"]
        if event.error:
            found["error.type"] = event.error
        asked = session.asked.pop(event.turn_id, "")
        if self._transcripts:
            found |= {"voice.transcript": asked, "voice.reply.text": event.text}
        return found

    def _calls(
        self,
        parent: Span,
        session_id: str,
        calls: Iterable[tuple[float, events.ProviderCall]],
        discarded: set[str] | None = None,
    ) -> None:
        for ended, call in calls:
            attributes = self._of_call(call, session_id)
            # An attribute costs some microseconds, twice: what is not so is not said.
            marks = {
                "speculative": call.speculative,
                "discarded": call.reply_id in (discarded or ()),
                "cached": call.cached,
            }
            attributes |= {f"voice.{name}": True for name, holds in marks.items() if holds}
            attributes = {name: value for name, value in attributes.items() if value != ""}
            span = self._span(_call_name(call), parent, ended - call.total_ms / 1000, attributes, client=True)
            if failed(call):
                span.set_status(self._api.Status(self._api.StatusCode.ERROR, call.outcome))
            span.end(_ns(ended))

    def _of_call(self, call: events.ProviderCall, session_id: str) -> dict[str, Attribute]:
        provider, _, model = call.provider.partition(":")
        micro = self._price(call)
        found: dict[str, Attribute] = {
            "gen_ai.operation.name": OPERATIONS[call.kind],
            "gen_ai.provider.name": provider,
            "gen_ai.conversation.id": session_id,
            "gen_ai.request.model": model,
            "gen_ai.response.model": call.model,
            "voice.kind": call.kind,
            "voice.outcome": call.outcome,
            **_of_kind(call),
        }
        if micro is not None:
            found["voice.cost_usd"] = micro / MICRO
        if failed(call):
            found["error.type"] = call.outcome
        return found

    def _span(
        self, name: str, parent: Span, start_s: float, attributes: Attributes, *, client: bool = False
    ) -> Span:
        return self._tracer.start_span(
            name,
            context=self._api.set_span_in_context(parent),
            kind=self._api.SpanKind.CLIENT if client else self._api.SpanKind.INTERNAL,
            start_time=_ns(start_s),
            attributes=dict(attributes),
        )


def _of_kind(call: events.ProviderCall) -> dict[str, Attribute]:
    """What hearing, thinking and speaking have each for themselves."""
    usage, first_ms = call.usage, call.first_ms
    found: dict[str, Attribute] = {}
    match call.kind:
        case "llm":
            found["gen_ai.request.stream"] = True
            found["gen_ai.usage.input_tokens"] = usage.input_tokens
            if usage.cached_tokens:
                found["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
            if usage.cache_write_tokens:
                found["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_write_tokens
            found["gen_ai.usage.output_tokens"] = usage.output_tokens
            if call.finish_reason:
                found["gen_ai.response.finish_reasons"] = (
                    FINISH_REASONS.get(call.finish_reason, call.finish_reason),
                )
            if first_ms is not None:
                found["gen_ai.response.time_to_first_chunk"] = first_ms / 1000
            return found
        case "asr":
            found["voice.audio_s"] = usage.audio_s
            found["voice.transport"] = call.transport
        case "tts":
            found["gen_ai.output.type"] = "speech"
            found["voice.characters"] = usage.characters
    if first_ms is not None:
        found["voice.first_result_ms"] = first_ms
    return found


def _call_name(call: events.ProviderCall) -> str:
    """As the conventions have it: the operation and the model."""
    return f"{OPERATIONS[call.kind]} {call.provider.partition(':')[2]}".strip()


def _ns(seconds: float) -> int:
    return int(seconds * NS)
