"""Costs as the settings want them: put together, and applied to an assistant."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.usage.till import NOON, Clock

from antiphon.app import build_application
from antiphon.app.assistant import open_assistant
from antiphon.app.chains import breaker_rules, limits
from antiphon.app.embedded import at_hand
from antiphon.app.observing import budgets_of
from antiphon.app.usage import cheaper_settings, check_costs, dear_parts, mixed, open_costs, prices_of
from antiphon.app.vendors import OPENAI_MODELS
from antiphon.conversation import events
from antiphon.conversation.conversation import Conversation
from antiphon.conversation.events import ProviderCall
from antiphon.errors import SettingsError
from antiphon.providers import anthropic, deepgram, elevenlabs
from antiphon.providers.base import LanguageModel, Usage
from antiphon.providers.metering import Attempt, Kind, report
from antiphon.providers.resilience import Chain, ResilientLanguageModel
from antiphon.providers.scripted import ScriptedLanguageModel
from antiphon.sessions.readiness import ModelProgress
from antiphon.settings import Settings, load_settings
from antiphon.usage.alerts import Alert
from antiphon.usage.sqlite_books import SqliteBooks


def settings(data: Path, **values: Any) -> Settings:
    """All scripted, but for what is given."""
    scripted = dict.fromkeys(("asr", "llm", "tts"), "scripted") | {"data": str(data)}
    return load_settings({}, folder=Path("/nonexistent"), overrides=scripted | values).settings


def ignore(_: ModelProgress) -> None:
    pass


PRICED = '[[price]]\nprovider = "scripted"\nmodel = "*"\nunit = "request"\nprice = 0.5\n'


async def test_an_assistant_is_paid_for(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(PRICED)
    wishes = settings(tmp_path, prices=str(own), budget_day_usd=1.0, budget_past="stop")
    call = ProviderCall(kind="llm", provider="scripted:language-model", usage=Usage(output_tokens=3))
    async with open_costs(wishes) as costs, open_assistant(wishes, ignore) as loaded:
        assistant = costs.applied(loaded)
        assert assistant.price(call) == 500_000
        assert assistant.allowance is costs.allowance
        assert costs.reservation() == 3_000_000  # three requests, twice
        assert assistant.unaffordable("") is None
        costs.keeper.told("s1", call)
        costs.keeper.told("s1", call)
        assert assistant.unaffordable("") is not None
        assert (costs.totals().spent, costs.totals().limit) == (1_000_000, 1_000_000)
    async with open_costs(wishes) as again:
        assert again.totals().spent == 1_000_000


async def test_what_no_conversation_asks_for_is_the_servers(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(PRICED)
    wishes = settings(tmp_path, prices=str(own), budget_session_usd=0.1, budget_past="stop")
    probe = Attempt(kind="llm", provider="scripted:language-model", usage=Usage(output_tokens=1))

    async def ask() -> None:
        report(probe)

    async with open_costs(wishes) as costs:
        async with asyncio.TaskGroup() as tasks:
            with costs.billed(costs.keeper.told):
                tasks.create_task(ask())
            tasks.create_task(ask())  # nobody's: not begun inside
        await costs.keeper.written()
        today = costs.keeper.calendar.today()
        assert await costs.keeper.books.by("session", today, today) == {"server": 500_000}
        assert costs.keeper.limits.of(day="2026-11-23", session="server", caller="") == {}


async def test_metrics_and_the_operators_page_agree_with_the_ledger_on_what_the_server_asks_for_itself(
    tmp_path: Path,
) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(PRICED)
    application = build_application(settings(tmp_path, prices=str(own)))
    observability = application.observability
    async with application.routes.router.lifespan_context(application.routes):
        await application.readiness.opened.wait()
        assistant = application.readiness.assistant
        assert assistant is not None

        async def unheard(_: events.Event) -> None:
            pass

        conversation = Conversation(
            session_id="s1",
            providers=assistant.providers,
            config=assistant.defaults,
            emit=unheard,
            observe=lambda event: application.audience.told("s1", event),
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(conversation.run())
            await asyncio.sleep(0)
            conversation.type_text("hello")
            await asyncio.sleep(30)  # the reply, and then the apologies, voiced ahead
            conversation.close()
    books, ever = SqliteBooks(tmp_path), (date.min, date.max)
    by_session = await books.by("session", *ever)
    books.close()
    assert by_session["server"] > 0, "apologies were voiced ahead"
    total = sum(by_session.values())
    told = [
        family for family in observability.metrics.registry.collect() if family.name == "antiphon_cost_usd"
    ]
    assert sum(sample.value for family in told for sample in family.samples) == total / 1e6
    assert observability.metrics.usage.to_json()["total_cost_usd"] == total / 1e6
    now = observability.recent.now
    assert observability.recent.minutes.total(now - 3_600, now + 60).cost_micro == total


async def test_the_server_told_to_stop_writes_what_was_spent(tmp_path: Path) -> None:
    wishes = settings(tmp_path)
    opened = asyncio.Event()

    async def serve() -> None:
        async with open_costs(wishes) as costs:
            call = ProviderCall(kind="tts", provider="openai:tts-1", usage=Usage(characters=100))
            costs.keeper.told("s1", call)
            opened.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve())
        await opened.wait()
        serving.cancel()
    async with open_costs(wishes) as costs:
        assert costs.totals().spent == 1_500


async def test_the_cheaper_ones_are_those_that_the_settings_name(tmp_path: Path) -> None:
    wishes = settings(
        tmp_path,
        llm="openai:gpt-4o",
        openai_api_key="k",
        voice="scripted",
        budget_llm="scripted",
        budget_day_usd=1.0,
    )
    assert dear_parts(wishes) == {"llm"}
    cheap = cheaper_settings(wishes, dear_parts(wishes))
    assert {str(cheap.asr[0]), str(cheap.llm[0]), str(cheap.tts[0]), cheap.ear} == {"scripted"}
    assert cheap.voice == "", "which is of the dear ones, and asked of them"
    own = settings(tmp_path, scripted_asr_ms="1")
    async with open_assistant(own, ignore) as loaded, open_assistant(cheap, ignore) as other:
        both = mixed(loaded.providers, other.providers, frozenset({"llm"}))
        assert both.language_model is other.providers.language_model
        assert both.recognizer is loaded.providers.recognizer


async def test_a_day_goes_on_with_cheaper_models_only_where_there_are_any(tmp_path: Path) -> None:
    wishes = settings(tmp_path, budget_day_usd=1.0)
    spent = ProviderCall(kind="tts", provider="openai:tts-1", usage=Usage(characters=100_000))
    async with open_costs(wishes) as costs, open_assistant(wishes, ignore) as assistant:
        costs.cheaper = assistant.providers
        assert not costs.totals().degraded
        costs.keeper.told("s1", spent)
        assert costs.totals().degraded
        [day] = budgets_of(costs.totals())
        assert day.degraded
        costs.cheaper = None
        assert not costs.totals().degraded, "turns are refused"


async def test_who_is_cheap_already_goes_on(tmp_path: Path) -> None:
    wishes = settings(tmp_path, budget_day_usd=1.0)
    async with open_costs(wishes) as costs, open_assistant(wishes, ignore) as assistant:
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(costs.keep_cheaper(assistant))
            await asyncio.sleep(1)
            assert costs.cheaper is assistant.providers
            keeping.cancel()


async def test_without_a_budget_nothing_cheaper_is_loaded(tmp_path: Path) -> None:
    wishes = settings(tmp_path, budget_llm="local:no-such-model")
    async with open_costs(wishes) as costs, open_assistant(wishes, ignore) as assistant:
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(costs.keep_cheaper(assistant))
            await asyncio.sleep(1)
            assert costs.cheaper is None
            keeping.cancel()


def test_every_model_that_is_asked_when_none_is_named_has_a_price(tmp_path: Path) -> None:
    prices, today = prices_of(settings(tmp_path)), date(2026, 11, 23)
    names: dict[tuple[str, Kind], str] = dict(OPENAI_MODELS)
    names |= {
        ("elevenlabs", "tts"): elevenlabs.DEFAULT_MODEL,
        ("deepgram", "asr"): deepgram.LISTEN_MODEL,
        ("deepgram", "tts"): deepgram.SPEAK_MODEL,
        ("anthropic", "llm"): anthropic.DEFAULT_MODEL,
    }
    for (provider, kind), model in names.items():
        assert prices.knows(f"{provider}:{model}", kind, today), f"{provider}:{model}"


async def test_a_model_without_a_price_can_keep_the_server_from_starting(tmp_path: Path) -> None:
    wishes = settings(tmp_path, unpriced="refuse")
    check_costs(wishes)
    with pytest.raises(SettingsError, match="openai:gpt-9 has no price"):
        check_costs(settings(tmp_path, unpriced="refuse", llm="openai:gpt-9", openai_api_key="k"))


async def test_old_prices_are_told_of_before_the_first_call(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(PRICED + "verified = 2025-01-01\n")
    wishes, alerts = settings(tmp_path, prices=str(own)), list[Alert]()
    async with open_costs(wishes) as costs, open_assistant(wishes, ignore) as loaded:
        costs.keeper.alert = alerts.append
        costs.applied(loaded)
    assert [(alert.kind, alert.message) for alert in alerts] == [
        ("prices", "Prices that should be looked up again: scripted:*. `antiphon prices` lists them.")
    ]


async def test_a_price_that_grows_old_is_told_of_on_that_day(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(PRICED + "verified = 2026-05-27\n")
    wishes, alerts = settings(tmp_path, prices=str(own)), list[Alert]()
    clock = Clock(wall=NOON + 43_200 - 600)
    async with open_costs(wishes, wall=lambda: clock.wall) as costs, open_assistant(wishes, ignore) as loaded:
        costs.keeper.alert = alerts.append
        costs.applied(loaded)
        await asyncio.sleep(599)
        assert not alerts
        clock.passes(600)
        await asyncio.sleep(2)
        assert [alert.kind for alert in alerts] == ["prices"]


async def test_an_embedded_model_of_the_chain_is_not_loaded_again(tmp_path: Path) -> None:
    wishes = settings(tmp_path, llm="openai:gpt-4o,local", openai_api_key="k", budget_day_usd=1.0)
    dear, embedded = ScriptedLanguageModel(provider="openai"), ScriptedLanguageModel(provider="local")
    models: list[LanguageModel] = [dear, embedded]
    chain = Chain(models, kind="llm", limits=limits(wishes, "llm"), rules=breaker_rules(wishes))
    async with open_costs(wishes) as costs, open_assistant(settings(tmp_path), ignore) as loaded:
        providers = replace(loaded.providers, language_model=ResilientLanguageModel(chain))
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(costs.keep_cheaper(replace(loaded, providers=providers)))
            await asyncio.sleep(1)
            assert costs.cheaper is not None
            cheaper = costs.cheaper.language_model
            keeping.cancel()
        assert isinstance(cheaper, ResilientLanguageModel)
        assert [link.adapter for link in cheaper.chain.links] == [embedded]


async def test_another_embedded_model_than_the_chains_is_loaded(tmp_path: Path) -> None:
    wishes = settings(
        tmp_path, llm="openai:gpt-4o,local:smollm2-135m", openai_api_key="k", budget_llm="local"
    )
    models: list[LanguageModel] = [ScriptedLanguageModel(provider="local")]
    chain = Chain(models, kind="llm", limits=limits(wishes, "llm"), rules=breaker_rules(wishes))
    async with open_assistant(settings(tmp_path), ignore) as loaded:
        providers = replace(loaded.providers, language_model=ResilientLanguageModel(chain))
        assert at_hand(wishes, providers, dear_parts(wishes)) == {}
