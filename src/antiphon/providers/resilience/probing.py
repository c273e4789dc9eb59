"""Finding out that a provider is back, so that no caller has to."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Protocol

from antiphon.providers.resilience.link import A, Chain, Link
from antiphon.providers.resilience.request import NEVER, Expected, News, Question, Request

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

    def probe(self) -> Question[A, Any]:
        """Something small to ask one of the chain."""


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
    """One small request, counted by the breaker, and told as any other: it is billed."""
    pieces: News[A, Any] = asyncio.Queue()  # a handful, which nobody reads
    # How quick a provider is with something small says nothing about its answers.
    request = Request(link=link, question=provider.probe(), news=pieces, expected=Expected(NEVER))
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await request.run()
    except TimeoutError:
        if not request.done:
            request.fell_silent(asyncio.get_running_loop().time())
