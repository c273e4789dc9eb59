"""The assistant's own voice, back through the room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turns.echo import compare, is_echo

SAID = (
    "Photosynthesis is how plants turn sunlight into energy. They take in water and carbon dioxide, "
    "and give off oxygen. Would you like tea or coffee with that?"
)

ECHOES = [
    "plants turn sunlight into energy",
    "Plants turn sunlight in energy.",
    "how plans turn sun light into energy",
    "they take in water and carbon",
    "carbon dioxide and give",
    "photo synthesis is how plants",
    "Photosynthesis",
    "and give off oxygen. Would you like tea",
    "turn sunlight into energy they take in water and carbon dioxide",
]
PEOPLE = [
    "",
    "Stop.",
    "stop taking in water",
    "No, coffee.",
    "is it",
    "and the",
    "I would like coffee",
    "Coffee please",
    "tea",
    "what about animals",
    "How do plants turn sunlight into chocolate and why does nobody tell me about it",
    "Wait, plants turn sunlight into energy",
    "they would like water",
    "Tell me a joke",
]


@pytest.mark.parametrize("text", ECHOES)
def test_echoes(text: str) -> None:
    assert is_echo(text, SAID)
    assert compare(text, SAID).ratio >= 0.7


@pytest.mark.parametrize("text", PEOPLE)
def test_people(text: str) -> None:
    assert not is_echo(text, SAID)


def test_nothing_is_an_echo_of_silence() -> None:
    assert not is_echo("plants turn sunlight into energy", "")


@given(st.text(max_size=60), st.text(max_size=120))
def test_the_ratio_is_a_share(text: str, said: str) -> None:
    assert 0.0 <= compare(text, said).ratio <= 1.0 + 1e-9


@given(st.integers(0, 20), st.integers(4, 10))
def test_any_clean_stretch_of_the_reply_is_an_echo(start: int, length: int) -> None:
    words = SAID.split()
    stretch = words[start : start + length]
    content = [word for word in stretch if len(word.strip(".,?")) > 4]
    if len(stretch) >= 4 and len(content) >= 2:
        assert is_echo(" ".join(stretch), SAID)
