"""Cutting long speech into windows that a recogniser can take, in its pauses. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LONGEST_S = 28.0
"""Of a window: Whisper's 30 s, less the silence that is put behind."""
EARLIEST_S = 16.0
"""Where a cut may fall: past this, at the quietest place."""
_QUIET_S = 0.3
"""Length of the stretch that must be quiet: shorter ones are closed consonants."""
_STEP_S = 0.05


def split_windows(pcm: NDArray[np.float32], rate: int) -> list[NDArray[np.float32]]:
    """``pcm`` (mono) in windows of at most ``LONGEST_S``, cut in the middle of the quietest 0.3 s past
    ``EARLIEST_S``. Nothing is lost or heard twice."""
    windows: list[NDArray[np.float32]] = []
    rest = pcm
    while len(rest) > LONGEST_S * rate:
        cut = _quietest(rest[: int(LONGEST_S * rate)], rate)
        windows.append(rest[:cut])
        rest = rest[cut:]
    return [*windows, rest]


def _quietest(pcm: NDArray[np.float32], rate: int) -> int:
    step = int(_STEP_S * rate)
    start = int(EARLIEST_S * rate)
    energy = np.square(pcm[start : start + (len(pcm) - start) // step * step].reshape(-1, step)).mean(axis=1)
    width = round(_QUIET_S / _STEP_S)
    smooth = np.convolve(energy, np.ones(width), mode="valid")
    # Of equally quiet places the last: longer windows have more to go by.
    quietest = len(smooth) - 1 - int(smooth[::-1].argmin())
    return start + (quietest + width // 2) * step
