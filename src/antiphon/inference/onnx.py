"""ONNX models on onnxruntime: how every embedded one is opened."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from antiphon.errors import ModelError

Array = NDArray[Any]


class OnnxNode(Protocol):
    """An input or output of a graph."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> Sequence[int | str | None]: ...


class OnnxSession(Protocol):
    """What is used of ``onnxruntime.InferenceSession``, which has no types of its own."""

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, Array]) -> list[Array]: ...
    def get_inputs(self) -> Sequence[OnnxNode]: ...
    def get_outputs(self) -> Sequence[OnnxNode]: ...


def open_onnx(path: Path | bytes, *, model_id: str, threads: int) -> OnnxSession:
    """Load the graph at ``path`` (or its bytes) for the CPU. Raises ``ModelError`` saying what to do.

    The memory arena is off: it keeps the largest run ever made, which for a voice is tens of megabytes, and
    costs nothing measurable to do without. Spinning is off: idle worker threads that spin take the cores from
    the other models.
    """
    runtime = import_extra("onnxruntime", extra="local", model_id=model_id)
    if isinstance(path, Path) and not path.is_file():
        raise missing(path, model_id=model_id)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    faults = runtime.capi.onnxruntime_pybind11_state
    try:
        session: OnnxSession = runtime.InferenceSession(
            path if isinstance(path, bytes) else str(path), options, providers=["CPUExecutionProvider"]
        )
    except (
        faults.Fail,
        faults.InvalidArgument,
        faults.InvalidGraph,
        faults.InvalidProtobuf,
        faults.NotImplemented,
        faults.RuntimeException,
    ) as error:
        raise damaged(model_id) from error
    return session


def import_extra(name: str, *, extra: str, model_id: str) -> Any:
    """Import an optional runtime, when a model that needs it is loaded. The base install has none of them."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"{model_id} needs {name}, which is not installed (or does not load here: {error}). "
            f"Install it with: pip install 'antiphon[{extra}]'",
            model_id=model_id,
        ) from error


def missing(path: Path, *, model_id: str) -> ModelError:
    """The error for a model file that is not there."""
    return ModelError(
        f"{model_id}: {path} is not there. Fetch it with: antiphon models pull {model_id}", model_id=model_id
    )


def damaged(model_id: str) -> ModelError:
    """The error for a model file that is not what it should be."""
    return ModelError(
        f"{model_id} will not load: its file is cut short or altered. Check it with: antiphon models verify "
        f"{model_id}; fetch it again with: antiphon models pull {model_id}",
        model_id=model_id,
    )


def pcm_to_float(pcm: bytes) -> NDArray[np.float32]:
    """PCM s16le → float32 in ±1. An odd last byte is dropped."""
    samples = np.frombuffer(pcm, dtype="<i2", count=len(pcm) // 2)
    return samples.astype(np.float32) * np.float32(1.0 / 32768.0)


def float_to_pcm(sound: NDArray[np.float32]) -> bytes:
    """float32 in ±1 → PCM s16le, clipped."""
    return (np.clip(sound, -1.0, 1.0) * np.float32(32767.0)).astype("<i2").tobytes()
