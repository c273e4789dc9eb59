"""Shared by all tests: ``async def`` tests run on virtual time, unless marked ``real_time``."""

from __future__ import annotations

import asyncio
import inspect
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.valkey_server import ValkeyServer, running_valkey
from tests.virtual_time import run_virtual

# How long an example takes says more about the machine than about the code.
settings.register_profile("antiphon", deadline=None)
settings.load_profile("antiphon")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_time: an async test with real sockets, on a real clock")
    if "ANTIPHON_DATA" not in os.environ:
        # Servers that tests start keep a ledger and figures: not among those of whoever runs the tests.
        folder = tempfile.TemporaryDirectory(prefix="antiphon-data-", ignore_cleanup_errors=True)
        os.environ["ANTIPHON_DATA"] = folder.name
        config.add_cleanup(folder.cleanup)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run async tests. Virtual time is the default because most of what is tested here waits."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    coroutine = test(**{name: pyfuncitem.funcargs[name] for name in names})
    if pyfuncitem.get_closest_marker("real_time"):
        asyncio.run(coroutine)
    else:
        run_virtual(coroutine)
    return True


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A real Valkey, empty."""
    with running_valkey(tmp_path / "valkey") as server:
        yield server
