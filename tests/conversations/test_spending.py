"""Money: every request is told when it ends, and a turn asks for leave before it spends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.conversations.scenario import talk

from antiphon.conversation import events
from antiphon.conversation.allowance import Grant
from antiphon.conversation.apology import apology, farewell
from antiphon.conversation.config import Providers
from antiphon.errors import AntiphonError, BudgetError, SetAsideError
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedVoiceDetector,
)


class Purse:
    """Grants as many turns as it has, each after a while."""

    def __init__(self, turns: int, *, grant: Grant | None = None, takes_s: float = 0.0) -> None:
        self.left = turns
        self.cheap: Providers | None = None
        """Who goes on, once a test says so."""
        self.grant = grant or Grant()
        self.takes_s = takes_s
        self.log: list[str] = []
        self.refusal: AntiphonError | None = None

    def cheaper(self, session_id: str) -> Providers | None:
        return self.cheap

    async def reserve(self, *, session_id: str, turn_id: str) -> Grant:
        self.log.append(f"reserve {turn_id}")
        await asyncio.sleep(self.takes_s)
        if self.refusal is not None:
            raise self.refusal
        if not self.left:
            raise BudgetError("the budget of the day is spent")
        self.left -= 1
        return self.grant

    def settle(self, *, session_id: str, turn_id: str) -> None:
        self.log.append(f"settle {turn_id}")


def a_small_one() -> Providers:
    return Providers(
        recognizer=ScriptedRecognizer(),
        language_model=ScriptedLanguageModel(["From the small one."], first_token_s=0.05),
        synthesizer=ScriptedSynthesizer(first_chunk_s=0.05),
        voice_detector=ScriptedVoiceDetector(),
    )


async def test_a_turn_is_reserved_once_and_settled_after_its_last_call_was_told() -> None:
    purse = Purse(5)

    def observe(event: events.Event) -> None:
        if isinstance(event, events.ProviderCall):
            purse.log.append(f"{event.kind} {event.turn_id}")
        elif isinstance(event, events.ReplyDone):
            purse.log.append(f"done {event.turn_id}")

    async with talk({"France": "It is Paris."}, allowance=purse, observe=observe) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(6.0)
        assert purse.log.count("reserve t1") == purse.log.count("settle t1") == 1
        assert purse.log[-2:] == ["done t1", "settle t1"]
        assert {"asr t1", "llm t1", "tts t1"} <= set(purse.log)


async def test_nothing_is_written_before_leave_is_given() -> None:
    model = ScriptedLanguageModel(["It is Paris."], first_token_s=0.15)
    async with talk(language_model=model, allowance=Purse(1, takes_s=2.0)) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(3.5)
        assert not model.calls
        await conversation.until(7.0)
        assert conversation.heard() == "It is Paris."


async def test_past_the_budget_it_says_so_and_says_goodbye() -> None:
    purse = Purse(1)
    async with talk({"France": "It is Paris."}, allowance=purse) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        conversation.user.says("and of Spain", from_=6.0, to=7.0)
        await conversation.until(20.0)
        assert conversation.heard("r1") == "It is Paris."
        assert conversation.heard("r2") == farewell("en")
        assert [event.code for event in conversation.all(events.Failed)] == ["budget"]
        assert conversation.conversation.ending == "budget"
        assert conversation.history()[-1] == "user: and of Spain"


async def test_a_grant_can_name_cheaper_providers_and_the_user_is_told() -> None:
    cheap = a_small_one()
    notice = events.Notice(kind="budget", message="The rest of the day goes on with a smaller model.")
    purse = Purse(9, grant=Grant(providers=cheap, notices=(notice,)))
    async with talk({"France": "It is Paris."}, allowance=purse) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(6.0)
        assert conversation.heard() == "From the small one."
        assert conversation.all(events.Notice) == [notice]


@pytest.mark.parametrize("streams", [(False, False), (True, False), (False, True)], ids=str)
async def test_once_a_budget_is_spent_the_next_utterance_goes_to_a_cheaper_recogniser(
    streams: tuple[bool, bool],
) -> None:
    own, small = (ScriptedRecognizer(latency_s=0.12, streaming=streaming) for streaming in streams)
    purse = Purse(9)
    async with talk({"France": "It is Paris."}, recognizer=own, allowance=purse) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        conversation.user.says("please tell me the capital of France again", from_=6.0, to=8.0)
        await conversation.until(1.0)
        purse.cheap = replace(a_small_one(), recognizer=small)
        await conversation.until(5.5)
        assert not small.calls, "what was being heard goes on where it began"
        before = len(own.calls)
        await conversation.until(12.0)
        assert small.calls
        assert len(own.calls) == before
        assert conversation.turns() == [
            "what is the capital of France", "please tell me the capital of France again",
        ]  # fmt: skip


async def test_a_turn_for_which_nothing_is_free_just_now_gets_an_apology_and_the_conversation_goes_on() -> (
    None
):
    purse = Purse(9)
    purse.refusal = SetAsideError("what is left is set aside")
    async with talk({"France": "It is Paris."}, allowance=purse) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(8.0)
        purse.refusal = None
        conversation.user.says("what is the capital of France", from_=9.0, to=10.5)
        await conversation.until(14.0)
        assert conversation.heard("r1") == apology("en")
        assert [(event.code, event.retryable) for event in conversation.all(events.Failed)] == [
            ("set_aside", True)
        ]
        assert conversation.heard("r2") == "It is Paris."
        assert conversation.conversation.ending == ""


async def test_an_interrupted_and_an_unfinished_turn_are_settled_too() -> None:
    purse = Purse(9)
    long = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."
    async with talk({"count": long}, otherwise=long, allowance=purse) as conversation:
        conversation.user.says("please count for me", from_=0.5, to=2.0)
        conversation.user.says("stop it right now please", from_=5.0, to=6.5)
        await conversation.until(8.5)
    reserved = [entry.split()[1] for entry in purse.log if entry.startswith("reserve")]
    settled = [entry.split()[1] for entry in purse.log if entry.startswith("settle")]
    assert len(reserved) == 2
    assert sorted(reserved) == sorted(settled)


async def test_every_request_is_told_once_with_how_it_ended() -> None:
    told: list[events.ProviderCall] = []

    def observe(event: events.Event) -> None:
        if isinstance(event, events.ProviderCall):
            told.append(event)

    model = ScriptedLanguageModel(["It is Paris."], first_token_s=0.15, faults=["fail"])
    async with talk(language_model=model, observe=observe) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(6.0)
        done = conversation.all(events.ReplyDone)[0]
        written = [call for call in told if call.kind == "llm"]
        assert len(written) == len(model.calls)
        assert [call.outcome for call in written][:2] == ["provider_unavailable", "ok"]
        assert len(done.calls) == len(told)
        answered = written[1]
        assert answered.first_ms is not None
        assert 149.9 < answered.first_ms < answered.total_ms


async def test_a_voice_that_is_gone_apologises_if_it_can_and_leaves_the_text() -> None:
    voice = ScriptedSynthesizer(first_chunk_s=0.1, faults=["fail"])
    async with talk({"France": "It is Paris. It lies on the Seine."}, synthesizer=voice) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(9.0)
        assert conversation.heard() == apology("en")
        assert "Seine" in "".join(event.text for event in conversation.all(events.ReplyText))
        assert len(voice.calls) == 2
