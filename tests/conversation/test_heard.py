"""What was heard of a reply, to the word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.conversation.clauses import ClauseCutter
from antiphon.conversation.heard import SpokenClause, heard_text
from antiphon.conversation.speakable import speakable
from antiphon.providers.scripted import ScriptedSynthesizer


def spoken(reply: str, *, word_times: bool = True, letter_s: float = 0.1) -> list[SpokenClause]:
    """The reply's clauses, all sent, as the scripted voice says them: 100 ms a character."""
    voice = ScriptedSynthesizer(letter_s=letter_s)
    cutter = ClauseCutter()
    clauses, at = [], 0.0
    for clause in [*cutter.push(reply), *cutter.flush()]:
        said = speakable(clause.text)
        if not said:
            continue
        sound, words = voice.says(said)
        total = len(sound) / 2 / 24_000 * 1_000
        spoken_clause = SpokenClause(
            text=said, start=clause.start, end=clause.end, start_ms=at, end_ms=at + total, total_ms=total
        )
        if word_times:
            spoken_clause.words.extend(words)
        clauses.append(spoken_clause)
        at += total
    return clauses


def heard(reply: str, played_ms: float, **options: bool) -> str:
    return heard_text(reply, spoken(reply, **options), played_ms)


STORY = "Here is a long story. It begins in Paris."


@pytest.mark.parametrize(
    ("played_ms", "text"),
    [
        (0, ""),
        (300, ""),
        (390, "Here"),
        (400, "Here"),
        (650, "Here"),
        (1_400, "Here is a long"),
        (2_050, "Here is a long"),
        (2_085, "Here is a long story."),
        (2_100, "Here is a long story."),
        (2_350, "Here is a long story. It"),
        (99_000, STORY),
    ],
)
def test_to_the_word_by_the_voices_times(played_ms: float, text: str) -> None:
    assert heard(STORY, played_ms) == text


@pytest.mark.parametrize(("played_ms", "text"), [(0, ""), (1_400, "Here is a long"), (99_000, STORY)])
def test_without_word_times_by_the_share_of_the_sound(played_ms: float, text: str) -> None:
    assert heard(STORY, played_ms, word_times=False) == text


def test_rewritten_words_count_as_what_was_written() -> None:
    reply = "It costs $5 at https://www.shop.com/a/b today."
    said = speakable(reply)
    assert said == "It costs 5 dollars at shop dot com today."
    times = {
        word: 100.0 * (said.index(word) + len(word)) for word in ("costs", "dollars", "shop", "com", "today")
    }
    assert heard(reply, times["costs"]) == "It costs"
    assert heard(reply, times["dollars"]) == "It costs $5"
    assert heard(reply, times["shop"]).startswith("It costs $5 at")
    assert heard(reply, times["today"] + 100) == reply


def test_markup_is_kept_as_written() -> None:
    assert heard("**Paris** is _big_ today.", 800) == "**Paris** is"


def test_a_clause_still_being_made_goes_by_the_pace_of_those_before() -> None:
    clauses = spoken(STORY, word_times=False)
    clauses[1].total_ms = None
    clauses[1].end_ms = clauses[1].start_ms + 1_000  # a second of it was sent so far
    assert heard_text(STORY, clauses, clauses[1].start_ms + 900) == "Here is a long story. It begins"


def test_other_scripts() -> None:
    assert heard("我可以帮你。好的。", 250, word_times=False) == "我可以"
    assert heard("ठीक है, मैं समझ गया।", 700) == "ठीक है"


prose = st.lists(
    st.sampled_from(
        ["Sure,", "it", "costs", "$5", "at", "**home**", "Dr. Who", "50%", "[x](http://y.z)", "e.g.", "two."]
    ),
    min_size=1,
    max_size=25,
).map(" ".join)


@given(prose, st.lists(st.floats(0, 20_000), min_size=2, max_size=6), st.booleans())
def test_what_was_heard_only_grows_and_is_always_a_beginning(
    reply: str, times: list[float], word_times: bool
) -> None:
    clauses = spoken(reply, word_times=word_times)
    before = ""
    for played_ms in sorted(times):
        now = heard_text(reply, clauses, played_ms)
        assert reply.startswith(now)
        assert now.startswith(before)
        following = reply[len(now) : len(now) + 1]
        assert not now or not (now[-1].isalnum() and following.isalnum())
        before = now
    assert heard_text(reply, clauses, 1e9) == reply[: clauses[-1].end].rstrip()
