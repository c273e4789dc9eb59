"""Cutting graphs: the parts joined compute what the whole does, and nonsense is refused."""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.inference.onnx import open_onnx
from antiphon.inference.onnx_graph import GraphError, _encode_varint, _field, _float_tensor, read_graph


def node(op: str, inputs: list[str], output: str) -> bytes:
    body = b"".join(_field(1, name.encode()) for name in inputs)
    return _field(
        1, body + _field(2, output.encode()) + _field(3, f"makes {output}".encode()) + _field(4, op.encode())
    )


def constant(name: str, value: float) -> bytes:
    """An initialiser: one float (TensorProto.dims = 1, data_type = 2, raw_data = 9)."""
    raw = np.array([value], dtype="<f4").tobytes()
    body = b"".join((bytes((1 << 3, 1)), bytes((2 << 3, 1)), _field(8, name.encode()), _field(9, raw)))
    return _field(5, body)


def model(graph: bytes) -> bytes:
    """Format version 8, operators of version 15."""
    return bytes((1 << 3, 8)) + _field(8, bytes((2 << 3, 15))) + _field(7, graph)


WHOLE = model(
    b"".join(
        (
            node("Mul", ["x", "two"], "doubled"),
            node("Add", ["doubled", "one"], "more"),
            node("Mul", ["more", "y"], "out"),
            _field(2, b"whole"),
            constant("one", 1.0),
            constant("two", 2.0),
            _field(11, _float_tensor("x")),
            _field(11, _float_tensor("y")),
            _field(12, _float_tensor("out")),
        )
    )
)
"""out = (2 x + 1) y"""


def value(number: float) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    return np.full((1, 1, 1), number, dtype=np.float32)


def test_a_graph_is_read() -> None:
    graph = read_graph(WHOLE)
    assert [node.op for node in graph.nodes] == ["Mul", "Add", "Mul"]
    assert [node.name for node in graph.nodes] == ["makes doubled", "makes more", "makes out"]
    assert list(graph.initializers) == ["one", "two"]
    assert (list(graph.inputs), list(graph.outputs)) == (["x", "y"], ["out"])
    assert graph.producers["more"].inputs == ("doubled", "one")
    assert [node.outputs for node in graph.consumers("more")] == [("out",)]


def test_the_parts_joined_compute_what_the_whole_does() -> None:
    graph = read_graph(WHOLE)
    first = open_onnx(graph.part(["x"], ["doubled"]), model_id="first", threads=1)
    second = open_onnx(graph.part(["doubled", "y"], ["out"]), model_id="second", threads=1)
    whole = open_onnx(WHOLE, model_id="whole", threads=1)
    (middle,) = first.run(None, {"x": value(3)})
    (joined,) = second.run(None, {"doubled": middle, "y": value(5)})
    assert joined == whole.run(None, {"x": value(3), "y": value(5)})[0] == 35.0


def test_a_part_has_only_what_it_needs_and_can_show_what_lies_inside() -> None:
    part = read_graph(read_graph(WHOLE).part(["x"], ["doubled", "more"]))
    assert [node.op for node in part.nodes] == ["Mul", "Add"]
    assert list(part.outputs) == ["doubled", "more"]
    assert set(read_graph(read_graph(WHOLE).part(["doubled"], ["more"])).initializers) == {"one"}


def test_an_output_that_depends_on_more_is_refused_by_name() -> None:
    graph = read_graph(WHOLE)
    with pytest.raises(GraphError, match="out also depend on y"):
        graph.part(["x"], ["out"])
    assert graph.depends_only("out", on=["more", "y"])
    assert not graph.depends_only("out", on=["more"])


@pytest.mark.parametrize("nonsense", [b"", b"abc", WHOLE[: len(WHOLE) // 2], b"\xff" * 40, _encode_varint(7)])
def test_what_is_no_model_is_refused(nonsense: bytes) -> None:
    with pytest.raises(GraphError):
        read_graph(nonsense)
