"""/metrics over a real socket: who may read it, in which forms, and what a conversation leaves there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as prometheus
from tests.server.house import House, open_house
from tests.telemetry.collector import collector
from tests.telemetry.listened import Told, call

from antiphon.conversation.events import ReplyDone
from antiphon.server.metrics_page import wants_json
from antiphon.telemetry.observability import Observability, Watching
from antiphon.telemetry.pricing import BudgetState
from antiphon.telemetry.recent import KEEP_TURNS
from antiphon.telemetry.sources import Sources

pytestmark = pytest.mark.real_time

TOKEN = "an-operator-token-for-tests"
NEAR = (ip_network("127.0.0.0/8"),)
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def house(*, near: bool = True) -> AsyncIterator[House]:
    async with open_house(operator_token=TOKEN, metrics_networks=NEAR if near else ()) as opened:
        yield opened


async def test_three_forms() -> None:
    async with house() as served:
        plain = await served.get("/metrics")
        openmetrics = await served.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        json = await served.get("/metrics", Accept="application/json")
    assert plain.headers["content-type"].startswith("text/plain")
    assert list(prometheus(plain.text))
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.text.endswith("# EOF\n")
    assert json.json()["sessions"] == {"active_sessions": 0, "max_sessions": 10, "sessions": []}


async def test_strangers_are_kept_out() -> None:
    async with house(near=False) as served:
        assert (await served.get("/metrics")).status_code == 401
        assert (await served.get("/metrics", **AUTHORIZED)).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
async def test_a_proxy_on_this_machine_does_not_make_the_world_local(header: str) -> None:
    async with house() as served:
        assert (await served.get("/metrics", **{header: "203.0.113.7"})).status_code == 401


async def test_without_a_token_they_are_still_told_no() -> None:
    async with open_house() as served:
        assert (await served.get("/metrics")).status_code == 403
        assert (await served.get("/api/operator/now")).status_code == 403


async def test_a_conversation_is_counted() -> None:
    async with house() as served:
        async with served.call() as caller:
            await caller.speaks("what is the capital of France")
            done = await caller.until("response_done")
            json = (await served.get("/metrics", Accept="application/json")).json()
            text = (await served.get("/metrics")).text
        assert done["trace_id"] == ""
    assert json["sessions"]["active_sessions"] == 1
    [session] = json["sessions"]["sessions"]
    assert session["messages"] == 2
    assert json["usage"]["asr"]["requests"] >= 1
    assert json["usage"]["llm"]["output_tokens"] > 0
    assert json["usage"]["tts"]["characters"] > 0
    assert 'antiphon_turns_total{outcome="answered"} 1.0' in text
    assert "antiphon_first_sound_seconds_count 1.0" in text
    assert "France" not in text + str(json)


async def test_what_the_operator_page_asks() -> None:
    async with house() as served:
        for path in ("now", "day", "turns", "report"):
            assert (await served.get(f"/api/operator/{path}")).status_code == 401
        async with served.call() as caller:
            await caller.speaks("what is the capital of France")
            await caller.until("response_done")
            now = (await served.get("/api/operator/now", **AUTHORIZED)).json()
            day = (await served.get("/api/operator/day", **AUTHORIZED)).json()
            turns = (await served.get("/api/operator/turns?after=0", **AUTHORIZED)).json()
            since = now["last_turn_s"]
            none = (await served.get(f"/api/operator/turns?after={since}", **AUTHORIZED)).json()
            report = (await served.get("/api/operator/report", **AUTHORIZED)).json()
            other = await served.get("/api/operator/report?day=1999-01-01", **AUTHORIZED)
    assert now["sessions"] == {"now": 1, "max": 10}
    assert now["turns"] == now["replicas"] == 1
    assert now["last_turn_s"] == turns["turns"][0]["ended_s"]
    assert now["first_sound"]["turns"] == 1
    assert {row["kind"] for row in now["providers"]} == {"asr", "llm", "tts"}
    assert len(day["points"]) in (288, 289)
    assert day["points"][-1]["turns"] + day["points"][-2]["turns"] == 1
    assert day["report"]["first_sound"]["budget_ms"] == 1450
    assert turns["turns"][0]["asked"] == "", "words are not kept unless the operator says so"
    assert none["turns"] == []
    assert report["tally"]["turns"] == 1
    assert other.status_code == 404


async def test_turns_of_one_kind_and_no_more_than_wanted() -> None:
    watching = Observability()
    async with open_house(observability=watching, operator_token=TOKEN, metrics_networks=NEAR) as served:
        told = Told([watching.recent])
        for number in range(KEEP_TURNS):
            latency = {"first_sound": 1450.0 + number % 2}
            told.tell(ReplyDone(turn_id=f"t{number}", reply_id="r", text="", latency_ms=latency))

        async def asked(query: str) -> tuple[int, bool]:
            told = (await served.get(f"/api/operator/turns{query}", **AUTHORIZED)).json()
            return len(told["turns"]), told["more"]

        assert await asked("") == (25, True)
        assert await asked("?only=slow&most=40") == (40, True)
        assert await asked("?only=slow&most=200") == (KEEP_TURNS // 2, False)
        assert await asked("?only=failed") == await asked("?only=interrupted") == (0, False)
        for wrong in ("only=nice", "most=0", "most=201"):
            assert (await served.get(f"/api/operator/turns?{wrong}", **AUTHORIZED)).status_code == 400


async def test_turns_and_requests_that_failed_are_told_apart() -> None:
    watching = Observability()
    async with open_house(observability=watching, operator_token=TOKEN, metrics_networks=NEAR) as served:
        told = Told([watching.recent])
        told.tell(ReplyDone(turn_id="t", reply_id="r", text="", latency_ms={}, error="budget_spent"))
        told.tell(call(outcome="timeout"))
        told.tell(call())
        now = (await served.get("/api/operator/now", **AUTHORIZED)).json()
        day = (await served.get("/api/operator/day", **AUTHORIZED)).json()
    assert (now["failed_turns"], now["turns"], now["failed_calls"], now["provider_calls"]) == (1, 1, 1, 2)
    assert [sum(point[name] for point in day["points"]) for name in ("failed_turns", "failed_calls")] == [
        1,
        1,
    ]


async def test_operators_are_told_that_a_day_goes_on_with_cheaper_models() -> None:
    for degraded in (False, True):
        day = BudgetState(name="day", spent_usd=5.2, limit_usd=5.0, degraded=degraded)
        watching = Observability(sources=Sources(budgets=lambda day=day: [day]))  # type: ignore[misc]
        async with open_house(observability=watching, operator_token=TOKEN, metrics_networks=NEAR) as served:
            now = (await served.get("/api/operator/now", **AUTHORIZED)).json()
            text = (await served.get("/metrics")).text
        assert (now["cost"]["budget_usd"], now["cost"]["degraded"]) == (5.0, degraded)
        assert f'antiphon_budget_degraded{{budget="day"}} {degraded:.1f}' in text


async def test_an_answer_names_its_trace(tmp_path: Path) -> None:
    with collector() as collected:
        watching = Observability(Watching(traces=collected.url, data=tmp_path))
        async with open_house(observability=watching, metrics_networks=NEAR) as served:
            async with served.call() as caller:
                await caller.speaks("what is the capital of France")
                done = await caller.until("response_done")
                text = (
                    await served.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
                ).text
    assert re.fullmatch(r"[0-9a-f]{32}", done["trace_id"])
    assert f'# {{trace_id="{done["trace_id"]}"}}' in text, "an exemplar leads from the histogram to the trace"
    assert done["trace_id"] in collected.trace_ids()
    assert "voice.turn" in collected.names()
    assert list((tmp_path / "days").glob("*.jsonl")), "what was counted is written when the server stops"


async def test_the_page_is_served_and_holds_no_figure() -> None:
    async with house() as served:
        page = await served.get("/operator")
        script = await served.get("/assets/operator/app.js")
    assert page.status_code == script.status_code == 200
    assert 'id="login"' in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("text/html, application/json;q=0.9", True),
        ("*/*", False),
        ("", False),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", False),
        ("text/plain, application/json", False),
    ],
)
def test_json_is_given_to_those_who_ask_for_it(accept: str, json: bool) -> None:
    assert wants_json(accept) is json
