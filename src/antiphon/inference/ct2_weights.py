"""CTranslate2's model file (``model.bin``), read as arrays without loading it: they stay on the disk, mapped.

The layout is that of ``ctranslate2/specs/model_spec.py``: version, the specification's name and revision, then
the variables (name, rank, dimensions, type, bytes, data), then aliases. Strings carry their length and end in
a zero byte; numbers are little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINARY_VERSION = 6
"""The layout since CTranslate2 2.0."""

_TYPES: Mapping[int, str] = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


class WeightsError(ValueError):
    """The file is not a model of CTranslate2, or one in a form that is not read here."""


class Weights:
    """The variables of a model by name. Leaving its context lets go of the memory, not of the file."""

    def __init__(self, path: Path) -> None:
        """Raises ``WeightsError`` when the file is not what it should be."""
        with path.open("rb") as stream:
            self._file = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._places: dict[str, tuple[tuple[int, ...], str, int]] = {}
        self._aliases: dict[str, str] = {}
        try:
            self._read_index()
        except (struct.error, UnicodeDecodeError) as error:
            raise WeightsError("the file is cut short or no CTranslate2 model") from error

    def __enter__(self) -> Weights:
        return self

    def __exit__(self, *_: object) -> None:
        """Give the pages back that were read; of what is used later, no more is read than is used."""
        self._file.madvise(mmap.MADV_DONTNEED)
        self._file.madvise(mmap.MADV_RANDOM)

    def __contains__(self, name: str) -> bool:
        return self._aliases.get(name, name) in self._places

    def stored(self, name: str) -> NDArray[Any]:
        """A variable as it is in the file: a read-only view of the mapped bytes."""
        name = self._aliases.get(name, name)
        if name not in self._places:
            raise WeightsError(f"there is no {name} in the model")
        shape, kind, at = self._places[name]
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self._file, dtype=kind, count=count, offset=at).reshape(shape)

    def floats(self, name: str) -> NDArray[np.float32]:
        """A variable as float32, whatever precision it is stored in."""
        values = self.stored(name)
        if values.dtype.kind == "f":
            return values.astype(np.float32)
        scale = self.stored(f"{name}_scale").astype(np.float32)
        return values.astype(np.float32) / scale.reshape(-1, *([1] * (values.ndim - 1)))

    def number(self, name: str) -> int:
        """A variable that is one whole number."""
        return int(self.stored(name))

    def _read_index(self) -> None:
        reader = _Reader(self._file)
        version = reader.number("I")
        if version != BINARY_VERSION:
            raise WeightsError(f"its layout is version {version}, not {BINARY_VERSION}")
        reader.text()
        reader.number("I")
        for _ in range(reader.number("I")):
            name = reader.text()
            shape = tuple(reader.number("I") for _ in range(reader.number("B")))
            kind = reader.number("B")
            length = reader.number("I")
            if kind not in _TYPES:
                raise WeightsError(f"{name} is stored in a number type that is not read here")
            self._places[name] = (shape, _TYPES[kind], reader.at)
            reader.skip(length)
        for _ in range(reader.number("I")):
            alias = reader.text()
            self._aliases[alias] = reader.text()


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 0

    def number(self, kind: str) -> int:
        value: int = struct.unpack_from(f"<{kind}", self._data, self.at)[0]
        self.at += struct.calcsize(kind)
        return value

    def text(self) -> str:
        length = self.number("H")
        start = self.at
        self.skip(length)
        return self._data[start : self.at].rstrip(b"\0").decode()

    def skip(self, length: int) -> None:
        self.at += length
        if self.at > len(self._data):
            raise WeightsError("the file is cut short")
