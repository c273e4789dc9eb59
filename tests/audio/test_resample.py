"""Resampling keeps length, level and pitch, in one piece or many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.audio.resample import Resampler, resample
from antiphon.errors import AudioError

RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000]


def tone(rate: int, seconds: float = 0.5, hz: float = 440.0) -> bytes:
    t = np.arange(int(rate * seconds)) / rate
    return (10_000 * np.sin(2 * np.pi * hz * t)).astype("<i2").tobytes()


@settings(max_examples=40)
@given(
    st.sampled_from(RATES), st.sampled_from(RATES), st.lists(st.integers(1, 4_000), min_size=1, max_size=5)
)
def test_pieces_join_to_the_whole(from_rate: int, to_rate: int, sizes: list[int]) -> None:
    sound = tone(from_rate)
    stream = Resampler(from_rate, to_rate)
    pieces, at, step = [], 0, 0
    while at < len(sound):
        size = 2 * sizes[step % len(sizes)]
        pieces.append(stream.push(sound[at : at + size]))
        at, step = at + size, step + 1
    joined = b"".join(pieces) + stream.flush()
    assert abs(len(joined) // 2 - to_rate * 0.5) <= 2
    expected = np.frombuffer(tone(to_rate), dtype="<i2").astype(int)
    middle = slice(to_rate // 10, to_rate * 4 // 10)  # the filter rings at both ends
    got = np.frombuffer(joined, dtype="<i2").astype(int)
    assert np.abs(got[middle] - expected[middle]).max() < 100


def test_at_once_and_after_a_flush() -> None:
    assert len(resample(tone(22_050), 22_050, 24_000)) == 2 * 12_000
    assert resample(b"", 8_000, 16_000) == b""
    stream = Resampler(8_000, 16_000)
    first = np.frombuffer(stream.push(tone(8_000)) + stream.flush(), dtype="<i2").astype(int)
    again = np.frombuffer(stream.push(tone(8_000)) + stream.flush(), dtype="<i2").astype(int)
    assert np.abs(first - again).max() <= 2  # soxr dithers


def test_the_same_rate_passes_through() -> None:
    stream = Resampler(16_000, 16_000)
    assert stream.push(b"\x01\x02") == b"\x01\x02"
    assert stream.flush() == b""


@pytest.mark.parametrize("rate", [0, -1, 7_999, 192_001])
def test_impossible_rates_are_refused(rate: int) -> None:
    with pytest.raises(AudioError, match=str(rate)):
        Resampler(rate, 16_000)
    with pytest.raises(AudioError, match=str(rate)):
        resample(b"\0\0", 16_000, rate)
