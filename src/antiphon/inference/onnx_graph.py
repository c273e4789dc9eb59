"""Cutting an ONNX graph into parts that run one after the other.

A voice made of an encoder and a convolutional decoder can be heard before all of it is decoded, if the
decoder can be run on a stretch at a time; onnxruntime runs whole files only. A part is a file with some of the
nodes and initialisers of the original, copied byte for byte; only the lists of inputs and outputs are new. So
this reads and writes just the outer fields of the protobuf (onnx.proto3: ModelProto.graph = 7;
GraphProto.node = 1, name = 2, initializer = 5, input = 11, output = 12; NodeProto.input = 1, output = 2,
name = 3, op_type = 4; TensorProto.name = 8; ValueInfoProto.name = 1, type = 2) and needs no ``onnx`` package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_BYTES = 2
"""Protobuf's wire type for strings and messages."""


class GraphError(ValueError):
    """The file is not an ONNX model, or cannot be cut there."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    raw: memoryview


@dataclass(frozen=True)
class Graph:
    """A model, as far as cutting needs it."""

    header: bytes
    """The fields of ModelProto other than the graph: versions of the format and of the operators."""
    nodes: tuple[Node, ...]
    """In the order in which they can run."""
    initializers: dict[str, memoryview]
    inputs: dict[str, bytes]
    """Name → its ValueInfoProto."""
    outputs: dict[str, bytes]

    @cached_property
    def producers(self) -> dict[str, Node]:
        """Tensor → the node that makes it."""
        return {output: node for node in self.nodes for output in node.outputs}

    def consumers(self, tensor: str) -> list[Node]:
        """The nodes that read ``tensor``."""
        return [node for node in self.nodes if tensor in node.inputs]

    def depends_only(self, output: str, *, on: Sequence[str]) -> bool:
        """Whether ``output`` can be computed from ``on`` and constants alone."""
        try:
            self._needed(on, [output])
        except GraphError:
            return False
        return True

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        """The model that computes ``outputs`` from ``inputs``. New inputs are float, of rank 3.

        Raises ``GraphError`` when ``outputs`` depend on more than ``inputs``.
        """
        nodes, initializers = self._needed(inputs, outputs)
        graph = bytearray()
        for node in self.nodes:
            if id(node) in nodes:
                graph += _field(_GRAPH_NODE, node.raw)
        graph += _field(_GRAPH_NAME, b"part")
        for name in initializers:
            graph += _field(_GRAPH_INITIALIZER, self.initializers[name])
        for name in inputs:
            graph += _field(_GRAPH_INPUT, self.inputs.get(name) or _float_tensor(name))
        for name in outputs:
            graph += _field(_GRAPH_OUTPUT, self.outputs.get(name) or _float_tensor(name))
        return self.header + _field(_MODEL_GRAPH, graph)

    def _needed(self, inputs: Sequence[str], outputs: Sequence[str]) -> tuple[set[int], list[str]]:
        nodes: set[int] = set()
        initializers: list[str] = []
        seen = set(inputs)
        wanted = [name for name in outputs if name not in seen]
        while wanted:
            name = wanted.pop()
            if name in seen or not name:
                continue
            seen.add(name)
            if name in self.initializers:
                initializers.append(name)
            elif (node := self.producers.get(name)) is not None:
                nodes.add(id(node))
                wanted.extend(node.inputs)
            else:
                raise GraphError(f"{', '.join(outputs)} also depend on {name}")
        return nodes, initializers


def read_graph(model: bytes) -> Graph:
    """Parse an ONNX file. Raises ``GraphError``."""
    header = bytearray()
    graph: memoryview | None = None
    try:
        for number, raw, value in _fields(memoryview(model)):
            if number == _MODEL_GRAPH and value is not None:
                graph = value
            else:
                header += raw
        if graph is None:
            raise GraphError("the file holds no graph")
        return _graph(bytes(header), graph)
    except (IndexError, UnicodeDecodeError) as error:
        raise GraphError("the file is not an ONNX model") from error


def _graph(header: bytes, graph: memoryview) -> Graph:
    nodes: list[Node] = []
    initializers: dict[str, memoryview] = {}
    inputs: dict[str, bytes] = {}
    outputs: dict[str, bytes] = {}
    for number, _, value in _fields(graph):
        if value is None:
            continue
        if number == _GRAPH_NODE:
            nodes.append(_node(value))
        elif number == _GRAPH_INITIALIZER:
            initializers["".join(_strings(value, 8))] = value
        elif number == _GRAPH_INPUT:
            inputs["".join(_strings(value, 1))] = bytes(value)
        elif number == _GRAPH_OUTPUT:
            outputs["".join(_strings(value, 1))] = bytes(value)
    return Graph(header, tuple(nodes), initializers, inputs, outputs)


def _node(raw: memoryview) -> Node:
    return Node(
        op="".join(_strings(raw, 4)),
        name="".join(_strings(raw, 3)),
        inputs=tuple(_strings(raw, 1)),
        outputs=tuple(_strings(raw, 2)),
        raw=raw,
    )


def _strings(message: memoryview, wanted: int) -> Iterable[str]:
    return [
        str(value, "utf-8") for number, _, value in _fields(message) if number == wanted and value is not None
    ]


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """The fields of a protobuf message: number, the whole field, and its content where that has a length."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        value: memoryview | None = None
        match tag & 7:
            case 0:
                _, at = _varint(message, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(message, at)
                value = message[at : at + length]
                at += length
            case 5:
                at += 4
            case _:
                raise GraphError("the file is not an ONNX model")
        if at > len(message):
            raise GraphError("the file is cut short")
        yield tag >> 3, message[start:at], value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _field(number: int, content: bytes | bytearray | memoryview) -> bytes:
    return b"".join((_encode_varint(number << 3 | _BYTES), _encode_varint(len(content)), content))


def _float_tensor(name: str) -> bytes:
    """A ValueInfoProto: float32, three dimensions of any size."""
    shape = b"".join(_field(1, _field(2, f"{name}_{axis}".encode())) for axis in range(3))
    tensor = bytes((1 << 3, 1)) + _field(2, shape)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))
