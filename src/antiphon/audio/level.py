"""How loud sound is, and where the last speech in it ends."""

from __future__ import annotations

import numpy as np

from antiphon.audio.frames import BYTES, FULL_SCALE

SILENCE_DBFS = -120.0
"""What digital silence measures."""

VOICED_DBFS = -45.0
"""A frame this loud is taken for sound: speech is recorded at -30 to -15, rooms at -70 to -50."""

FRAME_S = 0.01


def level_dbfs(pcm: bytes) -> float:
    """Root mean square of PCM s16le in dB of full scale; ``SILENCE_DBFS`` for silence or nothing."""
    samples = np.frombuffer(pcm[: len(pcm) & ~1], dtype="<i2").astype(np.float32)
    power = float(np.mean(samples * samples)) if len(samples) else 0.0
    return max(10 * float(np.log10(power / FULL_SCALE**2)), SILENCE_DBFS) if power > 0 else SILENCE_DBFS


def speech_end(pcm: bytes, rate: int, *, threshold_dbfs: float = VOICED_DBFS) -> int:
    """Number of samples up to and with the last frame of 10 ms that is louder than the threshold; 0 without
    one."""
    samples = np.frombuffer(pcm[: len(pcm) & ~1], dtype="<i2").astype(np.float32)
    size = max(round(FRAME_S * rate), 1)
    padded = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    power = np.mean(padded * padded, axis=1)
    loud = np.flatnonzero(power > (FULL_SCALE * 10 ** (threshold_dbfs / 20)) ** 2)
    return min((int(loud[-1]) + 1) * size, len(pcm) // BYTES) if len(loud) else 0
