"""Speech over a reply: interruptions, backchannels, noises, echoes."""

from __future__ import annotations

from tests.conversations.scenario import talk

from antiphon.audio.coded_speech import SpeechTrack
from antiphon.conversation import events
from antiphon.providers.scripted import ScriptedRecognizer
from antiphon.turns.policy import TurnPolicy

LONG = (
    "Here is a long answer to that. It goes on for a while, and then for a while more. "
    "After that it tells of mountains and of rivers. That was all of it."
)


async def test_an_interruption_silences_the_reply_within_300_ms_and_is_answered() -> None:
    async with talk({"story": LONG, "weather": "It is sunny."}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        conversation.user.says("no tell me about the weather instead", from_=4.0, to=5.6)
        await conversation.until(9.0)
        before = [at for at, reply, _ in conversation.speaker.played if reply == "r1"]
        assert max(before) - 4.0 <= 0.3
        (cut,) = conversation.all(events.Interrupted)
        assert conversation.heard("r1") == cut.heard_text
        assert LONG.startswith(cut.heard_text)
        assert conversation.history() == [
            "user: tell me a story",
            f"assistant: {cut.heard_text}",
            "user: no tell me about the weather instead",
            "assistant: It is sunny.",
        ]


async def test_a_backchannel_lets_it_go_on_from_where_it_was() -> None:
    async with talk({"story": LONG}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        conversation.user.says("uh-huh", from_=4.0, to=4.4)
        await conversation.until(16.0)
        assert conversation.heard() == LONG
        assert conversation.all(events.Interrupted) == []
        assert "duck" in conversation.decisions()
        assert "resume" in conversation.decisions()
        assert conversation.history() == ["user: tell me a story", f"assistant: {LONG}"]


async def test_a_noise_lets_it_go_on() -> None:
    async with talk({"story": LONG}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        conversation.user.noise(from_=3.0, to=3.2)
        conversation.user.noise(from_=5.0, to=7.0)
        await conversation.until(18.0)
        assert conversation.heard() == LONG
        assert conversation.all(events.Interrupted) == []


async def test_words_after_a_backchannel_still_interrupt() -> None:
    async with talk({"story": LONG, "stop": "All right."}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        conversation.user.says("okay", from_=4.0, to=4.4)
        conversation.user.says("but please stop now", from_=4.5, to=5.5)
        await conversation.until(9.0)
        assert conversation.heard("r2") == "All right."
        assert conversation.turns()[-1].endswith("but please stop now")


async def test_its_own_echo_does_not_interrupt_it() -> None:
    async with talk({"story": LONG}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        await conversation.until(3.0)
        conversation.user.says("Here is a long answer to that.", from_=3.1, to=4.4)
        await conversation.until(16.0)
        assert conversation.all(events.Interrupted) == []
        assert "echo" in conversation.decisions()
        assert conversation.heard() == LONG


async def test_a_loudspeaker_that_feeds_the_microphone_gets_no_answer() -> None:
    async with talk({"story": LONG}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        await conversation.until(2.2)
        echo = SpeechTrack(rate=16_000)
        echo.says(LONG, from_=0.0)
        conversation.user.plays(echo.pcm(0.0, echo.end_s), from_=2.3)
        await conversation.until(24.0)
        assert conversation.turns() == ["tell me a story"]
        assert conversation.heard() == LONG


async def test_barge_in_can_be_turned_off() -> None:
    policy = TurnPolicy.of("balanced", barge_in=False)
    async with talk({"story": LONG}, policy=policy) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        conversation.user.says("stop it now please", from_=4.0, to=5.0)
        await conversation.until(16.0)
        assert conversation.heard() == LONG


async def test_a_recogniser_that_is_too_slow_leaves_it_to_length() -> None:
    recognizer = ScriptedRecognizer(latency_s=3.0)
    async with talk({"story": LONG}, recognizer=recognizer) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        conversation.user.says("no I want something else entirely now please", from_=9.0, to=11.5)
        await conversation.until(20.0)
        (cut, *_) = conversation.all(events.Interrupted)
        assert conversation.heard("r1") == cut.heard_text


async def test_yes_to_a_question_being_asked_is_an_answer() -> None:
    ask = "I can tell you a story about the sea. Would you like me to do that now?"
    async with talk({"story": ask, "yes": "Then listen."}) as conversation:
        conversation.user.says("tell me a story", from_=0.5, to=1.5)
        conversation.user.says("yes please", from_=6.0, to=6.6)
        await conversation.until(10.0)
        assert conversation.heard("r2") == "Then listen."
