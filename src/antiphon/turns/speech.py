"""From speech probabilities to speech started and paused, with hysteresis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from antiphon.turns.events import SpeechFaltered, SpeechPaused, SpeechStarted

FRAME_S = 0.032
"""Seconds a probability stands for (512 samples at 16 kHz)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """Thresholds of the gate. The probabilities are Silero's; its authors advise 0.5 and 0.15 lower for the end."""

    start_probability: float = 0.5
    end_probability: float = 0.35
    start_frames: int = 2
    """64 ms of voice: a click is one frame, the shortest word about five."""
    pause_frames: int = 3
    """About 100 ms of silence: stop consonants inside words are shorter."""


class SpeechGate:
    """Turns a stream of per-frame probabilities into ``SpeechStarted`` and ``SpeechPaused``, in alternation, and
    ``SpeechFaltered`` between them where a pause may have begun."""

    def __init__(self, config: GateConfig | None = None) -> None:
        self._config = config or GateConfig()
        self._frames = 0
        self._run = 0
        self._speaking = False

    @property
    def speaking(self) -> bool:
        return self._speaking

    @property
    def at(self) -> float:
        """Seconds of sound judged so far."""
        return self._frames * FRAME_S

    def push(self, probability: float) -> Iterator[SpeechStarted | SpeechPaused | SpeechFaltered]:
        """The next frame's probability → at most one event."""
        self._frames += 1
        config = self._config
        changing = (
            probability < config.end_probability
            if self._speaking
            else probability >= config.start_probability
        )
        self._run = self._run + 1 if changing else 0
        if self._run < (config.pause_frames if self._speaking else config.start_frames):
            if self._speaking and self._run == 1:
                yield SpeechFaltered(since=self.at - FRAME_S, at=self.at)
            return
        since = (self._frames - self._run) * FRAME_S
        self._run = 0
        self._speaking = not self._speaking
        if self._speaking:
            yield SpeechStarted(since=since, at=self.at)
        else:
            yield SpeechPaused(since=since, at=self.at)

    def skip(self, seconds: float) -> None:
        """Sound passed that was not judged (push-to-talk); the gate starts afresh after it."""
        self._frames += round(seconds / FRAME_S)
        self._run = 0
        self._speaking = False
