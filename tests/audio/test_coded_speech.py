"""Coded speech says which words any stretch of it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio.coded_speech import (
    SpeechTrack,
    coded_text,
    coded_words,
    noise_sound,
    silence,
    speech_sound,
    word_sound,
)

word = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)


@given(st.lists(word, min_size=1, max_size=8), st.sampled_from([8_000, 16_000, 22_050, 24_000, 48_000]))
def test_what_is_said_is_heard(words: list[str], rate: int) -> None:
    sound = speech_sound(" ".join(words), 0.5 * len(words), rate=rate)
    assert coded_text(sound, rate=rate) == " ".join(words)
    assert len(sound) == 2 * round(0.5 * len(words) * rate)


@given(st.integers(0, 32_000))
def test_a_cut_anywhere_splits_the_words_between_both_halves(at: int) -> None:
    words = ["turn", "it", "up", "please", "no", "no"]
    sound = speech_sound(" ".join(words), 2.0)
    before = coded_text(sound[: 2 * at]).split()
    after = coded_text(sound[2 * at :]).split()
    assert len(before) + len(after) in (5, 6, 7)  # a word cut in half may be heard by both, or by none
    assert before == words[: len(before)]
    assert after == words[len(words) - len(after) :]


def test_words_know_their_times() -> None:
    sound = silence(0.25) + word_sound("hello", 8_000) + word_sound("there", 4_000, number=1)
    first, second = coded_words(sound)
    assert (first.word, first.start_s, first.end_s) == ("hello", 0.25, 0.75)
    assert (second.word, second.start_s, second.end_s) == ("there", 0.75, 1.0)


def test_less_than_half_a_word_is_not_understood_but_seen() -> None:
    sound = word_sound("hello", 8_000)
    assert coded_text(sound[: 2 * 3_000]) == ""
    assert coded_words(sound[: 2 * 3_000])[0].share == pytest.approx(3_000 / 8_000)


def test_a_word_torn_by_missing_sound_is_one_word() -> None:
    sound = word_sound("hello", 8_000)
    torn = sound[: 2 * 3_000] + bytes(640) + sound[2 * 3_500 :]
    assert coded_text(torn) == "hello"


def test_noise_and_silence_hold_no_words() -> None:
    assert coded_words(noise_sound(1.0)) == []
    assert coded_words(silence(1.0)) == []


def test_a_track_gives_what_was_said_between_two_times() -> None:
    track = SpeechTrack()
    track.says("my number is", from_=1.0, to=2.0)
    track.noise(from_=2.5, to=2.8)
    track.says("four two", from_=3.0, to=4.0)
    assert track.end_s == 4.0
    assert coded_text(track.pcm(0.0, 4.0)) == "my number is four two"
    assert coded_text(track.pcm(2.0, 4.0)) == "four two"
    assert track.pcm(4.0, 4.5) == silence(0.5)
    assert len(track.pcm(0.3, 0.32)) == 640


@pytest.mark.parametrize(("text", "samples"), [("", 100), ("hello", 8), ("hello", 16_000 * 10)])
def test_a_word_that_does_not_fit_its_time_is_refused(text: str, samples: int) -> None:
    with pytest.raises(ValueError):
        word_sound(text, samples)
