"""Opening models: what a missing runtime says, and sound between its two forms."""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.errors import ModelError
from antiphon.inference.onnx import float_to_pcm, import_extra, pcm_to_float


def test_a_runtime_that_is_not_installed_names_the_extra_to_install() -> None:
    with pytest.raises(
        ModelError, match=r"tts/joe needs no_such_runtime, .* pip install 'antiphon\[voices\]'"
    ) as refused:
        import_extra("no_such_runtime", extra="voices", model_id="tts/joe")
    assert refused.value.model_id == "tts/joe"


def test_sound_survives_both_ways_and_is_clipped() -> None:
    samples = np.array([0, 1, -1, 16_384, -32_768, 32_767], dtype="<i2")
    there = pcm_to_float(samples.tobytes())
    assert there.dtype == np.float32
    assert np.abs(there).max() <= 1.0
    back = np.frombuffer(float_to_pcm(there), dtype="<i2")
    assert np.abs(back.astype(int) - samples).max() <= 1
    assert np.frombuffer(float_to_pcm(np.array([2.0, -2.0], dtype=np.float32)), dtype="<i2").tolist() == [
        32767,
        -32767,
    ]


def test_an_odd_byte_is_dropped() -> None:
    assert len(pcm_to_float(b"\0\0\0")) == 1
    assert len(pcm_to_float(b"")) == 0
