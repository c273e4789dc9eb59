"""The log-mel front end against the one that stock faster-whisper ships."""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.inference.mel import BINS, log_mel, mel_filterbank, mel_power

feature_extractor = pytest.importorskip("faster_whisper.feature_extractor")


def tone(seconds: float, hz: float = 440.0) -> np.ndarray:
    t = np.arange(int(seconds * 16_000)) / 16_000
    noise = np.random.default_rng(7).normal(0, 0.01, len(t))
    return (0.3 * np.sin(2 * np.pi * hz * t) + noise).astype(np.float32)


@pytest.mark.parametrize("n_mels", [80, 128])
def test_filterbank_is_slaneys(n_mels: int) -> None:
    stock = feature_extractor.FeatureExtractor.get_mel_filters(16_000, 400, n_mels)
    assert mel_filterbank(n_mels).shape == (BINS, n_mels)
    np.testing.assert_allclose(mel_filterbank(n_mels).T, stock, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.3, 30.0])
def test_matches_the_stock_features(seconds: float) -> None:
    sound = tone(seconds)
    stock = feature_extractor.FeatureExtractor()(sound, padding=0)
    ours = log_mel(sound)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    assert ours.shape == (80, len(sound) // 160)
    np.testing.assert_allclose(ours, stock[:, : ours.shape[1]], atol=2e-3)


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (159, 0), (160, 1), (200, 1), (201, 1), (16_000, 100)]
)
def test_any_length_gives_a_frame_each_ten_milliseconds(samples: int, frames: int) -> None:
    assert log_mel(np.zeros(samples, dtype=np.float32)).shape == (80, frames)


def test_silence_is_flat() -> None:
    features = log_mel(np.zeros(16_000, dtype=np.float32))
    np.testing.assert_allclose(features, features[0, 0])


def test_more_sound_keeps_the_frames_already_heard() -> None:
    sound = tone(2.0)
    short, whole = mel_power(sound[:16_000]), mel_power(sound)
    np.testing.assert_allclose(whole[: len(short) - 2], short[:-2], rtol=1e-4, atol=1e-7)
