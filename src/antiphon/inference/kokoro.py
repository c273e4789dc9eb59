"""Kokoro 82M: 54 voices in nine languages from one model, a sentence at a time.

Phonemes come from espeak-ng, respelled into the symbols that Kokoro was trained on (misaki's: affricates and
diphthongs are single letters). A voice is a table of styles, a row of 256 numbers for each number of tokens.
The first letter of its name is its language. Kokoro normalises over the whole sentence, so unlike piper it
cannot be heard before the sentence is done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from antiphon.inference.onnx import damaged, missing, open_onnx
from antiphon.inference.onnx_graph import GraphError, read_graph
from antiphon.inference.phonemes import load_phonemizer, phrases
from antiphon.inference.speech import LeadTrimmer, Piece, Word, letters, share, word_times, words_of
from antiphon.providers.base import WordTime

SAMPLE_RATE = 24_000
STYLE = 256
MAX_TOKENS = 509
"""Tokens of one run: a voice's table has 510 rows."""
DEFAULT_VOICE = "af_heart"
_FRAME_S = 0.025
"""Seconds of a frame in the graph's durations: 600 samples."""

LANGUAGES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "a": ("en", "en-us"),
        "b": ("en", "en-GB-x-rp"),
        "e": ("es", "es"),
        "f": ("fr", "fr"),
        "h": ("hi", "hi"),
        "i": ("it", "it"),
        "j": ("ja", "ja"),
        "p": ("pt", "pt-br"),
        "z": ("zh", "cmn"),
    }
)
"""First letter of a voice's name → ISO 639-1, and espeak-ng's name for it."""

SYMBOLS: Mapping[int, str] = MappingProxyType(
    {
        1: ";:,.!?",
        9: '—…"()“” \u0303ʣʥʦʨᵝ\uab67AI',
        31: "O",
        33: "Q",
        35: "ST",
        39: "W",
        41: "Yᵊabcdef",
        50: "hijklmnopqrstuvwxyzɑɐɒæ",
        75: "βɔɕç",
        80: "ɖðʤə",
        85: "ɚɛɜ",
        90: "ɟ",
        92: "ɡ",
        99: "ɥ",
        101: "ɨɪʝ",
        110: "ɯɰŋɳɲɴø",
        118: "ɸθœ",
        123: "ɹ",
        125: "ɾɻ",
        128: "ʁɽʂʃʈʧ",
        135: "ʊʋ",
        138: "ʌɣɤ",
        142: "χʎ",
        147: "ʒʔ",
        156: "ˈˌː",
        162: "ʰ",
        164: "ʲ",
        169: "↓",
        171: "→↗↘",
        177: "ᵻ",
    }
)
"""Kokoro's vocabulary: token id of the first symbol → symbols of consecutive ids."""
IDS: Mapping[str, int] = MappingProxyType(
    {symbol: first + offset for first, symbols in SYMBOLS.items() for offset, symbol in enumerate(symbols)}
)

# What misaki (the front end that Kokoro was trained with) writes for espeak-ng's IPA; longer ones first.
_CONSONANTS = (
    ("dʒ", "ʤ"), ("tʃ", "ʧ"), ("əl\u0329", "ᵊl"), ("ɚ", "əɹ"), ("r", "ɹ"), ("x", "k"), ("ç", "k"), ("ɐ", "ə"),
    ("ɬ", "l"), ("ʔ", "t"), ("\u0303", ""),
)  # fmt: skip
_DIPHTHONGS = (("aɪ", "I"), ("aʊ", "W"), ("eɪ", "A"), ("ɔɪ", "Y"))
_AMERICAN = (
    ("oʊ", "O"),
    ("ɜːɹ", "ɜɹ"),
    ("ɜː", "ɜɹ"),
    ("ɪə", "iə"),
    ("ː", ""),
    ("o", "ɔ"),
    ("ɾ", "T"),
    ("e", "A"),
)
_BRITISH = (("əʊ", "Q"), ("eə", "ɛː"), ("iə", "ɪə"), ("o", "ɔ"), ("e", "A"))
_AFFRICATES = (("dz", "ʣ"), ("dʒ", "ʤ"), ("ts", "ʦ"), ("tʃ", "ʧ"), ("oʊ", "O"), ("-", ""))
_TONES = (("1", "→"), ("2", "↗"), ("3", "↓"), ("4", "↘"))
_OTHERS = (_DIPHTHONGS, _AFFRICATES)
_TABLES = MappingProxyType(
    {
        "a": (_CONSONANTS, _DIPHTHONGS, _AMERICAN),
        "b": (_CONSONANTS, _DIPHTHONGS, _BRITISH),
        "z": (_DIPHTHONGS, _AFFRICATES, _TONES),
    }
)


def respell(phonemes: str, *, language: str) -> str:
    """espeak-ng's IPA (decomposed) as Kokoro's symbols; ``language`` is a voice's first letter."""
    phonemes = phonemes.replace("c\u0327", "ç")
    tables = _TABLES.get(language, _OTHERS)
    for table in tables:
        for written, symbol in table:
            phonemes = phonemes.replace(written, symbol)
    phonemes = re.sub("(\\S)\u0329", r"ᵊ\1", phonemes)
    return "".join(symbol for symbol in phonemes if symbol in IDS)


