"""What the voice is given for what the model wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.conversation.speakable import speakable
from antiphon.conversation.spoken_words import spoken_words


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Paris is the capital.", "Paris is the capital."),
        ("**Paris** is the *capital*.", "Paris is the capital."),
        ("# Title", "Title"),
        ("- First item", "First item"),
        ("- [x] done", "done"),
        ("1. Apples", "1. Apples"),
        ("> quoted words", "quoted words"),
        ("See [the docs](https://a.com/x) now.", "See the docs now."),
        ("![a cat](cat.png)", "a cat"),
        ("Use `snake_case` here.", "Use snake case here."),
        ("Some <b>bold</b> text", "Some bold text"),
        ("Known fact [1] here.", "Known fact here."),
        ("| Name | Age |", "Name, Age"),
        ("|---|---|", ""),
        ("---", ""),
        ("```python\nprint(1)\n```", "The code is on your screen."),
        ("Here:\n```\nx\n```\nDone.", "Here: The code is on your screen. Done."),
        ("Great! 🎉👍🏽", "Great!"),
        ("🙂", ""),
        ("Nice :-)", "Nice"),
        ("Visit https://www.example.com/a/b?c=1 today.", "Visit example dot com today."),
        ("Go to www.example.co.uk.", "Go to example dot co dot uk."),
        ("It is at https://a.com/x.", "It is at a dot com."),
        ("Write to me.too@example.com.", "Write to me dot too at example dot com."),
        ("It costs $5.", "It costs 5 dollars."),
        ("It costs $1.", "It costs 1 dollar."),
        ("It costs $5.50 or $0.99.", "It costs 5 dollars 50 or 99 cents."),
        ("It costs $20.00.", "It costs 20 dollars."),
        ("A $1.5 million house", "A 1.5 million dollars house"),
        ("$3k", "3 thousand dollars"),
        ("€20 or 20 €", "20 euros or 20 euros"),
        ("It costs $225,000.", "It costs 225,000 dollars."),
        ("50% off", "50 percent off"),
        ("It is 20°C or 68 °F.", "It is 20 degrees Celsius or 68 degrees Fahrenheit."),
        ("Turn 90°.", "Turn 90 degrees."),
        ("Run 5 km at 10 km/h.", "Run 5 kilometers at 10 kilometers per hour."),
        ("1 kg of 16GB", "1 kilogram of 16 gigabytes"),
        ("a 5 m rope, 20 m² room", "a 5 meters rope, 20 square meters room"),
        ("Meet at 10:00 or 5:30 pm.", "Meet at 10 o'clock or 5 30 p.m."),
        ("At 5:05.", "At 5 oh 5."),
        ("At 7pm.", "At 7 p.m."),
        ("Fruit, e.g. apples", "Fruit, for example, apples"),
        ("Apples, pears, etc.", "Apples, pears, et cetera."),
        ("cats vs. dogs", "cats versus dogs"),
        ("Dr. Smith", "Doctor Smith"),
        ("You're #1!", "You're number 1!"),
        ("salt & pepper", "salt and pepper"),
        ("2 + 2 = 4", "2 plus 2 equals 4"),
        ("3 × 4", "3 times 4"),
        ("3*4", "3 times 4"),
        ("about 5-10 minutes", "about 5 to 10 minutes"),
        ("pages 10–20", "pages 10 to 20"),
        ("555-1234", "555-1234"),
        ("on 2024-05-06", "on 2024-05-06"),
        ("It is -5 outside.", "It is minus 5 outside."),
        ("~10 people", "about 10 people"),
        ("1/2 cup, 1½ cups", "one half cup, 1 and a half cups"),
        ("x² + y²", "x squared plus y squared"),
        ("I can — if you like — help.", "I can, if you like, help."),
        ("twenty-five well-known words", "twenty-five well-known words"),
        ('" Then he left.', "Then he left."),
        (".. let me think", "let me think"),
        ("the and/or case, his/her", "the and or case, his or her"),
        ("C++ and C#", "C plus plus and C sharp"),
        ("A -> B", "A to B"),
        ("   ", ""),
    ],
)
def test_english(written: str, said: str) -> None:
    assert speakable(written, "en") == said


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("es", "Cuesta **5 €**, un 10%.", "Cuesta 5 euros, un 10 por ciento."),
        ("fr", "Il fait 20 °C.", "Il fait 20 degrés Celsius."),
        ("de", "Das kostet 3,50 €.", "Das kostet 3,50 Euro."),
        ("it", "Scrivi a io@esempio.it.", "Scrivi a io chiocciola esempio punto it."),
        ("pt", "```\nx\n```", "O código está na tela."),
        ("hi", "यह ₹50 है।", "यह 50 रुपये है।"),
        ("ja", "**東京**です。50%", "東京です。50%"),
        ("pl", "To `kod` 5 %.", "To kod 5 %."),
    ],
)
def test_other_languages(language: str, written: str, said: str) -> None:
    assert speakable(written, language) == said


def test_an_unknown_language_is_taken_for_english() -> None:
    assert speakable("$5", "") == speakable("$5", "auto") == "5 dollars"


@given(st.text(max_size=200), st.sampled_from(["en", "es", "de", "hi", "ja"]))
def test_anything_can_be_made_speakable(text: str, language: str) -> None:
    said = speakable(text, language)
    assert said == said.strip()
    assert "\n" not in said
    assert "**" not in said
    assert "`" not in said
    assert not said or any(char.isalnum() for char in said)


@pytest.mark.parametrize("language", ["en", "es", "fr", "de", "it", "pt", "hi"])
def test_every_currency_has_a_name(language: str) -> None:
    assert set(spoken_words(language).currencies) == set("$€£¥₹")
