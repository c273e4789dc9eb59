"""The log-mel spectrogram that Whisper and smart-turn hear, in numpy.

Formulas: openai/whisper ``audio.py`` (400-point FFT, hop 160, periodic Hann, centred with reflection, power,
Slaney-scaled mel bands, log10, clamped to 8 below the peak, then ``(x + 4) / 4``). The filterbank is computed
here from Slaney's definition (linear below 1 kHz, logarithmic above), not shipped.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

MEL_RATE = 16_000
"""Hz of the sound that goes in."""
FFT_SIZE = 400
"""Samples in a window: 25 ms."""
HOP = 160
"""Samples between windows: 10 ms."""
BINS = FFT_SIZE // 2 + 1

_FRAMES_AT_ONCE = 16
"""Frames by 201 bins by 80 bands stay below the 2^18 products from which OpenBLAS uses threads."""

_LINEAR_STEP_HZ = 200.0 / 3
_LOG_FROM_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0
_FLOOR = 1e-10
"""Power below which nothing is told apart (whisper's clamp before the logarithm)."""


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's mel scale (Auditory Toolbox, 1998): 3 mel per 200 Hz up to 1 kHz, 27 a factor 6.4."""
    log_from = _LOG_FROM_HZ / _LINEAR_STEP_HZ
    linear = mel * _LINEAR_STEP_HZ
    logarithmic = _LOG_FROM_HZ * np.exp(_LOG_STEP * (np.maximum(mel, log_from) - log_from))
    return np.where(mel < log_from, linear, logarithmic)


@cache
def mel_filterbank(n_mels: int) -> NDArray[np.float32]:
    """``(BINS, n_mels)`` triangular bands from 0 to 8 kHz, each of constant energy (area 1)."""
    log_from = _LOG_FROM_HZ / _LINEAR_STEP_HZ
    top_mel = log_from + np.log((MEL_RATE / 2) / _LOG_FROM_HZ) / _LOG_STEP
    edges = mel_to_hz(np.linspace(0.0, top_mel, n_mels + 2))
    bins = np.fft.rfftfreq(FFT_SIZE, 1.0 / MEL_RATE)
    rising = (bins[:, None] - edges[None, :-2]) / np.diff(edges)[None, :-1]
    falling = (edges[None, 2:] - bins[:, None]) / np.diff(edges)[None, 1:]
    bands = np.maximum(0.0, np.minimum(rising, falling))
    bands *= 2.0 / (edges[2:] - edges[:-2])[None, :]
    filterbank = np.ascontiguousarray(bands, dtype=np.float32)
    filterbank.flags.writeable = False
    return filterbank


@cache
def _hann() -> NDArray[np.float32]:
    window = np.hanning(FFT_SIZE + 1)[:-1].astype(np.float32)
    window.flags.writeable = False
    return window


def mel_power(pcm: NDArray[np.float32], *, n_mels: int = 80) -> NDArray[np.float32]:
    """Mel band power of ``pcm`` (float32 mono, 16 kHz, ±1) → ``(len(pcm) // HOP, n_mels)``.

    Frames are rows, so that a longer recording extends the array and earlier rows keep their values (but for
    the last two, whose windows reach past the end).
    """
    frames = len(pcm) // HOP
    if frames == 0:
        return np.zeros((0, n_mels), dtype=np.float32)
    half = FFT_SIZE // 2
    # Reflection needs more samples than it mirrors; sound shorter than half a window is padded with silence.
    sound = pcm if len(pcm) > half else np.pad(pcm, (0, half + 1 - len(pcm)))
    padded = np.pad(np.asarray(sound, dtype=np.float32), half, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, FFT_SIZE)[::HOP][:frames]
    spectrum = np.fft.rfft(windows * _hann(), axis=-1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return _to_bands(power, mel_filterbank(n_mels))


def _to_bands(power: NDArray[np.float32], filterbank: NDArray[np.float32]) -> NDArray[np.float32]:
    """``power @ filterbank``, a few frames at a time: a larger product wakes BLAS's threads, which then spin
    for longer than the product takes, on cores that the models need."""
    whole = len(power) // _FRAMES_AT_ONCE * _FRAMES_AT_ONCE
    blocks = power[:whole].reshape(-1, _FRAMES_AT_ONCE, BINS) @ filterbank
    return np.concatenate(
        (blocks.reshape(whole, filterbank.shape[1]), power[whole:] @ filterbank), dtype=np.float32
    )


def log_scale(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Whisper's scaling of mel power, any shape: log10, at most 8 below the peak, then ``(x + 4) / 4``."""
    if power.size == 0:
        return power
    log = np.log10(np.maximum(power, np.float32(_FLOOR)))
    np.maximum(log, log.max() - np.float32(8.0), out=log)
    log += np.float32(4.0)
    log *= np.float32(0.25)
    return log


def log_mel(pcm: NDArray[np.float32], *, n_mels: int = 80) -> NDArray[np.float32]:
    """Sound (float32 mono, 16 kHz, ±1) → ``(n_mels, len(pcm) // 160)``, C-contiguous, as the models take it.

    The input is used as it is: smart-turn wants zero mean and unit variance and silence put in front to 8 s
    before this; Whisper wants silence put behind.
    """
    return np.ascontiguousarray(log_scale(mel_power(pcm, n_mels=n_mels)).T)
