"""Metrics: what a conversation leaves in them, and what must never be in them."""

from __future__ import annotations

import json

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from tests.telemetry.listened import Told, call, lively_conversation

from antiphon.conversation import events
from antiphon.providers.health import ProviderState
from antiphon.telemetry.labels import OTHER, Names
from antiphon.telemetry.lag import Delays
from antiphon.telemetry.metrics import Metrics
from antiphon.telemetry.pricing import BudgetState, LedgerState
from antiphon.telemetry.sources import Sources

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Sample = tuple[str, frozenset[tuple[str, str]]]


def samples(metrics: Metrics) -> dict[Sample, float]:
    text = metrics.exposition("")[0].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in prometheus(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)["antiphon_" + name, frozenset(labels.items())]


@pytest.fixture(scope="module")
def lively() -> Metrics:
    metrics = Metrics()
    told = Told([metrics])
    told.story(lively_conversation())
    return metrics


def test_turns(lively: Metrics) -> None:
    assert value(lively, "turns_total", outcome="answered") == 2
    assert value(lively, "turns_total", outcome="interrupted") == 1
    assert value(lively, "interruptions_total") == 1
    assert value(lively, "backchannels_total") == 1
    assert value(lively, "false_starts_total") == 1
    assert value(lively, "speculations_total", result="kept") == 3


def test_stages_are_timed_with_edges_on_the_budget(lively: Metrics) -> None:
    assert value(lively, "first_sound_seconds_count") == 3
    assert value(lively, "first_sound_seconds_sum") == pytest.approx(0.446 + 0.742 + 0.446)
    assert value(lively, "turn_stage_seconds_bucket", stage="llm", le="0.3") == 3
    assert value(lively, "turn_stage_seconds_bucket", stage="clause", le="0.2") == 2
    for stage, budget in {"capture": "0.5", "asr": "0.3", "llm": "0.3", "tts": "0.2"}.items():
        assert value(lively, "turn_stage_seconds_bucket", stage=stage, le=budget) >= 0
    assert value(lively, "first_sound_seconds_bucket", le="1.45") == 3


def test_sessions() -> None:
    metrics = Metrics(sources=Sources(max_sessions=lambda: 7))
    told = Told([metrics])
    told.opened("first-one")
    told.opened("second-one")
    told.closed("first-one", "idle")
    metrics.refused("busy")
    metrics.refused("busy")
    assert value(metrics, "sessions") == 1
    assert value(metrics, "sessions_max") == 7
    assert value(metrics, "sessions_closed_total", reason="idle") == 1
    assert value(metrics, "sessions_refused_total", reason="busy") == 2


def test_calls_are_counted_and_priced() -> None:
    metrics = Metrics(price=lambda call: None if call.provider == "new:model" else 1500)
    told = Told([metrics])
    told.opened("s")
    told.tell(call(input_tokens=1000, cached_tokens=400, output_tokens=50), session="s")
    told.tell(call(outcome="rate_limit"), session="s")
    told.tell(call(outcome="cancelled", output_tokens=7), session="s")
    told.tell(call("tts", "new:model", characters=120), session="s")
    told.tell(call("asr", "openai:whisper-1", audio_s=30.0), session="s")
    mini = {"kind": "llm", "provider": "openai", "model": "gpt-4o-mini"}
    new = {"kind": "tts", "provider": "new", "model": "model"}
    assert value(metrics, "provider_calls_total", **mini, outcome="ok") == 1
    assert value(metrics, "provider_calls_total", **mini, outcome="failed") == 1
    assert value(metrics, "provider_calls_total", **mini, outcome="cancelled") == 1
    assert value(metrics, "provider_errors_total", **mini, cause="rate_limit") == 1
    assert value(metrics, "provider_tokens_total", **mini, direction="cached") == 400
    assert value(metrics, "provider_tokens_total", **mini, direction="output") == 57
    assert value(metrics, "cost_usd_total", **mini) == pytest.approx(0.0045)
    assert value(metrics, "cost_usd_total", **new) == 0
    assert value(metrics, "unpriced_calls_total", **new) == 1
    assert value(metrics, "provider_characters_total", **new) == 120


