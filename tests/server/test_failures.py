"""What callers are told when a provider fails: on a server of their own what is wrong, on somebody else's that."""

from __future__ import annotations

from dataclasses import replace

import pytest
import structlog
from tests.server.house import open_house, scripted_assistant
from tests.server.test_access import WAYS, ticket, with_ticket

from antiphon.conversation.events import Failed
from antiphon.errors import ProviderRejected
from antiphon.providers.scripted import ScriptedLanguageModel
from antiphon.server.wire_errors import FOR_ANYBODY, wire_failure
from antiphon.sessions.offer import Assistant
from antiphon.telemetry.turn_log import TurnLog

WRONG_KEY = "OpenAI refuses the key in ANTIPHON_OPENAI_API_KEY; check it"


def refused_assistant() -> Assistant:
    """One whose vendor does not take its key."""
    assistant = scripted_assistant()
    refusal = ProviderRejected(WRONG_KEY, provider="openai:gpt-4o-mini", cause="bad_key")
    model = ScriptedLanguageModel(["never said"], faults=[refusal] * 5)
    return replace(assistant, providers=replace(assistant.providers, language_model=model))


@pytest.mark.real_time
async def test_on_a_server_of_ones_own_the_caller_is_told_what_is_wrong() -> None:
    async with open_house(assistant=refused_assistant()) as house, house.call() as caller:
        await caller.says(type="text", text="Hello")
        told = await caller.until("error")
        assert (told["code"], told["message"]) == ("provider_rejected", WRONG_KEY)


@pytest.mark.real_time
async def test_on_somebody_elses_server_only_the_log_is_told() -> None:
    with structlog.testing.capture_logs() as lines:
        async with open_house(assistant=refused_assistant(), ways=WAYS) as house:
            with house.application.audience.joined(TurnLog()):
                offered = with_ticket(await ticket(house))
                async with house.connect(subprotocols=offered) as caller:
                    await caller.says(type="start")
                    await caller.until("session")
                    await caller.says(type="text", text="Hello")
                    told = await caller.until("error")
    assert (told["code"], told["message"]) == ("provider_rejected", FOR_ANYBODY["provider_rejected"])
    assert [line["problem"] for line in lines if line["event"] == "failed"] == [WRONG_KEY]


@pytest.mark.parametrize("code", sorted(FOR_ANYBODY))
def test_words_for_anybody_name_no_setting_and_no_vendor(code: str) -> None:
    event = Failed(code=code, message=WRONG_KEY, retryable=True)
    told = wire_failure(event, frank=False)
    assert (told.code, told.retryable) == (code, True)
    assert "ANTIPHON" not in told.message
    assert "OpenAI" not in told.message
    assert wire_failure(event).message == WRONG_KEY


def test_a_budget_is_told_in_its_own_words() -> None:
    spent = Failed(code="budget", message="today's budget is used up", retryable=False)
    assert wire_failure(spent, frank=False).message == spent.message
