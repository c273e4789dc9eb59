"""Replies and sentences that break off: what is said twice, what is left to say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.providers.base import Message, WordTime
from antiphon.providers.resilience.seam import Seam, complete, continuing
from antiphon.providers.resilience.voiced import LETTER_S, pace, rest_of, said_until, weight
from antiphon.providers.scripted import ScriptedSynthesizer

STORY = (
    "Well, it is a long story. Once upon a time there was a king, who had three daughters; the eldest wasn't "
    "kind, and the 2nd had 225,000 coins."
)


def joined(written: str, continuation: str, size: int = 3) -> str:
    """The whole reply, the continuation coming in pieces."""
    seam = Seam(written)
    pieces = [continuation[at : at + size] for at in range(0, len(continuation), size)]
    return written + "".join(seam.push(piece) for piece in pieces) + seam.flush()


@pytest.mark.parametrize(
    ("written", "continuation", "whole"),
    [
        ("It", "It is Paris.", "It is Paris."),
        ("It", " is Paris.", "It is Paris."),
        ("It", "is Paris.", "It is Paris."),
        ("It ", "is Paris.", "It is Paris."),
        ("It is the capi", "capital of France.", "It is the capital of France."),
        ("It is the capi", "It is the capital of France.", "It is the capital of France."),
        ("It is the capi", "the capital of France.", "It is the capital of France."),
        ("Well,", "Well, it is late.", "Well, it is late."),
        ("Well, ", "it is late.", "Well, it is late."),
        ("It is a long story. Once", "Once upon a time.", "It is a long story. Once upon a time."),
        ("It is a long story. Once", "story. Once upon a time.", "It is a long story. Once upon a time."),
        ("It is a long story. Once", "It is a long story. Once upon.", "It is a long story. Once upon."),
        ("It is Paris.", "", "It is Paris."),
        ("It is Paris.", "It is Paris.", "It is Paris."),
        ("You have 225", "225,000 coins.", "You have 225,000 coins."),
        ("それは長い", "話です。", "それは長い話です。"),
        ("He said", "… nothing.", "He said… nothing."),
    ],
)
def test_what_was_written_is_not_written_again(written: str, continuation: str, whole: str) -> None:
    assert joined(written, continuation) == whole


@given(st.data())
def test_a_story_cut_anywhere_is_told_once(data: st.DataObject) -> None:
    """Whichever way the second writer begins, in pieces of any size."""
    words = list(re.finditer(r"\w+(?:['’]\w+)*", STORY))
    number = data.draw(st.integers(1, len(words) - 1))
    written = STORY[: words[number].end()]
    back = data.draw(st.sampled_from([0, 1, 2, 5, number]))
    continuation = STORY[words[max(number - back, 0)].start() :]
    size = data.draw(st.integers(1, 12))
    assert joined(written, continuation, size) == STORY


def test_a_continuation_comes_after_all_that_was_there_before() -> None:
    before = [Message(role="system", content="Be brief."), Message(role="user", content="Tell me.")]
    asked = continuing(before, "Once upon a ti")
    assert asked[:2] == before
    assert (asked[2].role, asked[2].content) == ("assistant", "Once upon a ti")
    assert "'ti'" in asked[3].content


def test_complete_replies_may_stand() -> None:
    assert complete("It is Paris. ")
    assert not complete("It is")


# ---- voices -----------------------------------------------------------------------------------------------

TEXT = "the quick brown fox jumps over the lazy dog"


def test_with_word_times_the_next_word_is_known() -> None:
    words = [
        WordTime(end_char=3, start_s=0.0, end_s=0.3),
        WordTime(end_char=9, start_s=0.3, end_s=0.8),
        WordTime(end_char=15, start_s=0.8, end_s=1.3),
    ]
    assert TEXT[: said_until(TEXT, 0.8, words)] == "the quick"
    assert TEXT[: said_until(TEXT, 1.0, words)] == "the quick"
    assert TEXT[: said_until(TEXT, 1.2, words)] == "the quick brown"
    assert said_until(TEXT, 0.0, words) == 0


def test_without_them_the_pace_tells() -> None:
    for count in range(1, 9):
        said = " ".join(TEXT.split()[:count])
        seconds = sum(weight(word) for word in said.split()) * LETTER_S
        assert TEXT[: said_until(TEXT, seconds, ())] == said


@given(st.floats(0.0, 6.0), st.floats(0.0, 6.0))
def test_more_sound_is_never_fewer_words(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert said_until(TEXT, less, ()) <= said_until(TEXT, more, ())


def test_punctuation_is_no_rest() -> None:
    assert rest_of("It is Paris.", 11) == ("", 12)
    assert rest_of("It is Paris, I think.", 11) == ("I think.", 13)
    assert rest_of("それは長い話です。", 3) == ("長い話です。", 3)


def test_a_voices_pace_is_learnt_from_whole_texts() -> None:
    learnt = pace(TEXT, sum(weight(word) for word in TEXT.split()) * 0.08)
    assert learnt == pytest.approx(0.08)
    assert pace("Yes.", 0.5) is None


def test_the_scripted_voices_times_agree_with_its_sound() -> None:
    voice = ScriptedSynthesizer()
    sound, words = voice.says(TEXT)
    half = words[4].end_s
    assert TEXT[: said_until(TEXT, half, words[:5])] == "the quick brown fox jumps"
    assert len(sound) / 2 / voice.info.sample_rate > half
