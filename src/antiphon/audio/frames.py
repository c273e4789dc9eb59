"""PCM s16le mono as numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from antiphon.errors import AudioError

BYTES = 2
"""A sample, s16le."""

FULL_SCALE = 32_768.0


def to_float(pcm: bytes) -> npt.NDArray[np.float32]:
    """Samples from -1 to 1. Raises ``AudioError`` for an odd number of bytes."""
    if len(pcm) % BYTES:
        raise AudioError(f"{len(pcm)} bytes are no PCM s16le: two bytes make a sample")
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(FULL_SCALE)


def to_pcm(samples: npt.NDArray[np.floating]) -> bytes:
    """Samples from -1 to 1 as PCM s16le; louder ones are clipped, not-a-number is silence."""
    scaled = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0) * FULL_SCALE
    return bytes(np.clip(np.rint(scaled), -32_768, 32_767).astype("<i2").tobytes())
