"""Whisper's text decoder on onnxruntime, built from the weights of the CTranslate2 model.

Why not the decoder that ctranslate2 has: one token of whisper-base takes it 7.4 ms whatever the number of
threads; here it takes 3 ms on one thread, because the weights stay packed in 8-bit blocks of 32 and a token is
a product with a vector. And one step at a time can be watched: where in the sound each word was heard (the
attention of the alignment heads) tells a loop from a speaker who repeats himself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from antiphon.inference.ct2_weights import Weights
from antiphon.inference.onnx import OnnxSession, open_onnx
from antiphon.inference.onnx_writer import GraphWriter

Floats = NDArray[np.float32]

BLOCK = 128
"""Weights that share a scale: 32 would cost a third more time, and more than 128 gains little."""
_EPSILON = 1e-5
"""Of Whisper's layer norms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderShape:
    """The dimensions of a Whisper decoder."""

    layers: int
    heads: int
    width: int
    """Of the states: 512 in base."""
    vocabulary: int

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @classmethod
    def of(cls, weights: Weights) -> DecoderShape:
        vocabulary, width = weights.stored("decoder/embeddings/weight").shape
        layers = 0
        while f"decoder/layer_{layers}/ffn/linear_0/weight" in weights:
            layers += 1
        heads = weights.number("decoder/num_heads")
        return cls(layers=layers, heads=heads, width=width, vocabulary=vocabulary)


class WhisperDecoder:
    """The decoder's weights and graphs, shared by all decodings."""

    def __init__(
        self, weights: Weights, alignment_heads: Sequence[tuple[int, int]], *, model_id: str, threads: int
    ) -> None:
        """``alignment_heads`` are (layer, head) pairs whose attention follows the sound; see config.json."""
        self.shape = DecoderShape.of(weights)
        self._embeddings = weights.stored("decoder/embeddings/weight")
        self._embedding_scale = (
            weights.stored("decoder/embeddings/weight_scale") if self._embeddings.dtype == np.int8 else None
        )
        self._positions = weights.floats("decoder/position_encodings/encodings")
        step = _step_graph(weights, self.shape, alignment_heads)
        self._step = open_onnx(step, model_id=model_id, threads=threads)
        memory = _memory_graph(weights, self.shape)
        self._memory = open_onnx(memory, model_id=model_id, threads=threads)
        layers = range(self.shape.layers)
        self.kept = [name for layer in layers for name in (f"keys{layer}", f"values{layer}")]
        """Inputs of a step that are outputs of the one before it, in their order."""
        self._remembered = [f"memory_{name}" for name in self.kept]

    @property
    def max_tokens(self) -> int:
        """Positions that the model has: prompt and text together."""
        return len(self._positions)

    def begin(self, encoded: Floats) -> Decoding:
        """Start on a stretch of encoded sound, ``(frames, width)``."""
        memory = dict(zip(self._remembered, self._memory.run(None, {"encoded": encoded}), strict=True))
        return Decoding(self, self._step, memory)

    def empty_state(self) -> dict[str, Any]:
        """Keys and values of no tokens, by the names of the step graph's inputs."""
        shape = self.shape
        keys = np.zeros((shape.heads, shape.head_width, 0), dtype=np.float32)
        values = np.zeros((shape.heads, 0, shape.head_width), dtype=np.float32)
        return {name: keys if name.startswith("keys") else values for name in self.kept}

    def embed(self, ids: Sequence[int], position: int) -> Floats:
        """Token and position embeddings of ``ids``, the first of which is at ``position``."""
        rows = self._embeddings[list(ids)].astype(np.float32)
        if self._embedding_scale is not None:
            rows /= self._embedding_scale[list(ids)].astype(np.float32)[:, None]
        return np.asarray(rows + self._positions[position : position + len(ids)], dtype=np.float32)


class Decoding:
    """One stretch of sound being decoded: feed tokens, get the scores of the next."""

    def __init__(self, decoder: WhisperDecoder, session: OnnxSession, memory: dict[str, Any]) -> None:
        self._decoder = decoder
        self._session = session
        self._inputs = {**memory, **decoder.empty_state()}
        self._mask = np.zeros((1, 1), dtype=np.float32)
        self.position = 0
        """Tokens fed so far."""
        self.attention: Floats = np.zeros((0, 0), dtype=np.float32)
        """Of the last feed, the mean over the alignment heads: ``(tokens, frames)``, rows sum to 1."""

    def feed(self, ids: Sequence[int]) -> Floats:
        """Add tokens and return the scores (logits) of what follows the last of them, ``(vocabulary,)``."""
        self._inputs["tokens"] = self._decoder.embed(ids, self.position)
        self._inputs["mask"] = self._mask if len(ids) == 1 else _causal_mask(len(ids), self.position)
        logits, self.attention, *kept = self._session.run(None, self._inputs)
        self._inputs.update(zip(self._decoder.kept, kept, strict=True))
        self.position += len(ids)
        return np.asarray(logits[0], dtype=np.float32)


