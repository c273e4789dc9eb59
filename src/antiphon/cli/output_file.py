"""Files that commands write where they are told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from antiphon.errors import AntiphonError


class OutputError(AntiphonError):
    """A file cannot be written. The message names it, and says why."""

    code = "output"


@contextmanager
def output_file(path: Path) -> Iterator[TextIO]:
    """A file to be written, in UTF-8, as it is given. Raises OutputError."""
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
