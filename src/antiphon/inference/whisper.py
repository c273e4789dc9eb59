"""The embedded recogniser: Whisper through ctranslate2, encoding only the sound there is."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from antiphon.inference.mel import HOP, MEL_RATE, log_mel
from antiphon.inference.onnx import import_extra
from antiphon.inference.store import ModelFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognized:
    """What was heard in a stretch of sound."""

    text: str
    """Trimmed; empty when no speech was found."""
    language: str
    """ISO 639-1: the one asked for, or the one detected."""
    no_speech: float
    """0-1: how likely it is that nobody spoke."""
    avg_logprob: float
    """Mean natural logarithm of the probability of the words' tokens; 0 is certain, below -1 is a guess."""
    language_probability: float = 1.0
    """0-1; 1 when the language was asked for."""


class WhisperModel:
    """A loaded Whisper. Blocking: call it off the event loop. One call runs at a time; others wait."""

    def __init__(self, files: ModelFiles, *, threads: int) -> None:
        ctranslate2 = import_extra("ctranslate2", extra="local", model_id=files.id)
        tokenizers = import_extra("tokenizers", extra="local", model_id=files.id)
        self._storage: Any = ctranslate2.StorageView
        self._model: Any = ctranslate2.models.Whisper(
            str(files.folder), compute_type="int8", intra_threads=threads
        )
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(files.file("tokenizer.json")))
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Run once, so that the first turn is as fast as the tenth."""
        self.transcribe(np.zeros(MEL_RATE, dtype=np.float32), language="en")

    def transcribe(self, pcm: NDArray[np.float32], *, language: str | None, prompt: str = "") -> Recognized:
        """Sound (float32 mono, 16 kHz, ±1) → words. ``language`` is ISO 639-1, None to detect; ``prompt`` is
        text in whose spelling and vocabulary to write."""
        with self._lock:
            features = log_mel(np.pad(pcm, (0, 2 * MEL_RATE)))[:, : 30 * MEL_RATE // HOP]
            encoded = self._model.encode(self._storage.from_array(features[None]))
            probability = 1.0
            if language is None:
                token, probability = self._model.detect_language(encoded)[0][0]
                language = token[2:-2]
            start = ["<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>", "<|notimestamps|>"]
            ids = [self._tokenizer.token_to_id(token) for token in start]
            result = self._model.generate(
                encoded, [ids], beam_size=1, return_scores=True, return_no_speech_prob=True
            )[0]
        return Recognized(
            text=self._tokenizer.decode(result.sequences_ids[0]).strip(),
            language=language,
            no_speech=result.no_speech_prob,
            avg_logprob=result.scores[0],
            language_probability=probability,
        )
