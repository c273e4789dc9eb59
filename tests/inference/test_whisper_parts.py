"""What the recogniser is built from: windows, the model file's reader, the graph's writer, 8-bit weights."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from antiphon.inference.ct2_weights import Weights, WeightsError
from antiphon.inference.onnx import open_onnx
from antiphon.inference.onnx_writer import GraphWriter
from antiphon.inference.whisper_decoder import BLOCK, quantize_blocks, quantize_columns
from antiphon.inference.windows import LONGEST_S, split_windows

RATE = 1000
"""Of the sound cut here: cutting does not depend on it."""


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def test_a_short_turn_is_one_window() -> None:
    sound = noise(LONGEST_S)
    (window,) = split_windows(sound, RATE)
    assert window is sound


def test_a_long_turn_is_cut_in_its_pauses_and_nothing_is_lost() -> None:
    sound = noise(70)
    sound[22_000:22_600] *= 0.01
    sound[40_000:40_500] *= 0.01
    windows = split_windows(sound, RATE)
    np.testing.assert_array_equal(np.concatenate(windows), sound)
    cuts = np.cumsum([len(window) for window in windows])[:-1]
    assert [22_000 < cuts[0] < 22_600, 40_000 < cuts[1] < 40_500] == [True, True]


def test_speech_without_a_pause_is_cut_all_the_same() -> None:
    windows = split_windows(noise(100), RATE)
    assert max(len(window) for window in windows) <= LONGEST_S * RATE
    assert sum(len(window) for window in windows) == 100 * RATE


def model_file(path: Path, variables: dict[str, np.ndarray], aliases: dict[str, str]) -> Path:
    """A file as CTranslate2 writes it."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    types = {"float32": 0, "int8": 1, "int32": 3, "float16": 4}
    out = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, array in variables.items():
        out += text(name) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        out += struct.pack("<BI", types[array.dtype.name], array.nbytes) + array.tobytes()
    out += struct.pack("<I", len(aliases)) + b"".join(text(a) + text(b) for a, b in aliases.items())
    path.write_bytes(out)
    return path


def test_a_model_file_is_read_by_name(tmp_path: Path) -> None:
    half = np.arange(6, dtype=np.float16).reshape(2, 3)
    path = model_file(
        tmp_path / "model.bin", {"a/weight": half, "n": np.array(8, np.int32)}, {"b/weight": "a/weight"}
    )
    weights = Weights(path)
    np.testing.assert_array_equal(weights.stored("b/weight"), half)
    assert weights.floats("a/weight").dtype == np.float32
    assert weights.number("n") == 8
    assert "b/weight" in weights
    assert "c/weight" not in weights
    with pytest.raises(WeightsError, match="no c/weight"):
        weights.stored("c/weight")


def test_8_bit_weights_are_scaled_back(tmp_path: Path) -> None:
    packed = np.array([[10, -20], [4, 8]], dtype=np.int8)
    scale = np.array([10.0, 4.0], dtype=np.float32)
    path = model_file(tmp_path / "model.bin", {"w": packed, "w_scale": scale}, {})
    np.testing.assert_allclose(Weights(path).floats("w"), [[1.0, -2.0], [1.0, 2.0]])


def test_a_cut_or_foreign_model_file_is_refused(tmp_path: Path) -> None:
    whole = model_file(tmp_path / "model.bin", {"w": np.zeros((4, 4), np.float32)}, {}).read_bytes()
    for content in (whole[:40], whole[:-30], b"\0" * 100, b"PK\x03\x04 a zip archive, not a model"):
        (tmp_path / "broken.bin").write_bytes(content)
        with pytest.raises(WeightsError):
            Weights(tmp_path / "broken.bin")


def test_a_graph_that_was_written_runs() -> None:
    graph = GraphWriter()
    rows = graph.input("rows", "n", 4)
    first, second = graph.split(rows, 2, axis=1, size=2)
    product = graph.node("MatMul", first, graph.constant(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)))
    graph.output(graph.node("Transpose", graph.node("Add", product, second), perm=(1, 0)), 2, "n")
    session = open_onnx(graph.model(), model_id="a test", threads=1)
    (found,) = session.run(None, {"rows": np.array([[1, 1, 10, 20], [0, 1, 0, 0]], np.float32)})
    np.testing.assert_allclose(found, [[14, 3], [26, 4]])


def test_block_weights_multiply_as_the_runtime_does() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.05, (48, 2 * BLOCK)).astype(np.float32)
    weight[0] = 0.0
    states = rng.normal(0, 1, (3, 2 * BLOCK)).astype(np.float32)
    packed, scales = quantize_blocks(weight)
    assert packed.shape == (48, 2, BLOCK)
    graph = GraphWriter()
    product = graph.node(
        "MatMulNBits",
        graph.input("states", "n", 2 * BLOCK),
        graph.constant(packed),
        graph.constant(scales),
        domain="com.microsoft",
        K=2 * BLOCK,
        N=48,
        bits=8,
        block_size=BLOCK,
        accuracy_level=4,
    )
    graph.output(product, "n", 48)
    (found,) = open_onnx(graph.model(), model_id="a test", threads=1).run(None, {"states": states})
    np.testing.assert_allclose(found, states @ weight.T, atol=0.02)


def test_column_weights_come_back_within_a_step() -> None:
    weight = np.random.default_rng(0).normal(0, 0.05, (16, 5)).astype(np.float32)
    weight[:, 2] = 0.0
    packed, scales = quantize_columns(weight)
    assert np.abs(packed).max() == 63
    assert float(np.abs(packed * scales - weight).max()) <= float(scales.max()) / 2 + 1e-7
