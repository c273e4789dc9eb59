"""The embedded recogniser: Whisper, encoding only the sound there is.

Stock Whisper pads every clip to 30 s and spends nine tenths of its time on silence. Here the encoder
(ctranslate2, int8) gets the speech and a second of silence; the decoder (``whisper_decoder``) is watched for the
loops that so short a window brings (``whisper_guard``), and only when it runs away is the window made full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from antiphon.inference.ct2_weights import Weights, WeightsError
from antiphon.inference.mel import HOP, MEL_RATE, log_mel
from antiphon.inference.onnx import damaged, import_extra
from antiphon.inference.store import ModelFiles
from antiphon.inference.whisper_decoder import WhisperDecoder
from antiphon.inference.whisper_guard import LoopGuard, is_speech
from antiphon.inference.whisper_tokens import WhisperTokens, alignment_heads
from antiphon.inference.windows import split_windows

Sound = NDArray[np.float32]

FULL_WINDOW_S = 30.0
"""The window that Whisper was trained on."""
SILENCE_S = 1.0
"""Silence put behind the speech, by which Whisper knows that it is over. Less makes more loops, more costs 10 ms a
second; the word error rate is the same from 0.5 s on, the loops being caught."""
LEAST_WINDOW_S = 2.5
"""Shorter windows misread one-word turns."""
FRAME_S = 0.02
"""Of encoded sound."""
TOKENS_PER_S, TOKENS_LEAST = 10, 12
"""Most text a window can hold: twice what a fast speaker says. Past it the decoder has run away."""
SILENT_PEAK = 3e-4
"""Peak of sound, 0-1, that is silence without asking: ten steps of 16 bits."""
UNHEARD_S = 2.0
"""Speech left unheard behind a loop that makes the full window worth its time."""
SHORT_S = 2.0
"""Turns up to this long may be one-word commands."""
DOUBTFUL_LOGPROB, BELIEVED_LOGPROB = -0.75, -0.9
"""Below the first, a short turn is listened to again as a command; above the second, that is believed."""
COMMAND_PROMPT = {"en": "Stop."}
"""Language → a text after which short commands are heard as such: a bare "Stop." is otherwise "It's stop.", and
"is top.", stock Whisper included."""
COMMANDS = {"en": frozenset({"stop", "yes", "no", "okay", "wait", "continue", "go on"})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognized:
    """What was heard in a stretch of sound."""

    text: str
    """Trimmed; empty when no speech was found."""
    language: str
    """ISO 639-1: the one asked for, or the one detected; empty when nothing was heard."""
    no_speech: float
    """0-1: how likely it is that nobody spoke."""
    avg_logprob: float
    """Mean natural logarithm of the probability of the words' tokens; 0 is certain, below -1 is a guess."""
    language_probability: float = 1.0
    """0-1; 1 when the language was asked for."""


