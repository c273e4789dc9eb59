"""The lane: one bounded queue of CPU work that every session shares, off the event loop.

Recognition goes ahead of speech, speech ahead of text; within a class, first come, first served. A lane has
few workers (one, on two cores), because each model already spreads a run over the cores: two runs side by
side take as long as one after the other, and the first one's caller waits longer (docs/design/inference.md).

Voice and turn detection never stand in this queue: they have threads of their own (``vad``, ``smart_turn``).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from antiphon.errors import ProviderUnavailable

T = TypeVar("T")


class Priority(IntEnum):
    """Who goes first: the lower, the sooner."""

    RECOGNITION = 0
    """Speech to text: everything else of a turn waits for it."""
    FIRST_SOUND = 1
    """The first sound of a clause: someone is listening to silence, or soon would be."""
    SPEECH = 2
    """The rest of a clause, while earlier sound plays."""
    TEXT = 3
    """Work on text that nobody waits for."""


QUEUE_LIMIT = 64
"""Jobs waiting in a lane. A run takes 30-300 ms: what stands behind 64 others would answer after ten seconds
or so, which is later than any caller waits; refusing at once lets the fallback speak instead."""

BACKGROUND_NICE = 5
"""Added niceness of worker threads and of all that the models start inside them. The event loop and the voice
detector run a fraction of a millisecond at a time and must not wait behind a matrix product."""


@dataclass(order=True, slots=True)
class _Job:
    priority: Priority
    sequence: int
    work: Callable[[], Any] = field(compare=False)
    done: Future[Any] = field(compare=False)


class Lane:
    """Worker threads behind a bounded priority queue. A context manager: leaving it ends the threads."""

    def __init__(
        self, name: str, *, workers: int = 1, limit: int = QUEUE_LIMIT, nice: int = BACKGROUND_NICE
    ) -> None:
        self.name = name
        self._limit = limit
        self._nice = nice
        self._waiting: list[_Job] = []
        self._running: Counter[Priority] = Counter()
        self._sequence = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, priority: Priority, work: Callable[[], T]) -> T:
        """Run ``work`` on a worker and return what it returns, or raise what it raises.

        Safe to cancel: work that has not begun never runs; work that has is left to end, its result dropped.
        Raises ``ProviderUnavailable`` when the queue is full or the lane is closed.
        """
        return await asyncio.wrap_future(self.submit(priority, work))

    def submit(self, priority: Priority, work: Callable[[], T]) -> Future[T]:
        """Like ``run``, without an event loop: for loading models from another thread."""
        done: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise self._shutting_down()
            self._drop_cancelled()
            if len(self._waiting) >= self._limit:
                raise ProviderUnavailable(
                    f"The embedded models are overloaded ({len(self._waiting)} requests are waiting); try "
                    "again in a few seconds, or serve fewer sessions at once.",
                    provider=self.name,
                    retry_after_s=5.0,
                )
            heapq.heappush(self._waiting, _Job(priority, next(self._sequence), work, done))
            self._changed.notify()
        return done

    def depth(self) -> dict[Priority, int]:
        """Jobs waiting or running, by class."""
        with self._changed:
            self._drop_cancelled()
            depth = Counter(job.priority for job in self._waiting) + self._running
        return {priority: depth.get(priority, 0) for priority in Priority}

    def close(self) -> None:
        """Refuse new work and what waits, and wait for what runs. Blocks for up to one run."""
        with self._changed:
            self._closed = True
            refused, self._waiting = self._waiting, []
            self._changed.notify_all()
        for job in refused:
            if job.done.set_running_or_notify_cancel():
                job.done.set_exception(self._shutting_down())
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Lane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _shutting_down(self) -> ProviderUnavailable:
        return ProviderUnavailable("The embedded models are shutting down.", provider=self.name)

    def _drop_cancelled(self) -> None:
        """A cancelled waiter's job leaves the queue, so that it does not count against the limit."""
        if any(job.done.cancelled() for job in self._waiting):
            self._waiting = [job for job in self._waiting if not job.done.cancelled()]
            heapq.heapify(self._waiting)

    def _work(self) -> None:
        be_nice(self._nice)
        while (job := self._next()) is not None:
            hand_over = _perform(job)
            with self._changed:
                self._running[job.priority] -= 1
            hand_over()
            del job, hand_over  # the result, or a traceback with its frames, must not live until the next job

    def _next(self) -> _Job | None:
        with self._changed:
            while True:
                while self._waiting:
                    job = heapq.heappop(self._waiting)
                    if job.done.set_running_or_notify_cancel():
                        self._running[job.priority] += 1
                        return job
                if self._closed:
                    return None
                self._changed.wait()


def _perform(job: _Job) -> Callable[[], None]:
    """Run the job; returns what hands its result to the caller. The edge of the worker thread: whatever was
    raised belongs to the caller, who gets it from ``run``."""
    try:
        result = job.work()
    except BaseException as error:  # noqa: BLE001  it is raised again in the caller
        return partial(job.done.set_exception, error)
    return partial(job.done.set_result, result)


def be_nice(by: int) -> None:
    """Lower the calling thread's priority; threads it starts inherit that. Linux keeps niceness per thread;
    elsewhere it belongs to the process and is left alone."""
    if by and hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + by)
