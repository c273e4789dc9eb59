"""Who wants the reply to go on, and who wants it to stop."""

import pytest

from antiphon.turns.backchannel import is_assent, is_backchannel, is_noise

LISTENERS = [
    "Uh-huh.",
    "uh huh",
    "Mm-hmm.",
    "Mhm",
    "Right.",
    "Okay.",
    "OK, okay.",
    "Yeah, yeah.",
    "I see.",
    "Oh, I see.",
    "Got it.",
    "Wow, really?",
    "Of course.",
    "That's right.",
    "Yes.",
    "Hmm.",
    "Oh wow, cool.",
]
NOISES = [
    "",
    "...",
    "[Music]",
    "(coughs)",
    "*sigh*",
    "♪♪",
    "Ha ha ha!",
    "Ahem.",
    "Thank you.",
    "you",
    "Thanks for watching!",
    "[laughs] haha",
]
INTERRUPTIONS = [
    "Stop.",
    "Wait.",
    "No.",
    "No, no.",
    "Okay, but what about tomorrow?",
    "Yes, and also the other one",
    "Hold on.",
    "What?",
    "Yeah, stop.",
    "That's enough.",
    "Actually, never mind.",
    "I have a question.",
    "Excuse me.",
    "Louder please",
    "Sorry, what was that?",
    "Cancel.",
    "Not that one.",
    "How much is it?",
    "yeah yeah okay right sure okay",
    "Thank you, that's enough.",
]


@pytest.mark.parametrize("text", LISTENERS)
def test_listeners_let_it_go_on(text: str) -> None:
    assert is_backchannel(text, "en")
    assert not is_noise(text)


@pytest.mark.parametrize("text", NOISES)
def test_noises_let_it_go_on(text: str) -> None:
    assert is_noise(text)
    assert is_backchannel(text, "en")


@pytest.mark.parametrize("text", INTERRUPTIONS)
def test_interruptions_do_not(text: str) -> None:
    assert not is_backchannel(text, "en")


@pytest.mark.parametrize(
    ("language", "listens", "interrupts"),
    [
        ("es", "Ajá, claro.", "Espera."),
        ("fr", "D'accord, je vois.", "Attends."),
        ("de", "Ach so, genau.", "Nein, warte."),
        ("it", "Va bene, capito.", "Basta."),
        ("pt", "Tá bom.", "Espere."),
        ("hi", "अच्छा, ठीक है।", "रुको"),
    ],
)
def test_other_languages(language: str, listens: str, interrupts: str) -> None:
    assert is_backchannel(listens, language)
    assert not is_backchannel(interrupts, language)


def test_an_assent_answers_a_question() -> None:
    assert is_assent("Yes.")
    assert is_assent("Yeah, sure.")
    assert is_assent("D'accord.", "fr")
    assert not is_assent("Uh-huh, wow.")
    assert not is_assent("Yes, but later.")
    assert not is_assent("")