NOTHING = Recognized(text="", language="", no_speech=1.0, avg_logprob=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """One decoding of one window."""

    recognized: Recognized
    unfinished: bool = False
    """Whether it ran away, or looped before the speech was over: the full window may do better."""


class WhisperModel:
    """A loaded Whisper. Blocking: call it off the event loop; several threads may. Needs no closing."""

    def __init__(self, files: ModelFiles, *, threads: int) -> None:
        """``threads`` are the encoder's; the decoder uses the caller's alone. Raises ``ModelError``."""
        ctranslate2 = import_extra("ctranslate2", extra="local", model_id=files.id)
        config = files.folder / "config.json"
        try:
            self._model: Any = ctranslate2.models.Whisper(
                str(files.folder), compute_type="int8", intra_threads=threads
            )
            with Weights(files.main) as weights:
                self._decoder = WhisperDecoder(weights, alignment_heads(config), model_id=files.id, threads=1)
        except (RuntimeError, ValueError, WeightsError) as error:  # what ctranslate2 raises for a bad file
            raise damaged(files.id) from error
        self._storage: Any = ctranslate2.StorageView
        self._tokens = WhisperTokens(
            files, multilingual=self._model.is_multilingual, vocabulary=self._decoder.shape.vocabulary
        )
        self._warm = False

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes (639-3 where there is none)."""
        return tuple(self._tokens.languages)

    def warm_up(self) -> None:
        """Run once, so that the first turn is as fast as the tenth."""
        noise = np.random.default_rng(0).normal(0.0, 0.01, 3 * MEL_RATE).astype(np.float32)
        self.transcribe(noise, language="en")

    def transcribe(self, pcm: Sound, *, language: str | None, prompt: str = "") -> Recognized:
        """Sound (float32 mono, 16 kHz, ±1, any length) → words.

        ``language`` is ISO 639-1, None (or one that the model does not know) to detect; ``prompt`` is text in
        whose spelling and vocabulary to write; in short turns only one with commands in it is heeded.
        """
        known = language if language in self._tokens.languages else None
        if len(pcm) < HOP or float(np.abs(pcm).max()) < SILENT_PEAK:
            return NOTHING
        heard: list[Recognized] = []
        for window in split_windows(pcm, MEL_RATE):
            found = self._hear(window, known, prompt)
            if found.text:
                heard.append(found)
                known = found.language
        return _joined(heard) if heard else replace(NOTHING, no_speech=found.no_speech)

    def _hear(self, sound: Sound, language: str | None, prompt: str) -> Recognized:
        """One window: the short way, and where that fails the stock way."""
        short = len(sound) <= SHORT_S * MEL_RATE
        if short and not any(command in prompt for command in COMMAND_PROMPT.values()):
            prompt = ""  # after names, "Stop." is heard as nothing and "Sure." as "Zürich."
        seconds = max(LEAST_WINDOW_S, len(sound) / MEL_RATE + SILENCE_S)
        encoded = self._encode(sound, seconds)
        heard = self._decode(encoded, sound, language, prompt)
        if heard.unfinished and seconds < FULL_WINDOW_S:
            full = self._decode(self._encode(sound, FULL_WINDOW_S), sound, language, prompt)
            heard = heard if full.unfinished else full
        found = heard.recognized
        if short and not prompt and found.avg_logprob < DOUBTFUL_LOGPROB:
            found = self._as_command(encoded, sound, found)
        if is_speech(found.text, no_speech=found.no_speech, avg_logprob=found.avg_logprob):
            return found
        return replace(found, text="", language="")

    def _as_command(self, encoded: Sound, sound: Sound, found: Recognized) -> Recognized:
        """Listen to a short, doubtful turn again as to a one-word command; keep that if it is one."""
        prompt = COMMAND_PROMPT.get(found.language)
        if prompt is None:
            return found
        again = self._decode(encoded, sound, found.language, prompt).recognized
        words = "".join(letter for letter in again.text.lower() if letter.isalpha() or letter == " ")
        if words in COMMANDS[found.language] and again.avg_logprob > BELIEVED_LOGPROB:
            return replace(again, language_probability=found.language_probability)
        return found

    def _encode(self, sound: Sound, seconds: float) -> Sound:
        """The window's sound, silence behind it up to ``seconds``, encoded: ``(frames, width)``."""
        samples = int(min(seconds, FULL_WINDOW_S) * MEL_RATE)
        padded = np.zeros(samples, dtype=np.float32)
        padded[: min(len(sound), samples)] = sound[:samples]
        features = log_mel(padded, n_mels=self._model.n_mels)
        encoded = self._model.encode(self._storage.from_array(features[None]), to_cpu=True)
        states: Sound = np.array(encoded, dtype=np.float32)
        return states.reshape(states.shape[-2:])

    def _decode(self, encoded: Sound, sound: Sound, language: str | None, prompt: str) -> _Heard:
        tokens = self._tokens
        decoding = self._decoder.begin(encoded)
        scores = decoding.feed(tokens.opening(prompt))
        no_speech = float(np.exp(_log_softmax(scores)[tokens.no_speech]))
        if language:
            detected, probability = language, 1.0
        else:  # after names from Vietnam, "No" would be taken for Vietnamese
            alone = self._decoder.begin(encoded).feed(tokens.opening("")) if prompt else scores
            detected, probability = tokens.detect(alone)
        scores = decoding.feed(tokens.task(detected)) + tokens.forbidden_first
        seconds = len(sound) / MEL_RATE
        guard = LoopGuard(sound_frames=int(seconds / FRAME_S))
        room = self._decoder.max_tokens - decoding.position - 1
        limit = min(room, int(seconds * TOKENS_PER_S) + TOKENS_LEAST)
        ids: list[int] = []
        logprobs: list[float] = []
        unfinished = True
        while len(ids) < limit:
            log_probabilities = _log_softmax(scores)
            token = int(log_probabilities.argmax())
            logprobs.append(float(log_probabilities[token]))
            if token == tokens.end:
                unfinished = False
                break
            ids.append(token)
            scores = decoding.feed([token]) + tokens.forbidden
            keep = guard.add(token, decoding.attention[-1])
            if keep is not None:
                del ids[keep:], logprobs[keep:]
                unfinished = _speech_end(sound) - guard.heard_until * FRAME_S > UNHEARD_S
                break
        recognized = Recognized(
            text=tokens.decode(ids),
            language=detected,
            no_speech=no_speech,
            avg_logprob=sum(logprobs) / max(1, len(logprobs)),
            language_probability=probability,
        )
        return _Heard(recognized=recognized, unfinished=unfinished)


def _speech_end(sound: Sound) -> float:
    """Seconds at which the last loud 20 ms end: within 30 dB of the loudest."""
    step = int(FRAME_S * MEL_RATE)
    frames = sound[: len(sound) // step * step].reshape(-1, step)
    if not len(frames):
        return 0.0
    energy = np.square(frames).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 1e-3)
    return float(loud[-1] + 1) * FRAME_S if len(loud) else 0.0


def _log_softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = scores - scores.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()), dtype=np.float32)


def _joined(heard: Sequence[Recognized]) -> Recognized:
    """Several windows as one; the first one's language, the mean of the certainties."""
    if len(heard) == 1:
        return heard[0]
    return replace(
        heard[0],
        text=" ".join(part.text for part in heard),
        no_speech=min(part.no_speech for part in heard),
        avg_logprob=sum(part.avg_logprob for part in heard) / len(heard),
    )
