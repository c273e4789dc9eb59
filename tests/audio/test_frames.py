"""Samples as numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio.frames import to_float, to_pcm
from antiphon.errors import AudioError


@given(st.binary(max_size=200))
def test_samples_survive_the_way_to_floats_and_back(data: bytes) -> None:
    pcm = data[: len(data) & ~1]
    assert to_pcm(to_float(pcm)) == pcm


def test_floats_are_clipped() -> None:
    assert (
        to_pcm(np.array([2.0, -2.0, np.nan, np.inf]))
        == np.array([32_767, -32_768, 0, 32_767], "<i2").tobytes()
    )


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(AudioError, match="3 bytes"):
        to_float(b"abc")
