"""What the words say about whether a turn is over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turns.vocabulary import LANGUAGES
from antiphon.turns.words import completeness, same_words, words_in

UNFINISHED = [
    "I went to the store and",
    "I went to the store and.",
    "I would like to.",
    "So, um,",
    "So um",
    "So, um, I was wondering.",
    "Can you tell me",
    "Can you tell me?",
    "Could you please",
    "Play the",
    "Call my",
    "I want to fly from",
    "My order number is",
    "My order number is.",
    "My order number is four seven two",
    "My order number is 472.",
    "My order number is 4-7-2.",
    "My phone number is five five five",
    "It's five five five",
    "555 1234",
    "The code is 12",
    "My name is",
    "My name is Smith, S M I",
    "It's spelled J",
    "My email is john",
    "My email is john at gmail",
    "It's john.smith@gmail",
    "Go to www",
    "Look at example dot",
    "I live at 221",
    "I need a table for",
    "I think",
    "Book a flight with",
    "I'd like",
    "How many",
    "Because",
    "If it rains,",
    "It was like —",
    "It is kind of",
    "Wait a minute",
    "Let me think…",
]
COMPLETE = [
    "Yes.",
    "No.",
    "Yeah",
    "Stop.",
    "Stop!",
    "Okay.",
    "No thanks.",
    "Thank you, that's all.",
    "Okay great, thank you.",
    "Never mind.",
    "Why?",
]
LIKELY = [
    "What is the capital of France?",
    "How do I boil an egg?",
    "What time is it?",
    "Is it going to rain tomorrow?",
    "Turn on the light, please.",
]
OPEN = [
    "",
    "Where are you from?",
    "Tell me a short joke.",
    "Set a timer for five minutes.",
    "I'd like a table for four people on Friday evening.",
    "I would like to order a pizza.",
    "Wake me up at seven.",
    "I know what it is.",
    "I know where the museum is.",
    "My phone number is five five five one two three four.",
    "My phone number is 555-1234.",
    "My card number is 1234 5678 1234 5678",
    "My email is john at gmail dot com.",
    "My email is john@gmail.com.",
    "It costs 225,000 dollars.",
    "It costs 225,000.",
    "Turn it off.",
    "He lives in the U.S.",
    "Plan B",
    "I was there in 1969.",
]


@pytest.mark.parametrize("text", UNFINISHED)
def test_more_is_coming(text: str) -> None:
    assert completeness(text, "en").verdict == "unfinished"


@pytest.mark.parametrize("text", COMPLETE)
def test_it_is_over(text: str) -> None:
    assert completeness(text, "en").verdict == "complete"


@pytest.mark.parametrize("text", LIKELY)
def test_it_is_over_unless_the_sound_says_otherwise(text: str) -> None:
    assert completeness(text, "en").verdict == "likely"


@pytest.mark.parametrize("text", OPEN)
def test_the_words_do_not_tell(text: str) -> None:
    assert completeness(text, "en").verdict == "open"


@pytest.mark.parametrize(
    ("language", "unfinished", "whole"),
    [
        ("es", "Quiero ir a la playa y", "¿Cuál es la capital de España?"),
        ("es", "Mi número es cuatro siete", "Sí."),
        ("fr", "Je voudrais aller à", "Quelle heure est-il à Paris ?"),
        ("fr", "Mon numéro est zéro six", "D'accord."),
        ("de", "Ich möchte nach Berlin und", "Wie spät ist es jetzt?"),
        ("de", "Meine Nummer ist vier sieben", "Ja, bitte."),
        ("it", "Vorrei andare a", "Qual è la capitale d'Italia?"),
        ("pt", "Eu quero ir para", "Qual é a capital do Brasil?"),
        ("hi", "मुझे चाय और", "भारत की राजधानी क्या है?"),
        ("hi", "मेरा नाम और", "ठीक है।"),
    ],
)
def test_other_languages(language: str, unfinished: str, whole: str) -> None:
    assert completeness(unfinished, language).verdict == "unfinished"
    assert completeness(whole, language).verdict == ("likely" if whole.endswith("?") else "complete")


def test_a_language_without_words_goes_by_punctuation() -> None:
    assert completeness("Dlaczego nie możemy tego zrobić?", "pl").verdict == "likely"
    assert completeness("Chciałbym,", "pl").verdict == "unfinished"
    assert completeness("Chciałbym kupić chleb.", "pl").verdict == "open"


def test_reasons_name_no_words() -> None:
    for text in UNFINISHED + COMPLETE + LIKELY + OPEN:
        reason = completeness(text, "en").reason
        assert reason
        assert not any(char.isdigit() for char in reason)


@given(st.text(max_size=80), st.sampled_from(["", "auto", "xx", "pt-BR", *LANGUAGES]))
def test_anything_has_a_verdict(text: str, language: str) -> None:
    assert completeness(text, language).verdict in ("complete", "likely", "open", "unfinished")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("What time is it?", "what time is it", True),
        ("Um, what time is it?", "What time is it.", True),
        ("My number is 5 5 5", "my number is 555", True),
        ("don't", "don’t", True),
        ("ठीक है", "ठीक है।", True),
        ("ठीक", "ठाक", False),
        ("What time is it?", "What time is it in Paris?", False),
        ("", "yes", False),
    ],
)
def test_same_words(a: str, b: str, same: bool) -> None:
    assert same_words(a, b) is same


def test_words_of_a_transcript() -> None:
    assert words_in("It's 225,000 — e.g. 3.5, OK?") == ["it's", "225000", "e.g", "3.5", "ok"]
    assert words_in("ठीक है।") == ["ठीक", "है"]
