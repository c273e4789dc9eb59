"""What the voices share: silence cut off in front, words shared out and placed."""

from __future__ import annotations

import numpy as np

from antiphon.inference.speech import LeadTrimmer, Piece, Word, share, word_times, words_of
from antiphon.providers.base import WordTime

RATE = 1000
"""Samples a second: a sample is a millisecond."""


def quiet(samples: int) -> Piece:
    return Piece(sound=np.zeros(samples, dtype=np.float32))


def loud(samples: int, *words: WordTime) -> Piece:
    return Piece(sound=np.full(samples, 0.5, dtype=np.float32), words=words)


def after(samples: int, then: Piece) -> Piece:
    return Piece(sound=np.concatenate((np.zeros(samples, dtype=np.float32), then.sound)), words=then.words)


def test_silence_in_front_is_cut_to_twenty_milliseconds_and_the_words_move_with_it() -> None:
    word = WordTime(end_char=3, start_s=0.12, end_s=0.2)
    trimmed = LeadTrimmer(RATE)(after(100, loud(50, word)))
    assert len(trimmed.sound) == 70
    assert [round(time, 3) for time in (trimmed.words[0].start_s, trimmed.words[0].end_s)] == [0.04, 0.12]


def test_silence_over_several_pieces_is_cut_as_one() -> None:
    trim = LeadTrimmer(RATE)
    assert len(trim(quiet(100)).sound) == 20
    assert len(trim(after(60, loud(40))).sound) == 60
    later = trim(loud(10, WordTime(end_char=1, start_s=0.5, end_s=0.6)))
    assert round(later.words[0].start_s, 3) == 0.5 - 0.12


def test_a_sound_at_once_and_silence_later_are_left_alone() -> None:
    trim = LeadTrimmer(RATE)
    assert len(trim(loud(10)).sound) == 10
    assert len(trim(quiet(500)).sound) == 500


def test_words_are_found_where_they_are() -> None:
    text = "  Well, it's 5. "
    assert [word.of(text) for word in words_of(text)] == ["Well,", "it's", "5."]
    assert [word.weight for word in words_of(text)] == [4, 3, 1]


def test_each_word_goes_to_the_sentence_in_which_its_middle_falls() -> None:
    words = [Word(n, n + 1, 4) for n in range(4)]
    assert share(words, [8, 8]) == [words[:2], words[2:]]
    assert share(words, [5, 11]) == [words[:1], words[1:]]
    assert share(words, []) == []
    assert share([Word(0, 1, 0)], [3]) == [[Word(0, 1, 0)]]


def test_words_end_at_the_spaces_between_phoneme_words() -> None:
    """Each phoneme here lasts 0.1 s: "ab cde" is two words of two and three phonemes."""
    phonemes = "ab cde"
    ends = [0.1 * (n + 1) for n in range(len(phonemes))]
    times = word_times([Word(0, 2, 2), Word(3, 6, 3)], phonemes, ends, start_s=0.0)
    assert [(word.end_char, round(word.start_s, 1), round(word.end_s, 1)) for word in times] == [
        (2, 0.0, 0.2),
        (6, 0.3, 0.6),
    ]


def test_a_number_is_one_word_though_it_is_spoken_as_several() -> None:
    phonemes = "aa bb cc dd"
    ends = [0.1 * (n + 1) for n in range(len(phonemes))]
    times = word_times([Word(0, 1, 6), Word(2, 3, 2)], phonemes, ends, start_s=0.0)
    assert [round(word.end_s, 1) for word in times] == [0.8, 1.1]


def test_words_joined_in_speech_share_its_time_by_length() -> None:
    phonemes = "abcdef"
    ends = [0.1 * (n + 1) for n in range(len(phonemes))]
    times = word_times([Word(0, 2, 2), Word(3, 6, 4)], phonemes, ends, start_s=0.0)
    assert [round(word.end_s, 1) for word in times] == [0.2, 0.6]


def test_nothing_spoken_has_no_times() -> None:
    assert word_times([Word(0, 1, 1)], "…", [0.1], start_s=0.0) == ()
    assert word_times([Word(0, 1, 0)], "a", [0.1], start_s=0.0) == ()
