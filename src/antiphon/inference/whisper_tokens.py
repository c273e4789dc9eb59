"""Whisper's vocabulary: the special tokens, the languages, and what may not be written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from antiphon.errors import ModelError
from antiphon.inference.onnx import damaged, import_extra
from antiphon.inference.store import ModelFiles

PROMPT_TOKENS = 48
"""Most tokens of a prompt that are used, its last ones: 48 take about 25 ms, and Whisper itself allows 223."""

_SPOKEN_BY_MANY = frozenset(
    {
        "ar",
        "bg",
        "ca",
        "cs",
        "da",
        "de",
        "el",
        "en",
        "es",
        "fi",
        "fr",
        "he",
        "hi",
        "hr",
        "hu",
        "id",
        "it",
        "ja",
    }
    | {"ko", "ms", "nl", "no", "pl", "pt", "ro", "ru", "sv", "ta", "th", "tr", "uk", "ur", "vi", "zh"}
)
_RARE = 0.25
"""Weight of the other languages in detection. A word or two of English sounds Welsh or Norwegian Nynorsk to
whisper-base more often than it is."""


class WhisperTokens:
    """Text ⇄ tokens, and the tokens that steer."""

    def __init__(self, files: ModelFiles, *, multilingual: bool, vocabulary: int) -> None:
        """Raises ``ModelError`` when the tokenizer is not Whisper's."""
        tokenizers = import_extra("tokenizers", extra="local", model_id=files.id)
        try:
            text = files.file("tokenizer.json").read_text(encoding="utf-8")
            self._tokenizer: Any = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # tokenizers raises nothing narrower; this is its edge
            raise damaged(files.id) from error
        self._model_id = files.id
        self.multilingual = multilingual
        self.start = self._id("<|startoftranscript|>")
        self.end = self._id("<|endoftext|>")
        self._previous = self._id("<|startofprev|>")
        self._transcribe = self._id("<|transcribe|>")
        self._no_timestamps = self._id("<|notimestamps|>")
        self.no_speech = self._id("<|nospeech|>", "<|nocaptions|>")
        self.languages = self._find_languages() if multilingual else {"en": -1}
        """ISO 639-1 (639-3 where there is none) → token."""
        self._language_ids = np.array(list(self.languages.values()))
        likely = [1.0 if code in _SPOKEN_BY_MANY else _RARE for code in self.languages]
        self._language_weights = np.array(likely, dtype=np.float32)
        never, not_first = _suppressed(files.folder / "config.json")
        self.forbidden = _mask(vocabulary, [*never, *range(self.end + 1, vocabulary)])
        """Added to scores: minus infinity for tokens that are no text."""
        self.forbidden_first = self.forbidden + _mask(vocabulary, [*not_first, self.end])
        """The same for the first token, which may not be blank or the end."""

    def opening(self, prompt: str) -> list[int]:
        """What comes before the language: the prompt, if any, and the start."""
        if not prompt:
            return [self.start]
        ids = self.encode(f" {prompt.strip()}")[-PROMPT_TOKENS:]
        return [self._previous, *ids, self.start]

    def task(self, language: str) -> list[int]:
        """What comes after the start: transcribe this language, without times."""
        if not self.multilingual:
            return [self._no_timestamps]
        return [self.languages[language], self._transcribe, self._no_timestamps]

    def detect(self, scores: NDArray[np.float32]) -> tuple[str, float]:
        """The language that the scores after the start token speak for, and its probability 0-1."""
        if not self.multilingual:
            return "en", 1.0
        of_languages = scores[self._language_ids]
        weights = np.exp(of_languages - of_languages.max()) * self._language_weights
        best = int(weights.argmax())
        return list(self.languages)[best], float(weights[best] / weights.sum())

    def encode(self, text: str) -> list[int]:
        """Text → tokens, none of them special."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Tokens → text, trimmed."""
        return str(self._tokenizer.decode(list(ids))).strip()

    def _id(self, *names: str) -> int:
        for name in names:
            token: int | None = self._tokenizer.token_to_id(name)
            if token is not None:
                return token
        raise ModelError(
            f"{self._model_id}: its tokenizer is not Whisper's, it has no {names[0]}.", model_id=""
        )

    def _find_languages(self) -> dict[str, int]:
        """The language tokens stand between the start and ``translate``, in a row."""
        first, last = self.start + 1, self._id("<|translate|>")
        tokens = {self._tokenizer.id_to_token(token): token for token in range(first, last)}
        return {name.strip("<|>"): token for name, token in tokens.items()}


def _suppressed(config: Path) -> tuple[list[int], list[int]]:
    """Tokens never written (brackets, notes, speaker dashes …), and those that may not come first."""
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [], []  # an older conversion: nothing is suppressed, which only costs an odd bracket
    return document.get("suppress_ids", []), document.get("suppress_ids_begin", [])


def alignment_heads(config: Path) -> list[tuple[int, int]]:
    """The (layer, head) pairs whose attention follows the sound; none when the model does not say."""
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [(int(layer), int(head)) for layer, head in document.get("alignment_heads", [])]


def _mask(size: int, tokens: Sequence[int]) -> NDArray[np.float32]:
    mask = np.zeros(size, dtype=np.float32)
    mask[[token for token in tokens if 0 <= token < size]] = -np.inf
    return mask
