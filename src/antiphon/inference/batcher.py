"""The micro-batcher: requests of many sessions that come within a moment of each other become one run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from antiphon.errors import ProviderUnavailable

Request = TypeVar("Request")
Result = TypeVar("Result")


class Batcher(Generic[Request, Result]):
    """Gathers requests on the event loop and runs them in batches on another thread, in order of arrival.

    While a batch runs the next one gathers, so under load batches grow by themselves. When idle, a request
    waits ``gather_s`` for company, unless ``expected`` says that nobody else is about.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Request]], Sequence[Result]],
        *,
        name: str,
        cap: int,
        limit: int,
        gather_s: float,
        expected: Callable[[], int],
        thread: ThreadPoolExecutor,
    ) -> None:
        """``run`` maps a batch (at most ``cap``) to its results in order; ``limit`` requests may wait;
        ``expected()`` is how many requesters there are; ``thread`` has one worker and is the caller's."""
        self._run = run
        self._name = name
        self._cap = cap
        self._limit = limit
        self._gather_s = gather_s
        self._expected = expected
        self._thread = thread
        self._waiting: list[tuple[Request, asyncio.Future[Result]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False

    async def submit(self, request: Request) -> Result:
        """The result for ``request``. Safe to cancel. Raises ``ProviderUnavailable`` when too many wait."""
        if len(self._waiting) >= self._limit:
            raise ProviderUnavailable(
                f"{self._name} is overloaded ({len(self._waiting)} requests are waiting).",
                provider=self._name,
                retry_after_s=1.0,
            )
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, done))
        self._consider()
        return await done

    @property
    def depth(self) -> int:
        """Requests waiting."""
        return len(self._waiting)

    def _consider(self) -> None:
        """Start a batch now, or a moment later, or leave it to the one that runs."""
        if self._busy or not self._waiting:
            return
        if len(self._waiting) >= min(self._cap, self._expected()):
            self._start()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._gather_s, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = [(request, done) for request, done in self._waiting if not done.done()]
        batch, self._waiting = batch[: self._cap], batch[self._cap :]
        if not batch:
            return
        self._busy = True
        loop = asyncio.get_running_loop()
        running = self._thread.submit(self._run, [request for request, _ in batch])
        waiters = [done for _, done in batch]
        asyncio.wrap_future(running, loop=loop).add_done_callback(lambda ran: self._settle(ran, waiters))

    def _settle(
        self, ran: asyncio.Future[Sequence[Result]], waiters: Sequence[asyncio.Future[Result]]
    ) -> None:
        self._busy = False
        if ran.cancelled():
            for done in waiters:
                done.cancel()
            return
        if (error := ran.exception()) is not None:
            for done in waiters:
                if not done.done():
                    done.set_exception(error)
        else:
            for done, result in zip(waiters, ran.result(), strict=True):
                if not done.done():
                    done.set_result(result)
        self._consider()
