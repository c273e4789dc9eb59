"""When a reply being written leaves for the voice, and in which pieces."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.conversation.clauses import LONG_CLAUSE, PATIENCE_S, Clause, ClauseCutter
from antiphon.providers.scripted import tokens


def clauses(text: str, *, language: str = "en") -> list[str]:
    """What comes out when the reply is written in tokens, with the flush."""
    cutter = ClauseCutter(language=language)
    found = [clause for token in tokens(text) for clause in cutter.push(token)] + cutter.flush()
    return [clause.text.strip() for clause in found]


def at_once(*pieces: str) -> list[str]:
    """What leaves before the reply goes on."""
    cutter = ClauseCutter()
    return [clause.text.strip() for piece in pieces for clause in cutter.push(piece)]


# ---- the first clause leaves early ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "leaves"),
    [
        (("Sure", ","), ["Sure,"]),
        (("Of", " course", ","), ["Of course,"]),
        (("Paris", "."), ["Paris."]),
        (("Yes", "!"), ["Yes!"]),
        (("What", " kind", " of", " egg", "?"), ["What kind of egg?"]),
        (("The", " sky", " is", " blue", ","), ["The sky is blue,"]),
        (("I", " can", " do", " that", " —"), ["I can do that —"]),
        (("Here", " is", " one", ":"), ["Here is one:"]),
        (("So", " do", " I", "."), ["So do I."]),
        (("当然", "可以", "。"), ["当然可以。"]),
        (("我", "可以", "帮", "你", "，"), ["我可以帮你，"]),
        (("ठीक", " है", "।"), ["ठीक है।"]),
        (("هل", " تريد", "؟"), ["هل تريد؟"]),
    ],
)
def test_the_first_clause_leaves_with_its_last_character(pieces: tuple[str, ...], leaves: list[str]) -> None:
    assert at_once(*pieces[:-1]) == []
    assert at_once(*pieces) == leaves


@pytest.mark.parametrize(
    "text",
    [
        "Apples,",
        "Paris,",
        "It costs 225,",
        "It is 3.",
        "Ask Dr.",
        "By J.",
        "By J. R. R.",
        "Fruit, e.g.",
        "See www.",
        "See www.a.",
        "Write to me@example.",
        "See https:",
        "It is 10:",
        "At 5 p.m.",
        "In the U.S.",
        "1.",
        "Well...",
        "Well…",
        "Take 5 -",
        "On July 20,",
        "The function `a.",
        "I paid (in cash,",
        "- ",
        "**",
    ],
)
def test_what_may_go_on_is_waited_for(text: str) -> None:
    assert at_once(*tokens(text)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "It costs 225,000 dollars. That is a lot.",
            ["It costs 225,000 dollars.", "That is a lot."],
        ),
        ("Pi is 3.14 or so. Yes.", ["Pi is 3.14 or so.", "Yes."]),
        ("Ask Dr. Smith about it. He knows.", ["Ask Dr. Smith about it.", "He knows."]),
        (
            "It was written by J. R. R. Tolkien. Read it.",
            ["It was written by J. R. R. Tolkien.", "Read it."],
        ),
        ("Fruit, e.g. apples. Good.", ["Fruit, e.g. apples.", "Good."]),
        ("Look at www.a.com for it. Bye.", ["Look at www.a.com for it.", "Bye."]),
        ("Look at www.a.com. Bye.", ["Look at www.a.com.", "Bye."]),
        ("It is at https://a.com/x?y=1. Bye.", ["It is at https://a.com/x?y=1.", "Bye."]),
        ("Write to me@example.com. Bye.", ["Write to me@example.com.", "Bye."]),
        ("It opens at 5 p.m. tomorrow. Bye.", ["It opens at 5 p.m. tomorrow.", "Bye."]),
        ("It opens at 5 p.m. You can go.", ["It opens at 5 p.m.", "You can go."]),
        ("He lives in the U.S. and is happy.", ["He lives in the U.S. and is happy."]),
        ("It opened in 1969. Then it closed.", ["It opened in 1969.", "Then it closed."]),
        ("On July 20, 1969, it landed. Yes.", ["On July 20, 1969,", "it landed.", "Yes."]),
        ("In the year 1969, men landed there.", ["In the year 1969,", "men landed there."]),
        ("Well... I think so. Yes.", ["Well... I think so.", "Yes."]),
        ("Sure, here it is. One, two, three.", ["Sure,", "here it is.", "One, two, three."]),
        ("No. 5 is good. Really?! Yes.", ["No.", "5 is good.", "Really?!", "Yes."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("# Title\n1. Apples\n2. Pears\n", ["# Title", "1. Apples", "2. Pears"]),
        (
            "Here is code:\n```python\na.b(1)\nc!\n```\nDone.",
            ["Here is code:", "```python\na.b(1)\nc!\n```", "Done."],
        ),
        ("That works.Next one please.", ["That works.", "Next one please."]),
        (
            "The cat sat down, then stood, then sat. It slept, then woke.",
            ["The cat sat down,", "then stood, then sat.", "It slept, then woke."],
        ),
        ("Call `a.b()` and then `c.d()`. Bye.", ["Call `a.b()` and then `c.d()`.", "Bye."]),
        ("It is twenty-five. It's a well-known one.", ["It is twenty-five.", "It's a well-known one."]),
    ],
)
def test_whole_replies(text: str, expected: list[str]) -> None:
    assert clauses(text) == expected


def test_other_languages() -> None:
    assert clauses("Bien sûr, voici M. Dupont. Merci.", language="fr") == [
        "Bien sûr,",
        "voici M. Dupont.",
        "Merci.",
    ]
    assert clauses("Das war am 3. Mai. Danke.", language="de") == ["Das war am 3. Mai.", "Danke."]
    assert clauses("¿Qué tal? Muy bien.", language="es") == ["¿Qué tal?", "Muy bien."]
    assert clauses("好的。我知道了。", language="zh") == ["好的。", "我知道了。"]


def test_a_long_sentence_is_cut_at_its_best_comma() -> None:
    part = "and then we walked along the river for a while, "
    text = "So. We left early. " + part * 8 + "and that was it."
    found = clauses(text)
    assert all(len(clause) <= LONG_CLAUSE + 1 for clause in found)
    assert all(clause.endswith((",", ".")) for clause in found)
    assert len(found) < 7


def test_text_without_any_pause_still_leaves() -> None:
    assert all(len(clause) <= LONG_CLAUSE + 1 for clause in clauses("a" * 1_000))
    assert "".join(clauses("b" * 1_000)) == "b" * 1_000


# ---- patience ---------------------------------------------------------------------------------------------


def slowly(text: str, tokens_per_s: float) -> list[tuple[float, str]]:
    """Each clause with the time it left, when tokens come at a rate."""
    cutter = ClauseCutter()
    out = []
    for number, token in enumerate(tokens(text)):
        at = number / tokens_per_s
        if cutter.due_s is not None and cutter.due_s <= at:
            out += [(cutter.due_s, c) for c in cutter.poll(cutter.due_s)]
        out += [(at, c) for c in cutter.push(token, at)]
    return [(round(at, 2), c.text.strip()) for at, c in out] + [(-1, c.text.strip()) for c in cutter.flush()]


def test_a_slow_model_is_cut_at_a_phrase() -> None:
    found = slowly("The capital of France is Paris and it lies on the river Seine.", 15)
    assert [text for _, text in found] == [
        "The capital of France",
        "is Paris and it lies on the river Seine.",
    ]
    assert found[0][0] == pytest.approx(4 / 15, abs=0.01)


def test_a_fast_model_is_left_alone() -> None:
    found = slowly("The capital of France is Paris on the Seine. It is old.", 50)
    assert [text for _, text in found] == ["The capital of France is Paris on the Seine.", "It is old."]


def test_a_phrase_never_ends_in_a_dangling_word() -> None:
    found = slowly("You should take it out of the oven when it is golden brown and crisp.", 5)
    for _, text in found:
        assert text.split()[-1] not in ("the", "of", "it", "is", "out", "when")
    assert len(found) > 1


def test_patience_is_asked_for_once() -> None:
    cutter = ClauseCutter()
    cutter.push("Photosynthesis", 1.0)
    assert cutter.due_s == 1.0 + PATIENCE_S
    assert cutter.poll(1.0 + PATIENCE_S) == []
    assert cutter.due_s is None


def test_a_later_clause_is_cut_only_when_sound_runs_dry() -> None:
    cutter = ClauseCutter()
    cutter.push("Here is what we do.", 0.0)
    cutter.push(" You take the bread out of the oven when it is", 0.1)
    assert cutter.due_s is None
    assert cutter.poll(5.0) == []
    assert [c.text for c in cutter.poll(5.0, urgent=True)] == [" You take the bread out of the oven"]


# ---- properties -------------------------------------------------------------------------------------------

WORDS = re.split(
    r"\s+",
    """Sure, Paris. Dr. e.g. 3.14 225,000 the of and www.a.com ``` ` **bold** - 1. ... … ! ? 。 ， « » ( )
    x `a.b` hello U.S. I. — 🙂 me@x.org 5 p.m. é""",
)
prose = st.lists(st.sampled_from([*WORDS, "\n", "\n\n"]), max_size=40).map(" ".join)


@given(st.one_of(prose, st.text(max_size=300)), st.lists(st.integers(1, 9), min_size=1), st.booleans())
def test_clauses_are_consecutive_slices_however_the_reply_arrives(
    text: str, sizes: list[int], timed: bool
) -> None:
    cutter = ClauseCutter()
    found: list[Clause] = []
    at, step = 0, 0
    while at < len(text):
        size = sizes[step % len(sizes)]
        found += cutter.push(text[at : at + size], step * 0.1 if timed else None)
        at, step = at + size, step + 1
    found += cutter.flush()
    assert cutter.text == text
    end = 0
    for clause in found:
        assert clause.start == end
        assert clause.text == text[clause.start : clause.end]
        assert any(char.isalnum() for char in clause.text)
        end = clause.end
    assert not any(char.isalnum() for char in text[end:])


def test_a_slow_model_is_not_waited_for_while_it_spells_a_number() -> None:
    cutter = ClauseCutter()
    clauses = []
    for number, token in enumerate(
        ["The", " moon", " is", " approximately", " 3", "8", "4", ",", "4", "0", "0", " km."]
    ):
        clauses += cutter.push(token, number * 0.066)
    clauses += cutter.flush()
    assert [clause.text for clause in clauses] == ["The moon is approximately", " 384,400 km."]
