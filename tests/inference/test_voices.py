"""Piper and Kokoro on their real models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.inference.conftest import Models

from antiphon.errors import ModelError
from antiphon.inference.kokoro import IDS, LANGUAGES, KokoroVoice, respell
from antiphon.inference.onnx import Array
from antiphon.inference.piper import STRETCHES, PiperVoice
from antiphon.inference.runtime import open_voice
from antiphon.inference.speech import Piece, Voice
from antiphon.inference.vits import CutSentence, CutVits

PIPER = "tts/piper-en_US-joe"
KOKORO = "tts/kokoro-82m-int8"


def pieces(voice: Voice, text: str, *, name: str = "", speed: float = 1.0) -> list[Piece]:
    utterance = voice.speak(text, voice=name or voice.voices[0], speed=speed)
    spoken: list[Piece] = []
    while (piece := utterance.step()) is not None:
        spoken.append(piece)
    return spoken


def seconds(voice: Voice, spoken: list[Piece]) -> float:
    return sum(len(piece.sound) for piece in spoken) / voice.sample_rate


@pytest.fixture(scope="module")
def piper(models: Models) -> PiperVoice:
    voice = open_voice(models[PIPER], threads=2)
    assert isinstance(voice, PiperVoice)
    return voice


@pytest.fixture(scope="module")
def kokoro(models: Models) -> KokoroVoice:
    voice = open_voice(models[KOKORO], threads=2)
    assert isinstance(voice, KokoroVoice)
    return voice


# ---- piper ------------------------------------------------------------------------------------------------


@pytest.mark.models
def test_the_graph_is_cut_and_the_stretches_join_exactly(piper: PiperVoice) -> None:
    """The same latent, decoded whole and by stretches of several lengths."""
    vits = piper.vits
    assert isinstance(vits, CutVits)
    latent = np.random.default_rng(1).standard_normal((1, 192, 150), dtype=np.float32)
    mask = np.ones((1, 1, 150), dtype=np.float32)
    whole = vits.decode(vits.flow(latent, mask))
    for lengths in ((16, 32, 64, 128), (20,) * 8, (1,) * 150, (149, 1)):
        joined = np.concatenate(stretches(CutSentence(vits, latent, mask, np.ones(3)), lengths))
        assert joined.shape == whole.shape
        assert np.abs(joined - whole).max() < 1e-4


def stretches(sentence: CutSentence, lengths: tuple[int, ...]) -> list[Array]:
    made = [sound for length in lengths if (sound := sentence.stretch(length)) is not None]
    assert sentence.stretch(1) is None
    return made


@pytest.mark.models
def test_a_sentence_comes_in_pieces_the_first_short(piper: PiperVoice) -> None:
    spoken = pieces(piper, "Well, of course I can help you with that.")
    assert len(spoken) >= 3
    assert len(spoken[0].sound) <= STRETCHES[0] * piper.config.hop
    assert 1.2 < seconds(piper, spoken) < 3.5
    assert np.abs(spoken[0].sound[: round(0.05 * piper.sample_rate)]).max() > 0.005, "silence in front is cut"


@pytest.mark.models
def test_each_word_has_its_time_in_order_within_the_sound(piper: PiperVoice) -> None:
    text = "Hello! It costs 225,000 dollars, of course."
    spoken = pieces(piper, text)
    words = [word for piece in spoken for word in piece.words]
    assert [text[: word.end_char].split()[-1] for word in words] == text.split()
    times = [time for word in words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[-1] <= seconds(piper, spoken)
    number = words[3]
    assert number.end_s - number.start_s > 1.0, "two hundred and twenty-five thousand takes a while"


@pytest.mark.models
def test_speed_shortens_and_lengthens(piper: PiperVoice) -> None:
    text = "It is a quarter to nine in the morning."
    slow, fast = (seconds(piper, pieces(piper, text, speed=speed)) for speed in (0.7, 1.6))
    assert slow > 1.6 * fast


@pytest.mark.models
@pytest.mark.parametrize("text", ["", "   ", "…", "—", "?!"])
def test_what_cannot_be_spoken_is_silence(piper: PiperVoice, text: str) -> None:
    assert pieces(piper, text) == []


@pytest.mark.models
def test_a_voice_file_that_is_damaged_or_incomplete_says_so(models: Models, tmp_path: Path) -> None:
    model = models[PIPER].main
    config = model.with_name(f"{model.name}.json")
    (tmp_path / "cut.onnx").write_bytes(model.read_bytes()[:1_000_000])
    (tmp_path / "cut.onnx.json").write_text("{}")
    with pytest.raises(ModelError, match="cut short or altered"):
        PiperVoice(tmp_path / "cut.onnx", config, model_id=PIPER)
    with pytest.raises(ModelError, match="cut short or altered"):
        PiperVoice(model, tmp_path / "cut.onnx.json", model_id=PIPER)
    with pytest.raises(ModelError, match="is not there"):
        PiperVoice(model, tmp_path / "none.json", model_id=PIPER)


# ---- kokoro -----------------------------------------------------------------------------------------------


def test_kokoros_vocabulary_is_the_models() -> None:
    """Some of kokoro's config.json, from each end of the table."""
    known = {
        ";": 1,
        "—": 9,
        " ": 16,
        "A": 24,
        "Y": 41,
        "a": 43,
        "z": 68,
        "ə": 83,
        "ɹ": 123,
        "ˈ": 156,
        "ᵻ": 177,
    }
    assert {symbol: IDS[symbol] for symbol in known} == known
    assert len(IDS) == 114


