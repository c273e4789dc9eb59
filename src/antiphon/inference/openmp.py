"""OpenMP's runtime for llama.cpp, on machines that have none.

xllamacpp's wheel wants the system's ``libgomp.so.1``, which slim container images and fresh servers lack.
ctranslate2's wheel carries the same library under a name of its own. The loader finds a library by the name written
inside it: a copy with the usual name, loaded beforehand, serves.
"""

from __future__ import annotations

import ctypes
import importlib.util
import tempfile
from pathlib import Path

SYSTEM_NAME = b"libgomp.so.1"


def lend_openmp() -> bool:
    """Load ctranslate2's copy under the system's name. False when there is none to lend."""
    library = _bundled()
    if library is None:
        return False
    own_name = library.name.encode() + b"\0"
    content = library.read_bytes()
    if content.count(own_name) != 1 or len(own_name) <= len(SYSTEM_NAME):
        return False
    content = content.replace(own_name, SYSTEM_NAME.ljust(len(own_name), b"\0"))
    with tempfile.TemporaryDirectory(prefix="antiphon-") as folder:
        copy = Path(folder) / SYSTEM_NAME.decode()
        copy.write_bytes(content)
        try:
            ctypes.CDLL(str(copy), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            return False
    return True


def _bundled() -> Path | None:
    spec = importlib.util.find_spec("ctranslate2")
    if spec is None or spec.origin is None:
        return None
    libraries = Path(spec.origin).parent.parent / "ctranslate2.libs"
    return next(iter(sorted(libraries.glob("libgomp-*.so*"))), None)
