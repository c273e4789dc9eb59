"""Recognisers whose words come late, while they are said."""

from __future__ import annotations

import pytest
from tests.conversations.scenario import RATE_OUT, talk

from antiphon.conversation import events
from antiphon.conversation.config import ConversationConfig
from antiphon.conversation.hearing import OVERLAP_PROMPTS
from antiphon.providers.scripted import ScriptedRecognizer, ScriptedSynthesizer

STORY = "Once upon a time there was a miller who had three sons and a mill and a cat. " * 3


@pytest.mark.parametrize("latency_s", [0.05, 0.2, 0.35, 0.6])
async def test_late_words_are_not_lost(latency_s: float) -> None:
    recognizer = ScriptedRecognizer(latency_s=latency_s, streaming=True)
    async with talk({"France": "Paris."}, recognizer=recognizer) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(6.0)
        assert conversation.turns() == ["what is the capital of France"]
        assert conversation.heard() == "Paris."


@pytest.mark.parametrize("streaming", [True, False])
async def test_the_recogniser_is_told_what_callers_will_say(streaming: bool) -> None:
    recognizer = ScriptedRecognizer(streaming=streaming)
    config = ConversationConfig(output_rate=RATE_OUT, language="en", asr_prompt="Antiphon, Zürich")
    async with talk({"story": STORY}, recognizer=recognizer, config=config) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        conversation.user.says("uh-huh", from_=4.0, to=4.4)
        await conversation.until(8.0)
    # What is said over a reply is heard by itself where each request has its own prompt.
    over = set() if streaming else {OVERLAP_PROMPTS["en"]}
    assert {call.context for call in recognizer.calls} == {"Antiphon, Zürich"} | over


async def test_a_turn_holds_its_own_words_only() -> None:
    recognizer = ScriptedRecognizer(latency_s=0.2, streaming=True)
    async with talk({}, otherwise="I see.", recognizer=recognizer) as conversation:
        for turn, text in enumerate(("first of all", "then another", "and the last")):
            conversation.user.says(text, from_=0.5 + 4 * turn, to=1.5 + 4 * turn)
        await conversation.until(13.0)
        assert conversation.turns() == ["first of all", "then another", "and the last"]


@pytest.mark.parametrize("latency_s", [0.1, 0.3])
async def test_a_sign_of_listening_stops_nothing_and_is_not_heard_again(latency_s: float) -> None:
    recognizer = ScriptedRecognizer(latency_s=latency_s, streaming=True)
    replies = {"story": STORY, "France": "Paris."}
    async with talk(replies, recognizer=recognizer) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        conversation.user.says("uh-huh", from_=4.0, to=4.4)
        await conversation.until(20.0)
        assert conversation.all(events.Interrupted) == []
        assert conversation.heard("r1") == STORY.strip()
        conversation.user.says("what is the capital of France", from_=21.0, to=22.0)
        await conversation.until(26.0)
        assert conversation.turns() == ["tell me a story", "what is the capital of France"]
        sent_s = sum(call.audio_s for call in recognizer.calls)
        assert sent_s < 12.0, "silence was sent as well"


@pytest.mark.parametrize("latency_s", [0.1, 0.3])
async def test_an_interruption_stops_the_reply(latency_s: float) -> None:
    recognizer = ScriptedRecognizer(latency_s=latency_s, streaming=True)
    voice = ScriptedSynthesizer(first_chunk_s=0.1)
    async with talk({"story": STORY}, recognizer=recognizer, synthesizer=voice) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        conversation.user.says("stop that now please", from_=4.0, to=5.0)
        await conversation.until(12.0)
        assert len(conversation.all(events.Interrupted)) == 1
        assert conversation.turns() == ["tell me a story", "stop that now please"]
