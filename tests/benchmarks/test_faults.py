"""The fault run in small: over real sockets, nobody is left without an answer and nothing is left behind."""

from __future__ import annotations

import argparse

import pytest
from benchmarks.faults import fault_run


@pytest.mark.real_time
@pytest.mark.parametrize("over", ["http1", "http2", "sockets"])
async def test_a_few_callers_with_unsteady_vendors(over: str) -> None:
    given = argparse.Namespace(turns=4, sessions=4, fallback="embedded", over=over, seed=1)
    figures = await fault_run(given)
    assert figures["turns answered"] == "100.00%"
    left = ("sessions lost", "requests left under way", "tasks left", "connections left")
    assert {name: figures[name] for name in left} == dict.fromkeys(left, "0")