def _causal_mask(count: int, position: int) -> Floats:
    """``count`` new tokens see the ``position`` ones before and, of themselves, those up to each."""
    mask = np.zeros((count, position + count), dtype=np.float32)
    mask[:, position:] = np.triu(np.full((count, count), -np.inf, dtype=np.float32), k=1)
    return mask


def _step_graph(weights: Weights, shape: DecoderShape, alignment: Sequence[tuple[int, int]]) -> bytes:
    """Token embeddings and what was kept → logits, attention of the alignment heads, what to keep."""
    build = _Builder(weights, shape)
    graph = build.graph
    states = graph.input("tokens", "n", shape.width)
    mask = graph.input("mask", "m", "s")
    followed: list[str] = []
    kept: list[str] = []
    for layer in range(shape.layers):
        name = f"decoder/layer_{layer}"
        states, new = build.self_attention(states, mask, name, layer)
        kept += new
        states, attention = build.cross_attention(states, name, layer)
        heads = [head for at, head in alignment if at == layer]
        if heads:
            followed.append(graph.node("Gather", attention, graph.constant(heads), axis=0))
        states = build.feed_forward(states, f"{name}/ffn")
    last = graph.node("Gather", states, graph.constant([-1]), axis=0)
    last = build.norm(last, "decoder/layer_norm")
    graph.output(build.linear(last, "decoder/projection", bias=False), 1, shape.vocabulary)
    joined = graph.node("Concat", *followed, axis=0) if followed else attention
    graph.output(graph.node("ReduceMean", joined, axes=[0], keepdims=0), "n", "frames")
    for tensor in kept:
        graph.output(tensor, shape.heads, "a", "b")
    return graph.model()


def _memory_graph(weights: Weights, shape: DecoderShape) -> bytes:
    """Encoded sound → the keys and values that each layer's cross-attention looks up."""
    build = _Builder(weights, shape)
    graph = build.graph
    encoded = graph.input("encoded", "frames", shape.width)
    for layer in range(shape.layers):
        both = build.product(encoded, f"decoder/layer_{layer}/attention/linear_1")
        keys, values = graph.split(both, 2, axis=1, size=shape.width)
        graph.output(build.heads(keys, (1, 2, 0)), shape.heads, "a", "b")
        graph.output(build.heads(values, (1, 0, 2)), shape.heads, "a", "b")
    return graph.model()


