"""A connection that breaks and comes back, at every awkward moment: nothing said twice, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.conversations.scenario import Talk, talk
from tests.virtual_time import run_virtual

from antiphon.conversation import events
from antiphon.conversation.memory import Memory

QUESTION = "Tell me about the moon"
ANSWER = "The moon is a quiet place. It goes around the earth once a month. People have been there."
WORDS = ANSWER.replace(".", "").lower()
END_S = 25.0


def said(talking: Talk) -> str:
    return talking.heard().lower().replace(".", "")


def done(talking: Talk) -> list[events.ReplyDone]:
    return talking.all(events.ReplyDone)


async def holds_through(*breaks: tuple[float, float], says_where: bool = True) -> Talk:
    """One question and its answer, with the connection away from … to …; the talk when it is over."""
    async with talk({"moon": ANSWER}) as talking:
        talking.user.says(QUESTION, from_=0.5)
        for start, end in breaks:
            await talking.until(start)
            talking.drops()
            await talking.until(end)
            await talking.comes_back(says_where=says_where)
        await talking.until(END_S)
        return talking


MOMENTS = {
    "before a word": 0.1,
    "in the middle of the question": 1.0,
    "as the question ends": 2.0,
    "while it thinks": 2.35,
    "as the first sound comes": 2.6,
    "in the middle of the answer": 4.5,
    "near the end of the answer": 7.5,
    "after it all": 12.0,
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("seconds", [0.2, 1.0, 5.0])
async def test_a_break(moment: str, seconds: float) -> None:
    at = MOMENTS[moment]
    talking = await holds_through((at, at + seconds))
    assert talking.turns() == [QUESTION]
    assert said(talking) == WORDS
    assert [reply.text for reply in done(talking)] == [ANSWER]


async def test_a_break_on_the_way_to_the_first_sound_is_no_latency() -> None:
    for moment, seconds in (("as the question ends", 3.0), ("while it thinks", 3.0)):
        at = MOMENTS[moment]
        talking = await holds_through((at, at + seconds))
        assert done(talking)[0].latency_ms == {}, moment
    at = MOMENTS["in the middle of the answer"]
    talking = await holds_through((at, at + 3.0))
    assert 300 < done(talking)[0].latency_ms["first_sound"] < 1500


async def test_two_breaks_in_a_row() -> None:
    talking = await holds_through((4.5, 5.0), (5.1, 7.0))
    assert said(talking) == WORDS
    assert len(done(talking)) == 1


@given(
    at=st.floats(0.05, 10.0),
    seconds=st.floats(0.02, 6.0),
    after=st.floats(0.02, 4.0),
    again=st.floats(0.02, 3.0),
)
@example(at=9.0, seconds=0.5, after=0.02, again=0.02)
def test_any_two_breaks(at: float, seconds: float, after: float, again: float) -> None:
    first = at + seconds
    talking = run_virtual(holds_through((at, first), (first + after, first + after + again)))
    assert talking.turns() == [QUESTION]
    assert said(talking) == WORDS
    assert [reply.text for reply in done(talking)] == [ANSWER]
    assert talking.history() == [f"user: {QUESTION}", f"assistant: {ANSWER}"]


async def test_an_interruption_that_was_lost_with_the_connection_is_made_after_it() -> None:
    async with talk({"moon": ANSWER}) as talking:
        talking.user.says(QUESTION, from_=0.5)
        talking.user.says("stop, thank you", from_=4.6)
        await talking.until(4.5)
        talking.drops()
        await talking.until(6.0)
        await talking.comes_back()
        await talking.until(12.0)
        assert len(talking.all(events.Interrupted)) == 1
        assert talking.turns() == [QUESTION, "stop, thank you"]


async def test_a_break_while_the_reply_is_held_leaves_it_held() -> None:
    async with talk({"moon": ANSWER}) as talking:
        talking.user.says(QUESTION, from_=0.5)
        talking.user.says("uh-huh", from_=4.5)
        await talking.until(4.85)
        talking.drops()
        await talking.until(6.0)
        await talking.comes_back()
        await talking.until(END_S)
        assert not talking.all(events.Interrupted)
        assert said(talking) == WORDS


async def test_time_stands_still_while_nobody_is_there() -> None:
    talking = await holds_through((1.0, 61.0))
    assert talking.conversation.memory.position_s < 1.0 + 8.0 + 0.5  # what the client had kept, no more


async def test_a_conversation_goes_on_elsewhere_with_what_was_said_and_heard() -> None:
    async with talk({"moon": ANSWER}) as here:
        here.user.says(QUESTION, from_=0.5)
        await here.until(5.0)
        here.drops()
        memory = here.conversation.memory
        heard = said(here)
    assert memory.unfinished is not None
    async with talk({"moon": ANSWER}, memory=memory) as there:
        await there.until(10.0)
        assert [reply.text for reply in done(there)] == [ANSWER]
        assert not there.all(events.ReplyStarted)
        begun = there.all(events.AudioStarted)[0]
        assert begun.reply_id == memory.unfinished.reply_id
        assert begun.from_ms == round(memory.unfinished.heard_ms)
        assert f"{heard} {said(there)}".split()[-10:] == WORDS.split()[-10:]
        assert there.history() == [f"user: {QUESTION}", f"assistant: {ANSWER}"]
        there.user.says("and the sun", from_=there.now + 0.5)
        await there.until(20.0)
        assert there.turns() == ["and the sun"]
        names = [event.turn_id for event in there.all(events.TranscriptChanged)]
        assert set(names) == {"t2"}
        assert there.all(events.SpeechStarted)[0].at_s > memory.position_s


async def test_after_a_sudden_end_no_name_is_given_out_twice() -> None:
    async with talk({"moon": ANSWER}) as here:
        here.user.says(QUESTION, from_=0.5)
        await here.until(5.0)
        kept = here.conversation.memory
    memory = kept.after_sudden_end()
    assert memory.unfinished is None
    assert memory.entries[-1].interrupted
    assert ANSWER.startswith(memory.entries[-1].text)
    assert memory.turns > kept.turns + 50


async def test_a_conversation_with_nothing_in_it_is_between_turns() -> None:
    async with talk() as talking:
        await talking.until(0.5)
        assert talking.conversation.between_turns
        assert talking.conversation.memory.entries == Memory().entries
