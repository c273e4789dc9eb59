"""The C library's memory: not kept by every thread, and given back after models were loaded.

Loading reads, converts and copies weights on several threads. glibc gives each thread an arena and keeps what was
freed in it: with the ``fast`` models about 220 MB, 130 of which come back by ``give_back`` and the rest by
``few_arenas``. Both do nothing where the C library is not glibc.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys

_M_ARENA_MAX = -8
"""``mallopt``'s parameter (malloc.h)."""
ARENAS = 2
"""Arenas for all threads that start from now on: the threads that compute allocate seldom and large."""


def few_arenas() -> None:
    """Have new threads share arenas. For the whole process; an environment's ``MALLOC_ARENA_MAX`` wins."""
    if "MALLOC_ARENA_MAX" not in os.environ:
        _glibc("mallopt", _M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Return freed memory to the system. Takes about 20 ms."""
    gc.collect()
    _glibc("malloc_trim", 0)


def _glibc(name: str, *arguments: int) -> None:
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)
        if function is not None:
            function(*arguments)