class KokoroVoice:
    """The model and its voices, loaded."""

    sample_rate = SAMPLE_RATE
    by_stretches = False

    def __init__(self, model: Path, voices: Path, *, model_id: str, threads: int = 2) -> None:
        """``voices`` is the folder of ``.bin`` tables, each read when it is first spoken with. Blocks for
        about a second. Raises ``ModelError``, which names the extra when espeak-ng is missing."""
        if not model.is_file():
            raise missing(model, model_id=model_id)
        if not voices.is_dir():
            raise missing(voices, model_id=model_id)
        load_phonemizer(voice="en-us", model_id=model_id)
        self.model_id = model_id
        self._tables = {
            path.stem: path for path in sorted(voices.glob("*.bin")) if path.stem[:1] in LANGUAGES
        }
        if not self._tables:
            raise damaged(model_id)
        self._styles: dict[str, NDArray[np.float32]] = {}
        graph, self._outputs = _with_durations(model.read_bytes())
        self._session = open_onnx(graph, model_id=model_id, threads=threads)

    @property
    def voices(self) -> tuple[str, ...]:
        first = DEFAULT_VOICE if DEFAULT_VOICE in self._tables else next(iter(self._tables))
        return (first, *(name for name in self._tables if name != first))

    def voice_for(self, language: str) -> str:
        """The first voice that speaks ``language`` (ISO 639-1), else the default."""
        return next((name for name in self.voices if LANGUAGES[name[0]][0] == language), self.voices[0])

    def speak(self, text: str, *, voice: str, speed: float) -> KokoroUtterance:
        """``voice`` is one of ``voices``; ``speed`` 1.0 is its own pace."""
        return KokoroUtterance(self, text, voice=voice, speed=speed)

    def warm_up(self) -> None:
        """Speak a short sentence, so that no caller is the first."""
        self.speak("Yes, it is.", voice=self.voices[0], speed=1.0).step()

    def sentences(self, text: str, *, voice: str) -> list[str]:
        """Kokoro's symbols for each sentence of ``text``; one too long for a run is cut at a space."""
        sentences = [""]
        for phrase in phrases(text, voice=LANGUAGES[voice[0]][1]):
            space = " " if sentences[-1] else ""
            sentences[-1] += space + respell(phrase.phonemes, language=voice[0]) + phrase.terminator
            if phrase.ends_sentence:
                sentences.append("")
        return [run for sentence in sentences for run in _runs(sentence) if letters(run)]

    def run(self, spoken: str, *, voice: str, speed: float) -> tuple[NDArray[np.float32], list[float]]:
        """The sound of at most ``MAX_TOKENS`` symbols, and when each symbol ends, in seconds."""
        ids = [0, *(IDS[symbol] for symbol in spoken), 0]
        sound, *durations = self._session.run(
            self._outputs,
            {
                "tokens": np.array([ids], dtype=np.int64),
                "style": self._style(voice)[len(spoken)][None],
                "speed": np.array([speed], dtype=np.float32),
            },
        )
        sound = sound.reshape(-1)
        if durations:
            ends = np.cumsum(durations[0].reshape(-1))[1:-1] * _FRAME_S
        else:
            ends = np.linspace(0, len(sound) / SAMPLE_RATE, len(spoken) + 1)[1:]
        return sound, [float(end) for end in ends]

    def _style(self, voice: str) -> NDArray[np.float32]:
        if voice not in self._styles:
            table = np.fromfile(self._tables[voice], dtype="<f4")
            if table.size != (MAX_TOKENS + 1) * STYLE:
                raise damaged(self.model_id)
            self._styles[voice] = table.reshape(MAX_TOKENS + 1, STYLE)
        return self._styles[voice]


class KokoroUtterance:
    """One text, a sentence a step."""

    def __init__(self, kokoro: KokoroVoice, text: str, *, voice: str, speed: float) -> None:
        self._kokoro = kokoro
        self._text = text
        self._voice = voice
        self._speed = speed
        self._trim = LeadTrimmer(SAMPLE_RATE)
        self._sentences: list[tuple[str, list[Word]]] | None = None
        self._begun_s = 0.0

    def step(self) -> Piece | None:
        """The next sentence; None after the last."""
        if self._sentences is None:
            self._sentences = self._plan()
        if not self._sentences:
            return None
        spoken, words = self._sentences.pop(0)
        sound, ends = self._kokoro.run(spoken, voice=self._voice, speed=self._speed)
        times: tuple[WordTime, ...] = word_times(
            words, spoken, [self._begun_s + end for end in ends], start_s=self._begun_s
        )
        self._begun_s += len(sound) / SAMPLE_RATE
        return self._trim(Piece(sound=sound, words=times))

    def _plan(self) -> list[tuple[str, list[Word]]]:
        sentences = self._kokoro.sentences(self._text, voice=self._voice)
        words = [replace(word, weight=self._length(word)) for word in words_of(self._text)]
        return list(zip(sentences, share(words, [letters(spoken) for spoken in sentences]), strict=True))

    def _length(self, word: Word) -> int:
        return sum(map(letters, self._kokoro.sentences(word.of(self._text), voice=self._voice)))


def _runs(sentence: str) -> list[str]:
    runs: list[str] = []
    rest = sentence.strip()
    while len(rest) > MAX_TOKENS:
        space = rest.rfind(" ", 1, MAX_TOKENS)
        cut = space if space > 0 else MAX_TOKENS
        runs.append(rest[:cut])
        rest = rest[cut:].strip()
    return [*runs, rest]


def _with_durations(model: bytes) -> tuple[bytes, list[str]]:
    """The graph with the frames of each token as a second output, where it is built as Kokoro's export is."""
    try:
        graph = read_graph(model)
        audio = next(iter(graph.outputs))
        rounded = next(node for node in graph.nodes if node.op == "Round").outputs[0]
        (clipped,) = graph.consumers(rounded)
        outputs = [audio, clipped.outputs[0]]
        return graph.part(list(graph.inputs), outputs), outputs
    except (GraphError, StopIteration, ValueError):
        return model, ["audio"]
