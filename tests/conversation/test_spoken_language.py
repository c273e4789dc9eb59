"""The language the next sound is heard in."""

from __future__ import annotations

from antiphon.conversation.spoken_language import SHORT_S, SpokenLanguage

WORD, SENTENCE = SHORT_S, SHORT_S + 0.1


def turns(*said: tuple[str, float], chosen: str | None = None) -> SpokenLanguage:
    """After turns of which a recogniser told the language."""
    spoken = SpokenLanguage(chosen)
    for language, seconds in said:
        spoken.heard(language, seconds)
    return spoken


def test_a_word_is_heard_in_the_language_of_the_sentence_before_it() -> None:
    spoken = turns(("es", SENTENCE))
    assert spoken.expected(WORD, overlap=False) == "es"
    assert spoken.expected(SENTENCE, overlap=False) is None


def test_a_word_changes_no_language_and_a_sentence_does() -> None:
    assert turns(("es", SENTENCE), ("zh", WORD)).last == "es"
    assert turns(("es", SENTENCE), ("zh", SENTENCE)).last == "zh"


def test_a_first_word_is_a_guess_that_binds_no_other() -> None:
    """A "Yes." may sound Greek; the "No." after it is listened to afresh."""
    spoken = turns(("el", WORD))
    assert spoken.expected(WORD, overlap=False) is None
    assert spoken.expected(WORD, overlap=True) == "el"
    spoken.heard("en", WORD)
    assert spoken.last == "en"


def test_over_a_reply_the_last_language_is_expected_however_long_it_is() -> None:
    assert turns(("fr", SENTENCE)).expected(SENTENCE, overlap=True) == "fr"
    assert turns().expected(SENTENCE, overlap=True) is None


def test_a_recogniser_that_tells_no_language_leaves_it_open() -> None:
    spoken = turns(("", SENTENCE))
    assert spoken.expected(WORD, overlap=False) is None
    assert turns(("fr", SENTENCE), ("", SENTENCE)).last == "fr"


def test_a_language_that_was_chosen_holds_for_all() -> None:
    spoken = turns(chosen="de")
    assert {spoken.expected(s, overlap=over) for s in (WORD, SENTENCE) for over in (True, False)} == {"de"}
