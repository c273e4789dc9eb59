"""The flight recorder: what one session heard, decided and why, bounded and in memory.

It holds words (a replay needs them), so it is written to disk only when the operator turns recording on.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from antiphon.turns import events as t
from antiphon.turns.policy import TurnPolicy

SIGNALS = 20_000
"""Ten minutes of the busiest talk (some 20 signals a second of speech with transcripts and reply reports)."""

DECISIONS = 5_000
PEAK_S = 0.05
PEAKS = 12_000
"""Ten minutes of waveform at 20 a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the machine asked of the recogniser, so that a replay can tell how long the answer took."""

    request: int
    start: float
    end: float
    at: float


class Outline:
    """The loudness of the sound over time. In arrays: as tuples it was the largest part of a long session."""

    def __init__(self) -> None:
        self._ends = array("d")
        """Seconds."""
        self._peaks = array("B")
        """0-100."""

    @property
    def end(self) -> float:
        """Of the last stretch, in seconds; before the first, long ago."""
        return self._ends[-1] if self._ends else -math.inf

    def add(self, end: float, peak: int) -> None:
        """A stretch that ends at ``end`` seconds; the oldest are forgotten, a tenth of them at a time."""
        if len(self._ends) >= PEAKS:
            del self._ends[: PEAKS // 10]
            del self._peaks[: PEAKS // 10]
        self._ends.append(round(end, 3))
        self._peaks.append(peak)

    def peaks(self) -> list[tuple[float, int]]:
        """(end of the stretch in seconds, its peak 0-100)."""
        return list(zip(self._ends, self._peaks, strict=True))


@dataclass(slots=True)
class FlightRecorder:
    """Signals into the turn machine, its decisions, and the outline of the sound."""

    kept: bool = True
    """False: nothing is; after half an hour it would be a megabyte a session that nobody looks at."""
    signals: deque[t.Event] = field(default_factory=lambda: deque(maxlen=SIGNALS))
    decisions: deque[t.Note] = field(default_factory=lambda: deque(maxlen=DECISIONS))
    asked: deque[Asked] = field(default_factory=lambda: deque(maxlen=SIGNALS))
    outline: Outline = field(default_factory=Outline)

    def signal(self, event: t.Event) -> None:
        """The machine was told this."""
        if self.kept:
            self.signals.append(event)

    def decision(self, note: t.Note) -> None:
        """The machine decided this."""
        if self.kept:
            self.decisions.append(note)

    def transcription(self, request: t.Transcribe, at: float) -> None:
        """The machine asked for words."""
        if not self.kept:
            return
        self.asked.append(Asked(request=request.request, start=request.start, end=request.end, at=at))

    def sound(self, until: float, pcm: bytes) -> None:
        """Microphone sound up to ``until``, PCM s16le."""
        if not self.kept or until - self.outline.end < PEAK_S:
            return
        samples = np.frombuffer(pcm, dtype="<i2")
        peak = int(np.abs(samples.astype(np.int32)).max()) if samples.size else 0
        self.outline.add(until, round(peak * 100 / 32_768))

    def to_json(self, *, session_id: str, policy: TurnPolicy) -> dict[str, Any]:
        """All of it, for ``antiphon replay``. Holds what was said."""
        return {
            "format": "antiphon-flight-1",
            "session_id": session_id,
            "policy": asdict(policy),
            "signals": [{"event": type(signal).__name__, **asdict(signal)} for signal in self.signals],
            "asked": [asdict(asked) for asked in self.asked],
            "decisions": [asdict(note) for note in self.decisions],
            "peaks": self.outline.peaks(),
        }
