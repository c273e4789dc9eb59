"""Providers that fail, stall or say nothing: the user is told, and the session lives on."""

from __future__ import annotations

from tests.conversations.scenario import talk

from antiphon.conversation import events
from antiphon.conversation.apology import apology
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    by_phrase,
)

REPLIES = by_phrase({"Spain": "It is Madrid.", "capital of France": "It is Paris."})


async def test_a_failure_that_passes_is_not_noticed() -> None:
    for fault in ("fail", "empty"):
        model = ScriptedLanguageModel(REPLIES, first_token_s=0.15, faults=[fault])
        async with talk(language_model=model) as conversation:
            conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
            await conversation.until(6.0)
            assert conversation.heard() == "It is Paris.", fault
            assert conversation.all(events.Failed) == []


async def test_a_model_that_fails_for_good_is_apologised_for_and_the_session_goes_on() -> None:
    model = ScriptedLanguageModel(REPLIES, first_token_s=0.15, faults=["fail", "fail"])
    async with talk(language_model=model) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        conversation.user.says("and of Spain", from_=9.0, to=10.0)
        await conversation.until(14.0)
        assert conversation.heard("r1") == apology("en")
        assert conversation.all(events.ReplyDone)[0].error == "provider_unavailable"
        assert [event.code for event in conversation.all(events.Failed)] == ["provider_unavailable"]
        assert conversation.heard("r2") == "It is Madrid."


async def test_a_rejected_request_is_not_tried_again() -> None:
    model = ScriptedLanguageModel(REPLIES, faults=["reject"])
    async with talk(language_model=model) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(8.0)
        assert len(model.calls) == 1
        assert conversation.heard() == apology("en")


async def test_a_model_that_stalls_does_not_leave_silence_for_ever() -> None:
    model = ScriptedLanguageModel(REPLIES, faults=["stall", "stall"])
    async with talk(language_model=model) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(35.0)
        assert conversation.heard() == apology("en")


async def test_a_reply_cut_off_in_the_middle_keeps_what_was_said() -> None:
    model = ScriptedLanguageModel(REPLIES, faults=["cut"])
    async with talk(language_model=model) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(8.0)
        assert conversation.heard() == "It"
        assert conversation.all(events.ReplyDone)[0].error == "provider_unavailable"


async def test_a_voice_that_fails_leaves_the_text_and_the_session() -> None:
    voice = ScriptedSynthesizer(first_chunk_s=0.1, faults=["fail"])
    async with talk({"France": "It is Paris.", "Spain": "It is Madrid."}, synthesizer=voice) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        conversation.user.says("and of Spain", from_=6.0, to=7.0)
        await conversation.until(12.0)
        assert "".join(event.text for event in conversation.all(events.ReplyText)).startswith("It is Paris.")
        assert conversation.heard("r2") == "It is Madrid."


async def test_a_recogniser_that_fails_once_is_asked_again() -> None:
    recognizer = ScriptedRecognizer(latency_s=0.12, faults=["fail", "fail"])
    async with talk({"France": "It is Paris."}, recognizer=recognizer) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(6.0)
        assert conversation.heard() == "It is Paris."


async def test_a_recogniser_that_is_gone_is_told_of_and_the_next_turn_works() -> None:
    recognizer = ScriptedRecognizer(latency_s=0.12, faults=["reject"] * 3)
    async with talk({"Spain": "It is Madrid."}, recognizer=recognizer) as conversation:
        conversation.user.says("hello there", from_=0.5, to=1.2)
        conversation.user.says("what about Spain", from_=4.0, to=5.0)
        await conversation.until(9.0)
        assert [event.code for event in conversation.all(events.Failed)] == ["provider_rejected"]
        assert conversation.heard("r2") == "It is Madrid."


async def test_a_turn_that_no_recogniser_would_hear_is_apologised_for() -> None:
    recognizer = ScriptedRecognizer(latency_s=0.12, faults=["reject"] * 3)
    async with talk({"Spain": "It is Madrid."}, recognizer=recognizer) as conversation:
        conversation.user.says("hello there", from_=0.5, to=1.2)
        conversation.user.says("what about Spain", from_=8.0, to=9.0)
        await conversation.until(13.0)
        assert conversation.heard("r1") == apology("en")
        assert conversation.sounds_from() < 1.2 + 4.0
        assert conversation.heard("r2") == "It is Madrid."
        assert conversation.history() == ["user: what about Spain", "assistant: It is Madrid."]
