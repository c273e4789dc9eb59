"""The borrowed OpenMP runtime."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from antiphon.inference.openmp import SYSTEM_NAME, lend_openmp
assert lend_openmp()
import ctypes
# Found by its name among what is loaded, whether or not the system has a file of that name.
assert ctypes.CDLL(SYSTEM_NAME.decode(), mode=__import__("os").RTLD_NOLOAD).omp_get_max_threads() >= 1
assert any(line.endswith("(deleted)\\n") and SYSTEM_NAME.decode() in line for line in open("/proc/self/maps"))
import xllamacpp
"""


def test_a_borrowed_copy_answers_to_the_systems_name() -> None:
    """In a process of its own, because what is loaded stays loaded."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