def test_the_json_form_is_the_one_that_was_promised() -> None:
    metrics = Metrics(price=lambda _: 1500, sources=Sources(max_sessions=lambda: 50))
    told = Told([metrics])
    told.opened("k3Jx0aSecret")
    told.tell(events.TranscriptChanged(turn_id="t1", text="hello", final=True))
    told.tell(call("asr", "openai:whisper-1", audio_s=90.0))
    told.tell(call(input_tokens=100, output_tokens=20))
    told.tell(call("tts", "openai:tts-1", characters=75))
    told.tell(events.ReplyDone(turn_id="t1", reply_id="r1", text="hi", latency_ms={}))
    [session] = metrics.to_json(with_sessions=True)["sessions"]["sessions"]  # type: ignore[index]
    assert session.pop("duration_seconds") >= 0
    assert session == {"id": "k3Jx0a", "messages": 2}
    assert metrics.to_json(with_sessions=False) == {
        "usage": {
            "asr": {"requests": 1, "audio_minutes": 1.5, "cost_usd": 0.0015},
            "llm": {"requests": 1, "input_tokens": 100, "output_tokens": 20, "cost_usd": 0.0015},
            "tts": {"requests": 1, "characters": 75, "cost_usd": 0.0015},
            "total_cost_usd": 0.0045,
        },
        "sessions": {"active_sessions": 1, "max_sessions": 50, "sessions": []},
    }


def test_speech_from_our_own_cache_is_no_request() -> None:
    metrics = Metrics()
    cached = events.ProviderCall(
        kind="tts", provider="openai:tts-1", usage=call(characters=50).usage, cached=True
    )
    Told([metrics]).tell(cached)
    assert value(metrics, "speech_cache_hits_total") == 1
    assert metrics.usage.tts_requests == metrics.usage.characters == 0


def test_what_is_asked_at_a_scrape() -> None:
    state = ProviderState(kind="asr", provider="openai:whisper-1", position=0, breaker="open", retries=3)
    sources = Sources(
        ready=lambda: True,
        health=lambda: [state],
        depths=lambda: {"recognition": 4},
        lag_s=lambda: 0.012,
        delays=lambda: Delays(counts=(7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1), sum_s=1.3),
        budgets=lambda: [BudgetState(name="day", spent_usd=1.25, limit_usd=5.0, degraded=True)],
        ledger=lambda: LedgerState(waiting=400, lost=3, alerts_waiting=2, alerts_failed=1, stale_prices=4),
    )
    metrics = Metrics(sources=sources)
    who = {"kind": "asr", "provider": "openai", "model": "whisper-1"}
    assert value(metrics, "provider_breaker_state", **who, state="open") == 1
    assert value(metrics, "provider_breaker_state", **who, state="closed") == 0
    assert value(metrics, "provider_retries_total", **who) == 3
    assert value(metrics, "queue_depth", queue="recognition") == 4
    assert value(metrics, "event_loop_lag_seconds") == 0.012
    assert value(metrics, "event_loop_delay_seconds_bucket", le="0.02") == 9
    assert value(metrics, "event_loop_delay_seconds_bucket", le="+Inf") == 10
    assert value(metrics, "event_loop_delay_seconds_count") == 10
    assert value(metrics, "budget_limit_usd", budget="day") == 5
    assert value(metrics, "budget_degraded", budget="day") == 1
    assert value(metrics, "ledger_waiting") == 400
    assert value(metrics, "ledger_lost_total") == 3
    assert value(metrics, "alerts_waiting") == 2
    assert value(metrics, "alerts_failed_total") == 1
    assert value(metrics, "prices_stale") == 4
    assert value(metrics, "ready") == 1


def test_exemplars_lead_to_the_trace() -> None:
    metrics = Metrics(trace_of=lambda _: "4bf92f3577b34da6a3ce929d0e0e4736")
    Told([metrics]).story(lively_conversation())
    text, content_type = metrics.exposition(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    found = [
        sample.exemplar.labels
        for family in openmetrics(text.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"} in found


def test_no_caller_can_be_found_in_it(lively: Metrics) -> None:
    text = lively.exposition("")[0].decode() + json.dumps(lively.to_json(with_sessions=False))
    for private in ("k3Jx0a", "story", "dog", "what time"):
        assert private not in text


def test_a_label_takes_so_many_values_and_no_more() -> None:
    name = Names(limit=2)
    assert [name(n) for n in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]
    metrics = Metrics()
    for number in range(200):
        metrics.refused(f"reason {number}")
    reasons = {labels for metric, labels in samples(metrics) if metric == "antiphon_sessions_refused_total"}
    assert len(reasons) == 65
