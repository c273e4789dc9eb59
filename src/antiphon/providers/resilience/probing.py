"""Finding out that a provider is back, so that no caller has to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol

from antiphon.errors import AntiphonError, ProviderUnavailable
from antiphon.providers.resilience.link import A, Chain, Link

LOOK_EVERY_S = 0.5
"""How often rests are looked at: it costs nothing."""

IN_USE_S = 120.0
"""A chain that nobody asked for so long is not probed: a night of outage costs no requests. Its next caller finds
out, and is served by the fallback if there is news to be bad."""

PROBE_TIMEOUT_S = 3.0


class Probed(Protocol, Generic[A]):
    """A resilient provider."""

    @property
    def chain(self) -> Chain[A]: ...

    @property
    def probe(self) -> Callable[[Link[A]], Awaitable[None]]: ...


async def probe_while_open(provider: Probed[A]) -> None:
    """Ask providers whose rest is over for something small, until cancelled. Probes are told to whoever counts
    (``metering.counting``) around this."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        asked_at = provider.chain.asked_at
        if asked_at is None or loop.time() - asked_at > IN_USE_S:
            continue
        for link in provider.chain.links:
            if link.breaker.state(loop.time()) == "half_open" and link.breaker.admits(loop.time()):
                await probe(provider, link)


async def probe(provider: Probed[A], link: Link[A]) -> None:
    """One small request, counted by the breaker."""
    loop = asyncio.get_running_loop()
    link.begin(loop.time())
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await provider.probe(link)
    except TimeoutError:
        link.failed(loop.time(), _unavailable(link, "fell silent", "timeout"))
    except AntiphonError as error:
        link.failed(loop.time(), error)
    except Exception as bug:  # noqa: BLE001 - the edge: a probe that fails in a new way must not end the watch
        link.broke(bug)
        link.failed(loop.time(), _unavailable(link, "failed", "broken"))
    else:
        link.answered(loop.time())


def _unavailable(link: Link[A], how: str, cause: str) -> ProviderUnavailable:
    return ProviderUnavailable(f"{link.name} {how}", provider=link.name, cause=cause)
