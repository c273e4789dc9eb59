"""The time of each character → the time of each word, without a socket."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import ProviderError
from antiphon.providers.base import WordTime
from antiphon.providers.elevenlabs.alignment import CharTimes, TimedText, http_times, socket_times
from antiphon.providers.elevenlabs.clause import Clause, Speaking
from antiphon.providers.http import Patience
from antiphon.providers.vendor_errors import Names

RATE = 24_000
CHAR_S = 0.05
NAMES = Names(provider="elevenlabs:x", key_setting="K", url_setting="U", model_setting="M")


def times(text: str, begin_s: float = 0.0) -> CharTimes:
    starts = [begin_s + n * CHAR_S for n in range(len(text))]
    return CharTimes(list(text), starts, [start + CHAR_S for start in starts])


def test_words_end_with_their_last_character() -> None:
    timed = TimedText("Oh, hi there.")
    first = timed.take(times("Oh, h"))
    second = timed.take(times("i there.", 0.25))
    assert [(word.end_char, round(word.end_s, 3)) for word in (*first, *second)] == [
        (3, 0.15),
        (6, 0.3),
        (13, 0.65),
    ]
    assert [round(word.start_s, 3) for word in (*first, *second)] == [0.0, 0.2, 0.35]
    assert timed.left == 0


def test_scripts_without_spaces_have_a_word_a_character() -> None:
    assert [word.end_char for word in TimedText("你好 吗").take(times("你好吗"))] == [1, 2, 4]


@given(st.text(alphabet="ab ,.é你", max_size=40), st.lists(st.integers(0, 40), max_size=5), st.randoms())
def test_white_space_may_come_and_go_anywhere(text: str, cuts: list[int], chance: Random) -> None:
    """Whatever the vendor does with it, and however it cuts its messages, each word ends once, in order, at its end."""
    told = "".join(char + (" " if chance.random() < 0.3 else "") for char in text if not char.isspace())
    timed = TimedText(text)
    words: list[WordTime] = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(told)], strict=True):
        words += timed.take(times(told[start:end], start * CHAR_S))
    whole = [word.end_char for word in TimedText(text).take(times(text))]
    assert timed.left == 0
    assert [word.end_char for word in words] == whole
    assert all(text[end - 1].strip() for end in whole)
    assert [word.end_s for word in words] == sorted(word.end_s for word in words)


@given(st.text(max_size=20), st.integers(0, 25))
def test_a_split_loses_nothing(text: str, spoken: int) -> None:
    mine, rest = times(text).split(spoken)
    assert "".join((*mine.chars, *rest.chars)) == text
    assert mine.spoken == min(spoken, times(text).spoken)


MESSAGES = [
    None,
    "x",
    {},
    {"chars": ["a"], "charStartTimesMs": [], "charDurationsMs": [1]},
    {"chars": ["a"], "charStartTimesMs": ["0"], "charDurationsMs": [1]},
    {"chars": "a", "charStartTimesMs": [0], "charDurationsMs": [1]},
]


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_an_alignment_that_cannot_be_read_counts_as_none(message: object) -> None:
    assert socket_times(message) == CharTimes()
    assert http_times(message) == CharTimes()


def test_both_wire_formats_say_the_same() -> None:
    socket = {"chars": ["H", "i"], "charStartTimesMs": [0, 50], "charDurationsMs": [50, 40]}
    http = {
        "characters": ["H", "i"],
        "character_start_times_seconds": [0.0, 0.05],
        "character_end_times_seconds": [0.05, 0.09],
    }
    assert socket_times(socket).ends_s == pytest.approx(http_times(http).ends_s)
    assert socket_times(socket).chars == http_times(http).chars


def sound(chars: int) -> bytes:
    return bytes(2 * round(chars * CHAR_S * RATE))


async def drained(clause: Clause) -> tuple[float, list[WordTime]]:
    chunks = [chunk async for chunk in clause.sound(Patience())]
    return sum(len(chunk.pcm) for chunk in chunks) / 2 / RATE, [
        word for chunk in chunks for word in chunk.words
    ]


async def test_a_message_that_ends_one_clause_and_begins_the_next_is_cut_between_them() -> None:
    speaking = Speaking("c", rate=RATE)
    one, two = (Clause(text, rate=RATE, names=NAMES) for text in ("Yes it is.", "No."))
    speaking.add(one)
    speaking.add(two)
    speaking.take(sound(6), times("Yes it"))
    speaking.take(sound(8), times(" is. No."))
    assert one.over
    assert two.over
    first_s, first = await drained(one)
    second_s, second = await drained(two)
    assert first_s == pytest.approx(11 * CHAR_S, abs=0.001)
    assert second_s == pytest.approx(3 * CHAR_S, abs=0.001)
    assert [word.end_char for word in first] == [3, 6, 10]
    assert [(word.end_char, round(word.start_s, 3)) for word in second] == [(3, 0.0)]


async def test_a_context_that_ends_ends_its_clauses() -> None:
    speaking = Speaking("c", rate=RATE)
    begun, unheard = (Clause(text, rate=RATE, names=NAMES) for text in ("Half of it.", "None of it."))
    speaking.add(begun)
    speaking.add(unheard)
    speaking.take(sound(4), times("Half"))
    speaking.end()
    assert speaking.misaligned
    assert (await drained(begun))[0] == pytest.approx(4 * CHAR_S)
    with pytest.raises(ProviderError) as raised:
        await drained(unheard)
    assert raised.value.cause == "empty"
