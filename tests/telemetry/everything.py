"""Metrics with everything in them that there can be, so that none is missed: by themselves, and as a server's
``/metrics`` that was scraped twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from ipaddress import ip_network

from tests.server.house import open_house
from tests.telemetry.listened import Story, Told, call, lively_conversation

from antiphon.conversation import events
from antiphon.providers.health import ProviderState
from antiphon.telemetry.lag import Delays
from antiphon.telemetry.metrics import Metrics
from antiphon.telemetry.observability import Observability
from antiphon.telemetry.pricing import BudgetState, LedgerState
from antiphon.telemetry.sources import Sources


def metrics_with_everything() -> Metrics:
    """A lively conversation, calls of all kinds, failures, refusals, and every source."""
    metrics = Metrics(price=price, trace_of=lambda _: "4bf92f3577b34da6a3ce929d0e0e4736", sources=sources())
    tell_everything(Told([metrics]), lively_conversation())
    return metrics


@cache
def scraped() -> tuple[str, str]:
    """``/metrics`` of a server with scripted providers after a conversation, and after another. What does not happen in
    it (failures, prices that are not known, …) its listeners are told."""
    return asyncio.run(_scrapes(lively_conversation()))


async def _scrapes(story: Story) -> tuple[str, str]:
    watching = Observability(sources=sources())
    watching.price = price
    async with open_house(observability=watching, metrics_networks=(ip_network("127.0.0.0/8"),)) as house:
        watching.sources.depths = sources().depths  # of embedded models, which this server has none of

        async def scrape() -> str:
            async with house.call() as caller:
                await caller.speaks("what is the capital of France")
                await caller.until("response_done")
            tell_everything(Told([house.application.audience]), story)
            return (await house.get("/metrics")).text

        return await scrape(), await scrape()


def price(call: events.ProviderCall) -> int | None:
    """Micro-dollars; a new vendor's are not known."""
    return None if call.provider.startswith("new:") else 1200


def sources() -> Sources:
    """All that can be asked at a scrape."""
    states = [
        ProviderState(
            kind="llm", provider="openai:gpt-4o-mini", position=0, breaker="open", retries=1, hedges=1
        ),
        ProviderState(kind="llm", provider="local:smollm2-135m", position=1, fallbacks=1),
    ]
    return Sources(
        max_sessions=lambda: 50,
        ready=lambda: True,
        health=lambda: states,
        depths=lambda: {"recognition": 1, "speech": 0, "reply": 2},
        lag_s=lambda: 0.004,
        delays=lambda: Delays(counts=(90, 6, 2, 0, 1, 0, 0, 1, 0, 0, 1), sum_s=2.3),
        ledger=lambda: LedgerState(
            held_usd=0.02, waiting=3, lost=1, alerts_waiting=2, alerts_failed=1, stale_prices=1
        ),
        budgets=lambda: [BudgetState(name="day", spent_usd=1.5, limit_usd=5.0)],
        certificate_end=lambda: 1_803_000_000.0,
    )


def tell_everything(told: Told, story: Story) -> None:
    """What can happen."""
    told.story(story)
    for kind, usage in (("asr", {"audio_s": 3.0}), ("llm", {"input_tokens": 9}), ("tts", {"characters": 40})):
        told.tell(call(kind, "openai:a-model", **usage))
        told.tell(call(kind, "openai:a-model", outcome="rate_limit"))
    told.tell(call("tts", "new:model", characters=3))
    told.tell(replace(call("tts", "openai:tts-1"), cached=True))
    told.tell(events.Failed(code="provider_unavailable", message="", retryable=True))
    told.tell(events.Decision(at_s=1.0, kind="echo", reason="that was the assistant's own voice"))
    told.tell(events.Decision(at_s=1.0, kind="resume", reason="the reply goes on: a noise without words"))
    told.tell(events.Decision(at_s=1.0, kind="drop", reason="nothing is answered: there were no words"))
    thrown = replace(call(output_tokens=5), discarded=True)
    told.tell(events.ReplyDone(turn_id="t", reply_id="r", text="", latency_ms={}, calls=(thrown,)))
    for listener in told.listeners:
        listener.refused("busy")
