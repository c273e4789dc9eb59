"""Keeps the connections to one vendor open while nobody speaks, and replaces what a cancelled request took along."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from antiphon.errors import ProviderError

log = logging.getLogger(__name__)

SPARE = 4
"""Connections kept to a vendor that speaks HTTP/1.1: what a turn has under way at most (a recogniser, a reply, two
clauses being voiced)."""

WARM_EVERY_S = 25.0
"""How often idle connections are used, at first. When a vendor is found to have closed them meanwhile, it is asked
twice as often from then on."""

WARM_AT_LEAST_EVERY_S = 3.0
"""uvicorn, under vLLM and many others, closes idle connections after 5 s."""


class Warmth:
    """Of one origin. ``open`` opens a connection and gives the HTTP version, ``use`` uses those that are idle,
    ``there`` counts those there are."""

    def __init__(
        self,
        *,
        open: Callable[[], Awaitable[str]],
        use: Callable[[], Awaitable[None]],
        there: Callable[[], int],
    ) -> None:
        self._open = open
        self._use = use
        self._there = there
        self._lost = asyncio.Event()
        self._every_s = WARM_EVERY_S
        self.http_version = ""
        """``HTTP/1.1`` or ``HTTP/2``; empty until it answered."""

    def lost(self) -> None:
        """A request was left early: on HTTP/1.1 its connection is gone."""
        if self.http_version == "HTTP/1.1":
            self._lost.set()

    def used(self) -> None:
        """A request was answered. The vendor may have said meanwhile that it is about to close its HTTP/2 connection:
        then the next is opened in the background."""
        if self.http_version == "HTTP/2" and self._missing() > 0:
            self._lost.set()

    async def warm(self, open: Callable[[], Awaitable[str]] | None = None) -> None:
        """Open what is missing. Raises ProviderError, in the name of whoever brings its own ``open``."""
        open = open or self._open
        if not self.http_version:
            self.http_version = await open()
        results = await asyncio.gather(*(open() for _ in range(self._missing())), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _missing(self) -> int:
        wanted = {"": 0, "HTTP/1.1": SPARE}.get(self.http_version, 1)
        return max(0, wanted - self._there())

    async def keep(self) -> None:
        """Until cancelled. A vendor that does not answer is left to whoever needs it to say so."""
        while True:
            before = self._there()
            try:
                async with asyncio.timeout(self._every_s):
                    await self._lost.wait()
            except TimeoutError:
                if self._there() < before:
                    self._every_s = max(self._every_s / 2, WARM_AT_LEAST_EVERY_S)
                # One after the other: those that are not being used are free for a turn.
                await self._again(self._use)
            self._lost.clear()
            await self._again(self.warm)

    async def _again(self, what: Callable[[], Awaitable[None]]) -> None:
        try:
            await what()
        except ProviderError:
            pass
        except Exception:  # no turn depends on this one, and every later one on its going on
            log.exception("connections could not be kept warm")
