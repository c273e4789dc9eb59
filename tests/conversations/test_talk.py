"""The plain course of a conversation: questions, pauses, typing, push-to-talk."""

from __future__ import annotations

import pytest
from tests.conversations.scenario import RATE_OUT, talk

from antiphon.conversation import events
from antiphon.conversation.config import ConversationConfig
from antiphon.errors import AudioError
from antiphon.providers.scripted import ScriptedRecognizer, ScriptedSynthesizer
from antiphon.turns.policy import TurnPolicy

LONG = "Here is a long answer to that. It goes on for a while, and then for a while more. That was all of it."


async def test_a_question_is_answered() -> None:
    async with talk({"capital of France": "It is Paris."}) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(5.0)
        assert conversation.turns() == ["what is the capital of France"]
        assert conversation.heard() == "It is Paris."
        assert conversation.history() == ["user: what is the capital of France", "assistant: It is Paris."]


async def test_the_sound_begins_before_half_a_second_has_passed() -> None:
    async with talk({"capital of France": "It is Paris."}) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(5.0)
        # 120 recognise + 150 first token + 80 clause + 100 voice, and less than 100 to notice the pause.
        assert 2.35 < conversation.sounds_from() < 2.55
        (done,) = conversation.all(events.ReplyDone)
        stages = {name: ms for name, ms in done.latency_ms.items() if name != "first_sound"}
        assert sum(stages.values()) == pytest.approx(done.latency_ms["first_sound"], abs=1.0)
        assert stages["engine"] < 1.0


async def test_a_pause_in_the_middle_of_a_turn_is_not_its_end() -> None:
    async with talk({"pizza": "One pizza."}) as conversation:
        conversation.user.says("I would like a pizza with", from_=0.5, to=1.7)
        conversation.user.says("mushrooms", from_=2.4, to=3.0)
        await conversation.until(6.0)
        assert conversation.turns() == ["I would like a pizza with mushrooms"]
        assert conversation.heard() == "One pizza."
        assert len(conversation.all(events.ReplyStarted)) == 1


async def test_an_unfinished_phrase_is_answered_after_a_while_all_the_same() -> None:
    async with talk(otherwise="With what?") as conversation:
        conversation.user.says("I would like a pizza with", from_=0.5, to=1.7)
        await conversation.until(6.0)
        assert conversation.heard() == "With what?"
        assert 1.0 < conversation.sounds_from() - 1.7 < 1.5


async def test_going_on_before_the_answer_sounds_is_the_same_turn() -> None:
    async with talk({"Rome": "Two cities.", "Paris": "One city."}) as conversation:
        conversation.user.says("tell me about Paris", from_=0.5, to=1.5)
        conversation.user.says("and also about Rome please", from_=1.85, to=2.9)
        await conversation.until(6.0)
        assert conversation.heard() == "Two cities."
        assert conversation.history() == [
            "user: tell me about Paris and also about Rome please",
            "assistant: Two cities.",
        ]


async def test_two_turns_remember_each_other() -> None:
    async with talk({"name": "Ada."}, otherwise="Hello Ada.") as conversation:
        conversation.user.says("I am Ada", from_=0.5, to=1.2)
        conversation.user.says("what is my name", from_=4.0, to=5.0)
        await conversation.until(8.0)
        assert conversation.history() == [
            "user: I am Ada",
            "assistant: Hello Ada.",
            "user: what is my name",
            "assistant: Ada.",
        ]


async def test_noise_and_silence_are_not_answered() -> None:
    async with talk() as conversation:
        conversation.user.noise(from_=0.5, to=1.2)
        conversation.user.noise(from_=2.5, to=4.8)
        await conversation.until(8.0)
        assert conversation.turns() == []
        assert conversation.heard() == ""
        assert conversation.history() == []


async def test_a_typed_turn_is_answered_aloud() -> None:
    async with talk({"hello": "Hi there."}) as conversation:
        await conversation.until(0.5)
        conversation.conversation.type_text("hello")
        await conversation.until(3.0)
        assert conversation.heard() == "Hi there."
        assert conversation.history() == ["user: hello", "assistant: Hi there."]


