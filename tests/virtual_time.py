"""An asyncio event loop on virtual time: a minute of talk takes no time.

When nothing is ready the clock jumps to the next timer. When nothing is scheduled either, the test has come
to a standstill and fails with ``Standstill``; so does one that runs past ``LONGEST_TEST_S`` of virtual time.
Work in threads (``run_in_executor``) is waited for in real time while the virtual clock stands still.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LONGEST_TEST_S = 3_600.0
"""Virtual seconds; a timer that re-arms itself forever would otherwise never end."""
LONGEST_THREAD_S = 60.0
"""Real seconds that work in a thread may take."""
TIMER_GRAIN_S = 1e-6
"""Timers this close together fire in one step; absorbs rounding in sums of floats."""


class Standstill(RuntimeError):
    """Nothing is ready and nothing is scheduled: the code under test waits for what never comes."""


class VirtualSelector(selectors.BaseSelector):
    """A selector that never waits: it moves the clock instead."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0
        self.threads = 0
        """Calls running in an executor."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if self.threads:
            ready = self._real.select(LONGEST_THREAD_S)
            if not ready:
                raise Standstill(f"work in a thread took more than {LONGEST_THREAD_S:g} s")
            return ready
        if timeout is None:
            raise Standstill(f"at {self.now:.3f} s nothing is scheduled, and the test is not over")
        self.now += timeout
        if self.now > LONGEST_TEST_S:
            raise Standstill(f"still running after {LONGEST_TEST_S:g} s of virtual time")
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The event loop whose ``time()`` is virtual and begins at 0."""

    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)
        self._clock_resolution = TIMER_GRAIN_S

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self._virtual.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Joins the executor's threads, in a thread."""
        self._virtual.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._virtual.threads -= 1

    def _thread_done(self, _: object) -> None:
        self._virtual.threads -= 1


def run_virtual(test: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(test)
