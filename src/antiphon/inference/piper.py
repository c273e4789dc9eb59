"""Piper voices: text → phonemes (espeak-ng) → sound (``vits``), the first of it long before the last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.inference.onnx import Array, damaged, missing
from antiphon.inference.phonemes import Phrase, load_phonemizer, phrases
from antiphon.inference.speech import LeadTrimmer, Piece, Word, letters, share, word_times, words_of
from antiphon.inference.vits import Sentence, open_vits
from antiphon.providers.base import WordTime

STRETCHES = (16, 32, 64, 128)
"""Frames of 11.6 ms made at a time. The first is short to be there soon; it lasts 186 ms, while the next
takes about 20 ms to make. Later ones are longer, because each repeats its neighbours' edges."""
_BOS, _EOS, _PAD = "^", "$", "_"


@dataclass(frozen=True, slots=True, kw_only=True)
class PiperConfig:
    """What the voice's ``.onnx.json`` says."""

    sample_rate: int
    espeak_voice: str
    noise_scale: float
    length_scale: float
    noise_w: float
    speakers: Mapping[str, int]
    """Names of the voices inside; empty when there is one."""
    phoneme_ids: Mapping[str, Sequence[int]]
    hop: int
    """Samples a frame."""

    @staticmethod
    def read(path: Path, *, model_id: str) -> PiperConfig:
        """Raises ``ModelError``."""
        if not path.is_file():
            raise missing(path, model_id=model_id)
        try:
            config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            inference = config["inference"]
            return PiperConfig(
                sample_rate=int(config["audio"]["sample_rate"]),
                espeak_voice=str(config["espeak"]["voice"]),
                noise_scale=float(inference["noise_scale"]),
                length_scale=float(inference["length_scale"]),
                noise_w=float(inference["noise_w"]),
                speakers=dict(config.get("speaker_id_map") or {}),
                phoneme_ids=dict(config["phoneme_id_map"]),
                hop=int(config.get("hop_length", 256)),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(model_id) from error


class PiperVoice:
    """One voice file, loaded."""

    def __init__(self, model: Path, config: Path, *, model_id: str, threads: int = 2) -> None:
        """Blocks for about 0.6 s. Raises ``ModelError``, which names the extra when espeak-ng is missing."""
        self.config = PiperConfig.read(config, model_id=model_id)
        load_phonemizer(voice=self.config.espeak_voice, model_id=model_id)
        self.sample_rate = self.config.sample_rate
        self.vits = open_vits(model, model_id=model_id, threads=threads, hop=self.config.hop)
        self._name = model_id.rpartition("-")[2]

    @property
    def voices(self) -> tuple[str, ...]:
        return tuple(self.config.speakers) or (self._name,)

    @property
    def by_stretches(self) -> bool:
        return self.vits.by_stretches

    def voice_for(self, language: str) -> str:
        """The voice for a language: a file speaks one."""
        return self.voices[0]

    def speak(self, text: str, *, voice: str, speed: float) -> PiperUtterance:
        """``voice`` is one of ``voices`` or empty; ``speed`` 1.0 is the voice's own pace."""
        return PiperUtterance(self, text, voice_name=voice, speed=speed)

    def warm_up(self) -> None:
        """Speak sentences of usual lengths, so that no caller is the first."""
        for text in ("Yes.", "It is a quarter to nine, and the sun is out."):
            utterance = self.speak(text, voice="", speed=1.0)
            while utterance.step() is not None:
                pass

    def read(self, spoken: str, *, voice: str, speed: float) -> Sentence:
        """Run the first part of the model on phonemes."""
        config = self.config
        ids = [*config.phoneme_ids[_BOS], *config.phoneme_ids[_PAD]]
        for phoneme in spoken:
            ids += [*config.phoneme_ids[phoneme], *config.phoneme_ids[_PAD]]
        ids += config.phoneme_ids[_EOS]
        scales = (config.noise_scale, config.length_scale / speed, config.noise_w)
        inputs: dict[str, Array] = {
            "input": np.array([ids], dtype=np.int64),
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": np.array(scales, dtype=np.float32),
        }
        if config.speakers:
            inputs["sid"] = np.array([config.speakers.get(voice, 0)], dtype=np.int64)
        return self.vits.read(inputs)

    def sentences(self, text: str) -> list[str]:
        """The phonemes of each sentence of ``text``, with punctuation, without those unknown to the voice."""
        sentences: list[str] = [""]
        for phrase in phrases(text, voice=self.config.espeak_voice):
            sentences[-1] += _spelled(phrase)
            if phrase.ends_sentence:
                sentences.append("")
        known = ("".join(p for p in sentence if p in self.config.phoneme_ids) for sentence in sentences)
        return [sentence for sentence in known if any(phoneme.isalpha() for phoneme in sentence)]

    def phoneme_ends_s(self, spoken: str, sentence: Sentence) -> list[float]:
        """When each phoneme ends, in seconds of the sentence: its own frames and the pad's behind it."""
        frame_s = self.config.hop / self.sample_rate
        if sentence.durations is None:
            return [(n + 1) / len(spoken) * sentence.frames * frame_s for n in range(len(spoken))]
        ids = self.config.phoneme_ids
        counts = [len(ids[_BOS]) + len(ids[_PAD])] + [len(ids[p]) + len(ids[_PAD]) for p in spoken]
        ends = np.cumsum(sentence.durations)[np.cumsum(counts)[1:] - 1]
        return [float(end) * frame_s for end in ends]


class PiperUtterance:
    """One text, sentence by sentence, stretch by stretch."""

    def __init__(self, voice: PiperVoice, text: str, *, voice_name: str, speed: float) -> None:
        self._voice = voice
        self._voice_name = voice_name
        self._speed = speed
        self._text = text
        self._trim = LeadTrimmer(voice.sample_rate)
        self._sentences: list[tuple[str, list[Word]]] | None = None
        self._current: Sentence | None = None
        self._begun_s = 0.0
        """Where the current sentence begins, before trimming."""
        self._stretch = 0

    def step(self) -> Piece | None:
        """The next stretch; None after the last. The first also reads the text."""
        if self._sentences is None:
            self._sentences = self._plan()
        while True:
            words: tuple[WordTime, ...] = ()
            if self._current is None:
                if not self._sentences:
                    return None
                words = self._read(*self._sentences.pop(0))
            if (piece := self._next(words)) is not None:
                return piece

    def _plan(self) -> list[tuple[str, list[Word]]]:
        """The sentences' phonemes, and the words of the text shared out among them."""
        sentences = self._voice.sentences(self._text)
        words = [
            replace(
                word, weight=sum(letters(spoken) for spoken in self._voice.sentences(word.of(self._text)))
            )
            for word in words_of(self._text)
        ]
        return list(zip(sentences, share(words, [letters(spoken) for spoken in sentences]), strict=True))

    def _read(self, spoken: str, words: list[Word]) -> tuple[WordTime, ...]:
        self._current = sentence = self._voice.read(spoken, voice=self._voice_name, speed=self._speed)
        ends = [self._begun_s + end for end in self._voice.phoneme_ends_s(spoken, sentence)]
        return word_times(words, spoken, ends, start_s=self._begun_s)

    def _next(self, words: tuple[WordTime, ...]) -> Piece | None:
        """The next stretch of the current sentence, None when it has ended."""
        assert self._current is not None
        sound = self._current.stretch(STRETCHES[min(self._stretch, len(STRETCHES) - 1)])
        if sound is None:
            self._begun_s += self._current.frames * self._voice.config.hop / self._voice.sample_rate
            self._current = None
            return None
        self._stretch += 1
        return self._trim(Piece(sound=sound, words=words))


def _spelled(phrase: Phrase) -> str:
    """A phrase as piper was trained on it: punctuation is a phoneme, a space follows inside a sentence."""
    space = " " if phrase.terminator in (",", ":", ";") else ""
    return f"{phrase.phonemes}{phrase.terminator}{space}"