class _Builder:
    """The pieces of a transformer decoder layer, in ONNX nodes."""

    def __init__(self, weights: Weights, shape: DecoderShape) -> None:
        self.graph = GraphWriter()
        self._weights = weights
        self._shape = shape

    def self_attention(self, states: str, mask: str, name: str, layer: int) -> tuple[str, tuple[str, str]]:
        graph, shape = self.graph, self._shape
        past_keys = graph.input(f"keys{layer}", shape.heads, shape.head_width, "t")
        past_values = graph.input(f"values{layer}", shape.heads, "t", shape.head_width)
        normed = self.norm(states, f"{name}/self_attention/layer_norm")
        all_three = self.linear(normed, f"{name}/self_attention/linear_0", query_rows=shape.width)
        queries, keys, values = graph.split(all_three, 3, axis=1, size=shape.width)
        keys = graph.node("Concat", past_keys, self.heads(keys, (1, 2, 0)), axis=2)
        values = graph.node("Concat", past_values, self.heads(values, (1, 0, 2)), axis=1)
        scores = graph.node("MatMul", self.heads(queries, (1, 0, 2)), keys)
        weights = graph.node("Softmax", graph.node("Add", scores, mask), axis=-1)
        mixed = self.linear(self._merge(weights, values), f"{name}/self_attention/linear_1")
        return graph.node("Add", states, mixed), (keys, values)

    def cross_attention(self, states: str, name: str, layer: int) -> tuple[str, str]:
        graph, shape = self.graph, self._shape
        keys = graph.input(f"memory_keys{layer}", shape.heads, shape.head_width, "frames")
        values = graph.input(f"memory_values{layer}", shape.heads, "frames", shape.head_width)
        normed = self.norm(states, f"{name}/attention/layer_norm")
        queries = self.linear(normed, f"{name}/attention/linear_0", query_rows=shape.width)
        scores = graph.node("MatMul", self.heads(queries, (1, 0, 2)), keys)
        weights = graph.node("Softmax", scores, axis=-1)
        mixed = self.linear(self._merge(weights, values), f"{name}/attention/linear_2")
        return graph.node("Add", states, mixed), weights

    def feed_forward(self, states: str, name: str) -> str:
        graph = self.graph
        inner = self.linear(self.norm(states, f"{name}/layer_norm"), f"{name}/linear_0")
        inner = graph.node("Gelu", inner, domain="com.microsoft")
        return graph.node("Add", states, self.linear(inner, f"{name}/linear_1"))

    def norm(self, states: str, name: str) -> str:
        gamma = self.graph.constant(self._weights.floats(f"{name}/gamma"))
        beta = self.graph.constant(self._weights.floats(f"{name}/beta"))
        return self.graph.node("LayerNormalization", states, gamma, beta, epsilon=_EPSILON)

    def linear(self, states: str, name: str, *, bias: bool = True, query_rows: int = 0) -> str:
        """``states @ weight.T + bias`` for few rows, the weight in 8-bit blocks. The first ``query_rows`` are
        scaled by 1/√head_width, so that the attention need not be."""
        weight, offset = self._matrix(name, bias=bias, query_rows=query_rows)
        packed, scales = quantize_blocks(weight)
        rows, columns = weight.shape
        blocks = self.graph.constant(packed), self.graph.constant(scales)
        product = self.graph.node(
            "MatMulNBits",
            states,
            *blocks,
            domain="com.microsoft",
            K=columns,
            N=rows,
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,  # 8-bit arithmetic, not only storage
        )
        return product if offset is None else self.graph.node("Add", product, self.graph.constant(offset))

    def product(self, states: str, name: str) -> str:
        """``states @ weight.T + bias`` for many rows, in 8-bit arithmetic."""
        weight, offset = self._matrix(name, bias=True, query_rows=0)
        packed, scales = quantize_columns(weight.T)
        constants = [self.graph.constant(array) for array in (packed, scales, np.zeros(len(scales), np.int8))]
        if offset is not None:
            constants.append(self.graph.constant(offset))
        return self.graph.node("DynamicQuantizeMatMul", states, *constants, domain="com.microsoft")

    def heads(self, tensor: str, order: tuple[int, int, int]) -> str:
        """``(n, width)`` → ``(n, heads, head_width)`` in another order of its axes."""
        shape = self.graph.constant([-1, self._shape.heads, self._shape.head_width])
        return self.graph.node("Transpose", self.graph.node("Reshape", tensor, shape), perm=order)

    def _merge(self, weights: str, values: str) -> str:
        """Attention weights over values, heads side by side again: ``(n, width)``."""
        mixed = self.graph.node("Transpose", self.graph.node("MatMul", weights, values), perm=(1, 0, 2))
        return self.graph.node("Reshape", mixed, self.graph.constant([-1, self._shape.width]))

    def _matrix(self, name: str, *, bias: bool, query_rows: int) -> tuple[Floats, Floats | None]:
        weight = self._weights.floats(f"{name}/weight")
        offset = self._weights.floats(f"{name}/bias") if bias else None
        if query_rows:
            scale = np.float32(self._shape.head_width**-0.5)
            weight[:query_rows] *= scale
            if offset is not None:
                offset[:query_rows] *= scale
        return weight, offset


def quantize_blocks(weight: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Rows of weights → 8-bit blocks of ``BLOCK`` around 128 and a scale for each, as MatMulNBits takes them."""
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // BLOCK, BLOCK)
    scales = np.abs(blocks).max(axis=2) / np.float32(127.0)
    safe = np.where(scales == 0.0, np.float32(1.0), scales)
    packed = np.rint(blocks / safe[:, :, None]).astype(np.int16) + 128
    return packed.astype(np.uint8), scales.reshape(-1).astype(np.float32)


def quantize_columns(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Columns of weights → whole numbers up to ±63 and a scale for each column. Seven bits, because processors
    without VNNI add pairs of products in 16 bits, which eight would overflow."""
    scales = np.abs(weight).max(axis=0) / np.float32(63.0)
    safe = np.where(scales == 0.0, np.float32(1.0), scales)
    return np.rint(weight / safe).astype(np.int8), scales.astype(np.float32)
