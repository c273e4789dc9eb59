"""Word errors count words, not ways of writing them."""

from __future__ import annotations

import pytest
from benchmarks.words import WordErrors, spoken_words, word_errors


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("Stop.", "stop"),
        ("call my mother at six o'clock", "Call my mother at 6 o’clock!"),
        ("five five five, one two three four", "555-1234"),
        ("about fourteen fifty-five", "about 1455"),
        ("forty-two line Bible", "42 line bible"),
        ("two hundred twenty-five thousand", "225,000"),
        ("one thousand four hundred fifty five", "1455"),
        ("ten percent", "10%"),
        ("¿Cuál es?", "cuál es"),
    ],
)
def test_writing_does_not_count(said: str, heard: str) -> None:
    assert word_errors(said, heard).errors == 0


@pytest.mark.parametrize(
    ("said", "heard", "errors", "words"),
    [
        ("tell me a joke", "tell me the joke", 1, 4),
        ("tell me a joke", "tell me joke", 1, 4),
        ("tell me a joke", "please tell me a short joke", 2, 4),
        ("yes", "", 1, 1),
        ("at six", "at 7", 1, 2),
        ("how far away is the moon", "how far away is the moon how far away", 3, 6),
    ],
)
def test_errors_are_counted(said: str, heard: str, errors: int, words: int) -> None:
    assert word_errors(said, heard) == WordErrors(errors=errors, words=words)


def test_errors_add_up() -> None:
    assert (WordErrors(errors=1, words=10) + WordErrors(errors=1, words=10)).percent == 10.0


def test_numbers_become_words() -> None:
    assert " ".join(spoken_words("1,200,005 of 17")) == "one million two hundred thousand five of seventeen"
