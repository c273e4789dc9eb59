"""A server like any other that knows what watching costs it: processor time of metering and metrics, all threads.

    python -m benchmarks.watched_server --fd N

Serves on the listening socket N with the settings of the environment until SIGTERM; then it prints
``{"ms": …, "turns": …}``. The time is that of every call into a listener, of every step of the task that writes the
ledger, and of the ledger's and the day files' threads, by the thread's own clock. What a look at that clock takes, half
of which falls into each measurement at either end, is taken off.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar

from antiphon.app import build_application
from antiphon.conversation.events import Event, ReplyDone
from antiphon.server.serving import Server
from antiphon.settings import load_settings
from antiphon.telemetry.day_files import DayFiles
from antiphon.telemetry.gathered import Gathered
from antiphon.telemetry.keeping import Keeper
from antiphon.telemetry.logs import configure_logs
from antiphon.telemetry.metrics import Metrics
from antiphon.telemetry.recent import Recent
from antiphon.usage.allowance import BudgetAllowance
from antiphon.usage.bookkeeper import Bookkeeper
from antiphon.usage.sqlite_books import SqliteBooks
from antiphon.usage.writer import LedgerWriter

WATCHING: tuple[tuple[type, tuple[str, ...]], ...] = (
    (Gathered, ("opened", "told", "closed", "refused", "pass_on")),
    (Metrics, ("opened", "told", "closed", "refused")),
    (Recent, ("opened", "told", "closed", "refused", "sample")),
    (Bookkeeper, ("opened", "told", "closed", "refused", "released", "cost", "run", "_refresh")),
    (LedgerWriter, ("run",)),
    (BudgetAllowance, ("opened", "told", "closed", "refused", "reserve", "settle", "cheaper", "refusal")),
    (Keeper, ("write",)),
)
"""What runs on the event loop."""

IN_THREADS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (SqliteBooks, ("_work", "_sync")),
    (DayFiles, ("append",)),
)

LOOKS = 100_000

P = ParamSpec("P")
T = TypeVar("T")


class Spent:
    """Processor time, ns, and the turns that it was for. One adds up at a time: the loop, or a thread."""

    def __init__(self) -> None:
        self.loop_ns = 0
        self.looks = 0
        """Measurements on the loop."""
        self.thread_ns = 0
        self.turns = 0
        self._within = False

    def timed(self, act: Callable[P, T]) -> Callable[P, T]:
        """A call on the loop; one that is made within another is counted with it."""

        @wraps(act)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if self._within:
                return act(*args, **kwargs)
            self._within, began = True, time.thread_time_ns()
            try:
                came = act(*args, **kwargs)
            finally:
                self.loop_ns += time.thread_time_ns() - began
                self.looks += 1
                self._within = False
            return came

        return call

    def stepped(self, act: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """A coroutine on the loop, each of its steps."""

        @wraps(act)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            came: T = await _Steps(act(*args, **kwargs), self)
            return came

        return call

    def threaded(self, act: Callable[P, T]) -> Callable[P, T]:
        """A call in a thread."""

        @wraps(act)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            began = time.thread_time_ns()
            try:
                return act(*args, **kwargs)
            finally:
                self.thread_ns += time.thread_time_ns() - began

        return call

    def watch(self) -> None:
        """From now on."""
        for owner, names in WATCHING:
            for name in names:
                act = getattr(owner, name)
                setattr(owner, name, self.stepped(act) if iscoroutinefunction(act) else self.timed(act))
        for owner, names in IN_THREADS:
            for name in names:
                setattr(owner, name, self.threaded(getattr(owner, name)))
        told = Metrics.told

        def count(metrics: Metrics, session_id: str, event: Event) -> None:
            self.turns += isinstance(event, ReplyDone)
            told(metrics, session_id, event)

        setattr(Metrics, "told", count)  # noqa: B010 (a method is no attribute to mypy)


class _Steps:
    """Awaits a coroutine, and adds up its steps."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], spent: Spent) -> None:
        self._coroutine = coroutine
        self._send = spent.timed(coroutine.send)
        self._throw = spent.timed(coroutine.throw)

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = lambda: self._send(None)  # noqa: E731
        while True:
            try:
                waits_for = step()
            except StopIteration as end:
                return end.value
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 (the coroutine's to deal with)
                step = _later(self._throw, error)
            else:
                step = _later(self._send, sent)


def _later(act: Callable[[Any], Any], what: Any) -> Callable[[], Any]:
    return lambda: act(what)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fd", type=int, required=True)
    listening = socket.socket(fileno=parser.parse_args().fd)
    listening.setblocking(False)
    spent = Spent()
    spent.watch()
    settings = load_settings(os.environ).settings
    configure_logs(form="json", level="error", stream=sys.stderr)
    Server(build_application(settings), max_message_bytes=settings.max_message_bytes, own_process=True).run(
        [listening]
    )
    loop_ns = spent.loop_ns - spent.looks * look_ns()
    print(json.dumps({"ms": (loop_ns + spent.thread_ns) / 1e6, "turns": spent.turns}))


def look_ns() -> float:
    """What a look at the thread's clock takes."""
    began = time.thread_time_ns()
    for _ in range(LOOKS):
        time.thread_time_ns()
    return (time.thread_time_ns() - began) / LOOKS


if __name__ == "__main__":
    main()
