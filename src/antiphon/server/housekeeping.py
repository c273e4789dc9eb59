"""The memory of a process that serves: what was loaded is left alone, and what conversations leave is given back."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

from antiphon.inference.memory import give_back
from antiphon.sessions.registry import Registry

LOOK_EVERY_S = 10.0
"""How often the house is looked at: whoever comes back a moment after the last one left should not wait for it.
What was said stays in memory for no longer than this past its time."""


def _nothing() -> None: ...


async def keep_house(
    registry: Registry,
    *,
    settle: Callable[[], None] | None = None,
    tidy: Callable[[], None] = give_back,
    forget: Callable[[], None] = _nothing,
) -> None:
    """For a process of its own, until cancelled. ``forget`` lets go of what is kept past its time.

    When the last conversation is over nothing is allocated any more, so that the garbage collector does not run, and
    what it would free is held among what is not. So then it is told to, and the C library gives back what is free: with
    nobody there, nobody waits for it (20 ms). On a server that is never empty the next conversation takes that room."""
    await registry.readiness.opened.wait()
    (settle or settle_heap)()
    seen = registry.arrivals
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        forget()
        if registry.arrivals != seen and registry.empty:
            seen = registry.arrivals
            tidy()


def settle_heap() -> None:
    """What is alive now is taken out of the garbage collector's rounds, for good.

    A conversation that is over hangs together in cycles, by the tracebacks of what was cancelled with it, and waits for
    a full round; there is one when as much is new as a quarter of what was looked at last time. With the modules and
    models of a server counted in (115,000 objects) that is dozens of conversations, and a round holds up everyone for
    25 ms; without them it is a quarter of those that are alive, and about a millisecond."""
    gc.collect()
    gc.freeze()
