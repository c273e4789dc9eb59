"""Silero VAD 6 in numpy, with the weights that this package carries.

A server that asks vendors only has no models on disk and no onnxruntime (78 MB), and has to notice speech all the same.
The network is that of silero-vad 6.2.3 (MIT; ``silero_vad/tinygrad_model.py`` there), the weights those of its
``data/silero_vad_16k_op15.onnx``: tests hold the two to each other. One stream's frame costs 0.12 ms, in a batch of
eight 0.035 ms each.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MIRRORED = 64
"""Samples that are put after the frame, its own last ones backwards."""
WINDOW, HOP = 256, 128
"""Samples of a window of the spectrum, and from one to the next: four of a frame."""
BINS = WINDOW // 2 + 1


class SileroNetwork:
    """Stateless: a stream's state is the caller's."""

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        """``weights`` by the names of tinygrad_model.py."""
        self._spectrum = _matrix(weights["stft_conv.weight"][:, 0].T)
        self._spread = _Layer(weights, "conv1", taps=slice(0, 3))
        self._halve = _Layer(weights, "conv2", taps=slice(0, 3))
        # Of two steps, and then of one: the other taps only ever meet what is beside them, which is nothing.
        self._join = _Layer(weights, "conv3", taps=slice(1, 3))
        self._last = _Layer(weights, "conv4", taps=slice(1, 2))
        both = np.concatenate((weights["lstm_cell.weight_ih"], weights["lstm_cell.weight_hh"]), axis=1)
        self._gates = _matrix(both.T)
        self._gates_bias = weights["lstm_cell.bias_ih"] + weights["lstm_cell.bias_hh"]
        self._out = weights["final_conv.weight"][0, :, 0]
        self._out_bias = weights["final_conv.bias"][0]

    @classmethod
    def packaged(cls) -> SileroNetwork:
        """With this package's weights."""
        with as_file(files(__package__) / "silero-6.npz") as path, np.load(path) as weights:
            return cls(dict(weights))

    def __call__(self, heard: Floats, state: Floats) -> tuple[Floats, Floats]:
        """``heard`` (batch, 576): 64 samples and the frame of 512 after them, ±1; ``state`` (2, batch, 128), zeros at
        first → probabilities of speech (batch,), and the state after it."""
        batch = len(heard)
        heard = np.concatenate((heard, heard[:, -2 : -2 - MIRRORED : -1]), axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(heard, WINDOW, axis=1)[:, ::HOP]
        waves = windows.reshape(-1, WINDOW) @ self._spectrum
        power = np.square(waves[:, :BINS]) + np.square(waves[:, BINS:])
        steps: Floats = np.sqrt(power).reshape(batch, -1, BINS)
        steps = self._spread(_neighbours(steps, every=1))
        steps = self._halve(_neighbours(steps, every=2))
        features = self._last(self._join(steps.reshape(batch, -1)))
        hidden, cell = state
        gates: Floats = np.concatenate((features, hidden), axis=1) @ self._gates + self._gates_bias
        let_in, keep, new, show = np.split(gates, 4, axis=1)
        cell = _sigmoid(keep) * cell + _sigmoid(let_in) * np.tanh(new)
        hidden = _sigmoid(show) * np.tanh(cell)
        speech = _sigmoid(np.maximum(hidden, 0.0) @ self._out + self._out_bias)
        return speech, np.stack((hidden, cell))


class _Layer:
    """A convolution over the last axis but one, whose neighbours stand side by side already, and its rectifier."""

    def __init__(self, weights: Mapping[str, Floats], name: str, *, taps: slice) -> None:
        kernel = weights[f"{name}.weight"].transpose(2, 1, 0)[taps]  # (taps, from, to)
        self._kernel = _matrix(kernel.reshape(-1, kernel.shape[-1]))
        self._bias = weights[f"{name}.bias"]

    def __call__(self, steps: Floats) -> Floats:
        heard: Floats = np.maximum(steps @ self._kernel + self._bias, 0.0)
        return heard


def _neighbours(steps: Floats, *, every: int) -> Floats:
    """(batch, steps, features) → each step, or every second, between the one before and the one after it: (batch,
    steps, 3 features). There is nothing before the first and after the last."""
    nothing = np.zeros_like(steps[:, :1])
    padded = np.concatenate((nothing, steps, nothing), axis=1)
    beside = np.concatenate((padded[:, :-2], padded[:, 1:-1], padded[:, 2:]), axis=2)
    return beside[:, ::every]


def _matrix(values: Floats) -> Floats:
    return np.ascontiguousarray(values)


def _sigmoid(values: Floats) -> Floats:
    likely: Floats = np.reciprocal(np.exp(-values) + np.float32(1.0))
    return likely