@pytest.mark.parametrize(
    ("ipa", "language", "symbols"),
    [
        ("tədˈeɪ", "a", "tədˈA"),
        ("ɡˌoʊ", "a", "ɡˌO"),
        ("ɡˌəʊ", "b", "ɡˌQ"),
        ("dʒˈʌdʒ", "a", "ʤˈʌʤ"),
        ("nˈɜːs", "a", "nˈɜɹs"),
        ("nˈɜːs", "b", "nˈɜːs"),
        ("wˈɔːɾɚ", "a", "wˈɔTəɹ"),
        ("bwˈenos", "e", "bwˈenos"),
        ("fʁɑ̃sˈɛ", "f", "fʁɑ̃sˈɛ"),
        ("pitsˈa", "i", "piʦˈa"),
        ("mˈa2", "z", "mˈa↗"),
        ("☃", "a", ""),
    ],
)
def test_ipa_is_respelled_as_kokoro_was_taught(ipa: str, language: str, symbols: str) -> None:
    assert respell(ipa, language=language) == symbols


@pytest.mark.models
def test_kokoro_has_54_voices_in_nine_languages_the_default_first(kokoro: KokoroVoice) -> None:
    assert len(kokoro.voices) == 54
    assert kokoro.voices[0] == "af_heart"
    assert {LANGUAGES[name[0]][0] for name in kokoro.voices} == {
        "en",
        "es",
        "fr",
        "hi",
        "it",
        "ja",
        "pt",
        "zh",
    }
    assert kokoro.voice_for("fr")[0] == "f"
    assert kokoro.voice_for("sw") == kokoro.voice_for("") == "af_heart"


@pytest.mark.models
def test_kokoro_speaks_a_sentence_a_step_with_word_times(kokoro: KokoroVoice) -> None:
    text = "Sure. See you at seven."
    spoken = pieces(kokoro, text)
    assert len(spoken) == 2
    words = [word for piece in spoken for word in piece.words]
    assert [text[: word.end_char].split()[-1] for word in words] == text.split()
    assert words[1].start_s > words[0].end_s
    assert words[-1].end_s <= seconds(kokoro, spoken)
    assert all(np.abs(piece.sound).max() > 0.05 for piece in spoken)


@pytest.mark.models
def test_each_language_is_written_in_symbols_kokoro_knows(kokoro: KokoroVoice) -> None:
    for letter, text in {
        "b": "Good morning, how are you?",
        "e": "Hola, ¿cómo estás?",
        "f": "Bonjour, comment allez-vous?",
        "h": "नमस्ते, आप कैसे हैं?",
        "i": "Buongiorno, come va?",
        "j": "こんにちは。",
        "p": "Bom dia, como vai?",
        "z": "你好。",
    }.items():
        voice = next(name for name in kokoro.voices if name[0] == letter)
        (spoken,) = kokoro.sentences(text, voice=voice)
        assert len(spoken) > 4
        assert all(symbol in IDS for symbol in spoken)


@pytest.mark.models
def test_a_sentence_too_long_for_a_run_is_cut_at_a_space(kokoro: KokoroVoice) -> None:
    runs = kokoro.sentences("and then another one " * 60, voice="af_heart")
    assert len(runs) > 1
    assert max(map(len, runs)) <= 509


@pytest.mark.models
def test_an_altered_voice_table_says_what_to_do(models: Models, tmp_path: Path) -> None:
    (tmp_path / "af_heart.bin").write_bytes(b"short")
    voice = KokoroVoice(models[KOKORO].main, tmp_path, model_id=KOKORO)
    with pytest.raises(ModelError, match="antiphon models pull"):
        pieces(voice, "Hello.")