async def test_a_typed_turn_stops_the_reply_before_it() -> None:
    async with talk({"story": LONG, "hello": "Hi there."}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        await conversation.until(3.0)
        conversation.conversation.type_text("hello")
        await conversation.until(6.0)
        assert conversation.heard().endswith("Hi there.")
        (cut,) = conversation.all(events.Interrupted)
        assert conversation.heard("r1") == cut.heard_text
        assert conversation.history()[1] == f"assistant: {cut.heard_text}"


async def test_push_to_talk_ends_the_turn_when_released_and_not_before() -> None:
    config = ConversationConfig(mode="push_to_talk", output_rate=RATE_OUT)
    async with talk({"pizza": "Yes."}, config=config) as conversation:
        conversation.user.says("do you have", from_=0.2, to=0.8)
        conversation.user.says("pizza", from_=2.5, to=3.0)
        conversation.user.stops_sending_at = 3.2
        await conversation.until(3.2)
        assert conversation.turns() == []
        conversation.conversation.commit()
        await conversation.until(5.0)
        assert conversation.turns() == ["do you have pizza"]
        assert conversation.heard() == "Yes."


async def test_the_stop_button_stops_the_reply() -> None:
    async with talk({"story": LONG}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        await conversation.until(3.5)
        conversation.conversation.interrupt()
        await conversation.until(7.0)
        assert conversation.silent_from() < 3.55
        assert LONG.startswith(conversation.heard())
        assert conversation.history()[-1] == f"assistant: {conversation.heard()}"


async def test_a_microphone_that_stops_sending_ends_the_turn() -> None:
    async with talk({"Paris": "It is Paris."}) as conversation:
        conversation.user.says("is it Paris", from_=0.5, to=1.5)
        conversation.user.stops_sending_at = 1.52
        await conversation.until(6.0)
        assert conversation.heard() == "It is Paris."


async def test_a_streaming_recogniser_answers_sooner_and_shows_words_as_they_come() -> None:
    recognizer = ScriptedRecognizer(latency_s=0.12, streaming=True)
    async with talk({"France": "It is Paris."}, recognizer=recognizer) as conversation:
        conversation.user.says("what is the capital of", from_=0.5, to=1.5)
        conversation.user.says("France", from_=2.1, to=2.8)
        await conversation.until(6.0)
        assert conversation.turns() == ["what is the capital of France"]
        assert conversation.heard() == "It is Paris."
        interim = [event.text for event in conversation.all(events.TranscriptChanged) if not event.final]
        assert "what is" in interim


async def test_only_so_much_sound_is_sent_ahead_of_the_listener() -> None:
    async with talk({"story": " ".join([LONG] * 5)}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        await conversation.until(8.0)
        ahead_s = len(conversation.speaker.queue) / 2 / RATE_OUT
        assert ahead_s <= 1.15


async def test_a_listener_that_is_slow_is_waited_for() -> None:
    async with talk({"story": LONG}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        await conversation.until(3.0)
        conversation.speaker.held = True  # the client's sound stands still, and its reports with it
        await conversation.until(5.0)
        sent = sum(len(event.pcm) for event in conversation.all(events.ReplyAudio)) / 2 / RATE_OUT * 1000
        assert sent - conversation.speaker.played_ms < 2_300


async def test_speculation_can_be_turned_down() -> None:
    for level in ("off", "asr", "llm", "tts"):
        policy = TurnPolicy.of("balanced", speculation=level)
        async with talk({"France": "It is Paris."}, policy=policy) as conversation:
            conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
            await conversation.until(6.0)
            assert conversation.heard() == "It is Paris.", level


async def test_plain_silence_ends_a_turn_whatever_was_said() -> None:
    async with talk(otherwise="Yes?", policy=TurnPolicy.of("silence", silence_s=0.5)) as conversation:
        conversation.user.says("I would like a pizza with", from_=0.5, to=1.5)
        await conversation.until(5.0)
        released = conversation.when(events.ReplyStarted)[0]
        assert released - 1.5 == pytest.approx(0.5, abs=0.05)


async def test_sound_that_is_not_sound_is_refused() -> None:
    async with talk() as conversation:
        with pytest.raises(AudioError, match="odd number of bytes"):
            conversation.conversation.hear(b"abc")
        with pytest.raises(AudioError, match="empty"):
            conversation.conversation.hear(b"")
        for _ in range(500):
            conversation.conversation.hear(bytes(640))
        with pytest.raises(AudioError, match="faster than it was spoken"):
            conversation.conversation.hear(bytes(640))


async def test_a_slow_voice_still_speaks_in_order() -> None:
    voice = ScriptedSynthesizer(first_chunk_s=0.4, real_time_factor=0.8)
    async with talk({"story": LONG}, synthesizer=voice) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        await conversation.until(14.0)
        assert conversation.heard() == LONG


async def test_a_streaming_recogniser_is_believed_before_it_is_sure() -> None:
    """The last word is there 200 ms after it was said, the final transcript 300 ms after: the answer is begun on the
    first and released on the second."""
    sure, slow = ScriptedRecognizer(latency_s=0.2, streaming=True), ScriptedRecognizer(latency_s=0.3)
    sounds = []
    for recognizer in (sure, slow):
        async with talk({"France": "It is Paris."}, recognizer=recognizer) as conversation:
            conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
            await conversation.until(6.0)
            assert conversation.heard() == "It is Paris."
            sounds.append(conversation.sounds_from())
    assert sounds[0] < sounds[1]


async def test_no_sound_is_kept_of_a_conversation_that_is_over() -> None:
    async with talk({"capital of France": LONG}) as talking:
        talking.user.says("what is the capital of France", from_=0.5, to=2.0)
        await talking.until(4.0)
        ear = talking.conversation._ear
        assert len(ear.cut(1.0, 2.0)) == 32_000
    assert ear.cut(1.0, 2.0) == b""
