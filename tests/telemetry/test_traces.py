"""Traces: one a session, a span a turn, one a stage, one a call; and an exporter that is not there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from tests.telemetry.collector import collector
from tests.telemetry.listened import Clock, Told, call, lively_conversation

from antiphon.telemetry.exporting import open_tracer, told_once
from antiphon.telemetry.traces import Traces


def traced(*, transcripts: bool = False, sampled: bool = True) -> Sequence[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    clock = Clock()
    traces = Traces(provider.get_tracer("test"), price=lambda _: 250, transcripts=transcripts, now=clock)
    Told([traces], clock).story(lively_conversation())
    return exporter.get_finished_spans()


def children(spans: Sequence[ReadableSpan], parent: ReadableSpan) -> list[ReadableSpan]:
    assert parent.context is not None
    return [
        span for span in spans if span.parent is not None and span.parent.span_id == parent.context.span_id
    ]


def named(spans: Sequence[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def test_one_trace_a_session_one_span_a_turn_one_a_stage() -> None:
    spans = traced()
    [session] = named(spans, "voice.session")
    assert session.parent is None
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    turns = named(spans, "voice.turn")
    assert len(turns) == 4
    assert all(turn in children(spans, session) for turn in turns)
    stages = {span.name for span in children(spans, turns[0])}
    assert stages >= {"voice.stage.asr", "voice.stage.llm", "voice.stage.tts"}


def test_times_are_those_of_the_turn() -> None:
    spans = traced()
    first = named(spans, "voice.turn")[0]
    [llm] = [span for span in children(spans, first) if span.name == "voice.stage.llm"]
    assert seconds(llm) == pytest.approx(0.150, abs=0.002)
    [end_of_speech] = [event for event in first.events if event.name == "voice.speech_end"]
    assert first.end_time is not None
    assert end_of_speech.timestamp < first.end_time
    for span in spans:
        assert seconds(span) >= 0


def test_language_models_as_the_conventions_have_them() -> None:
    chats = [span for span in traced() if span.name.startswith("chat ")]
    assert chats
    for chat in chats:
        attributes = dict(chat.attributes or {})
        assert attributes["gen_ai.operation.name"] == "chat"
        assert attributes["gen_ai.provider.name"] == "scripted"
        assert attributes["gen_ai.request.model"]
        assert "gen_ai.usage.input_tokens" in attributes
        assert "gen_ai.usage.output_tokens" in attributes
        assert attributes["gen_ai.request.stream"] is True
        assert attributes["voice.cost_usd"] == 0.00025
    whole = [dict(chat.attributes or {}) for chat in chats]
    ended = [each for each in whole if each["voice.outcome"] == "ok"]
    assert ended
    for each in ended:
        assert each["gen_ai.response.finish_reasons"] == ("stop",)
        assert each["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.15, abs=0.002)


def test_every_request_says_what_it_was_and_whose() -> None:
    """The conventions ask it of all that have a provider's name: of recognisers and voices, too."""
    requests = [span for span in traced() if "gen_ai.provider.name" in (span.attributes or {})]
    by_operation = {}
    for span in requests:
        attributes = dict(span.attributes or {})
        assert attributes["gen_ai.conversation.id"] == "k3Jx0aSecret"
        assert span.name == f"{attributes['gen_ai.operation.name']} {attributes['gen_ai.request.model']}"
        by_operation[attributes["gen_ai.operation.name"]] = attributes
    assert set(by_operation) == {"transcribe", "chat", "speak"}
    assert by_operation["speak"]["gen_ai.output.type"] == "speech"


def test_why_a_reply_ended_in_the_words_of_the_conventions() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    told = Told([Traces(provider.get_tracer("test"), now=Clock())])
    told.opened("s")
    for reason in ("length", "filtered", "tool_calls", ""):
        told.tell(replace(call(cache_write_tokens=7), finish_reason=reason), session="s")
    told.closed("s")
    chats = [dict(span.attributes or {}) for span in named(exporter.get_finished_spans(), "chat gpt-4o-mini")]
    assert [each.get("gen_ai.response.finish_reasons") for each in chats] == [
        ("length",), ("content_filter",), ("tool_call",), None,
    ]  # fmt: skip
    assert chats[0]["gen_ai.usage.cache_creation.input_tokens"] == 7


def test_a_call_that_failed_says_so() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    told = Told([Traces(provider.get_tracer("test"), now=Clock())])
    told.opened("s")
    told.tell(call(outcome="rate_limit"), session="s")
    told.closed("s")
    [failed] = named(exporter.get_finished_spans(), "chat gpt-4o-mini")
    assert not failed.status.is_ok
    assert (failed.attributes or {})["error.type"] == "rate_limit"


def test_nothing_that_was_said_unless_the_operator_says_so() -> None:
    def words(spans: Sequence[ReadableSpan]) -> str:
        return " ".join(str(dict(span.attributes or {})) for span in spans)

    assert "what time" not in words(traced())
    assert "long story" not in words(traced())
    assert "what time is it" in words(traced(transcripts=True))


def test_what_is_not_sampled_has_no_trace() -> None:
    assert traced(sampled=False) == ()


def test_ids_are_there_while_the_session_is() -> None:
    traces = Traces(TracerProvider(shutdown_on_exit=False).get_tracer("test"))
    told = Told([traces])
    assert traces.trace_id("s") == ""
    told.opened("s")
    assert len(traces.trace_id("s")) == 32
    told.closed("s")
    assert traces.trace_id("s") == ""


def test_a_collector_that_goes_and_comes_is_told_of_once_each() -> None:
    class Moody(InMemorySpanExporter):
        works = True

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return super().export(spans) if self.works else SpanExportResult.FAILURE

    moody = Moody()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(told_once(moody)))
    tracer = provider.get_tracer("test")
    with structlog.testing.capture_logs() as lines:
        for works in (True, False, False, False, True, True):
            moody.works = works
            tracer.start_span("span").end()
    assert [(line["log_level"], line.get("spans_lost")) for line in lines] == [("warning", None), ("info", 3)]
    assert len(moody.get_finished_spans()) == 3


@pytest.mark.real_time
def test_spans_reach_a_collector() -> None:
    async def hold() -> None:
        async with open_tracer(collected.url + "/") as tracer:
            Told([Traces(tracer)]).story(story)

    story = lively_conversation()
    with collector() as collected:
        asyncio.run(hold())
    assert collected.names().count("voice.turn") == 4
    assert len(collected.trace_ids()) == 1


@pytest.mark.real_time
def test_a_collector_that_is_not_there_loses_spans_and_nothing_else() -> None:
    async def hold() -> None:
        async with open_tracer(f"http://127.0.0.1:{port}") as tracer:
            traces = Traces(tracer)
            Told([traces]).story(lively)
            assert traces.trace_id("k3Jx0aSecret") == ""

    lively = lively_conversation()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        port = taken.getsockname()[1]
        asyncio.run(hold())
