"""Writing an ONNX graph: nodes, constants, inputs and outputs → the bytes that onnxruntime loads.

Just the protobuf fields needed (onnx.proto3), so that no ``onnx`` package is: a graph is built in memory from
a model's weights when it is loaded.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 9
OPSETS = {"": 17, "com.microsoft": 1}
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
"""numpy type → TensorProto.DataType."""

Attribute = int | float | Sequence[int]


class GraphWriter:
    """A graph under construction. Each method returns the name of the tensor that it makes."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._count = 0

    def input(self, name: str, *dims: int | str) -> str:
        """A float32 input; a dimension is a number or, where it varies, a name."""
        self._inputs.append(_bytes(11, _value_info(name, dims)))
        return name

    def output(self, tensor: str, *dims: int | str) -> None:
        """Have ``tensor``, float32, come out under its own name; outputs are told apart by their order."""
        self._outputs.append(_bytes(12, _value_info(tensor, dims)))

    def constant(self, values: NDArray[Any] | Sequence[int]) -> str:
        """Values that come with the graph; a plain sequence is int64, as shapes and indices are."""
        array = np.ascontiguousarray(values if isinstance(values, np.ndarray) else np.array(values, np.int64))
        name = self._new()
        header = b"".join(_varint_field(1, dim) for dim in array.shape)
        header += _varint_field(2, _TYPES[array.dtype.name]) + _bytes(8, name.encode())
        self._constants.append(_bytes(5, header + _bytes(9, array.tobytes())))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Attribute) -> str:
        """An operation with one output."""
        output = self._new()
        self._node(op, inputs, [output], domain, attributes)
        return output

    def split(self, tensor: str, parts: int, *, axis: int, size: int) -> list[str]:
        """``tensor`` in equal parts of ``size`` along ``axis``."""
        outputs = [self._new() for _ in range(parts)]
        self._node("Split", [tensor, self.constant([size] * parts)], outputs, "", {"axis": axis})
        return outputs

    def model(self) -> bytes:
        """The finished ModelProto."""
        graph = [*self._nodes, _bytes(2, b"antiphon"), *self._constants, *self._inputs, *self._outputs]
        size = sum(map(len, graph))
        opsets = [
            _bytes(8, _bytes(1, domain.encode()) + _varint_field(2, version))
            for domain, version in OPSETS.items()
        ]
        return b"".join((_varint_field(1, IR_VERSION), *opsets, _tag(7, 2), _varint(size), *graph))

    def _node(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str, attributes: dict[str, Any]
    ) -> None:
        fields = [_bytes(1, name.encode()) for name in inputs]
        fields += [_bytes(2, name.encode()) for name in outputs]
        fields.append(_bytes(4, op.encode()))
        fields += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        fields.append(_bytes(7, domain.encode()))
        self._nodes.append(_bytes(1, b"".join(fields)))

    def _new(self) -> str:
        self._count += 1
        return f"t{self._count}"


def _attribute(name: str, value: Attribute) -> bytes:
    head = _bytes(1, name.encode())
    if isinstance(value, int):
        return head + _varint_field(3, value) + _varint_field(20, 2)
    if isinstance(value, float):
        return head + _tag(2, 5) + struct.pack("<f", value) + _varint_field(20, 1)
    return head + b"".join(_varint_field(8, number) for number in value) + _varint_field(20, 7)


def _value_info(name: str, dims: Sequence[int | str]) -> bytes:
    shape = b"".join(
        _bytes(1, _varint_field(1, dim) if isinstance(dim, int) else _bytes(2, dim.encode())) for dim in dims
    )
    tensor = _varint_field(1, _TYPES["float32"]) + _bytes(2, shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _bytes(number: int, content: bytes) -> bytes:
    return b"".join((_tag(number, 2), _varint(len(content)), content))


def _varint_field(number: int, value: int) -> bytes:
    return _tag(number, 0) + _varint(value)


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as 64 bits in two's complement
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
