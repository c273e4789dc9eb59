"""Keeps the connections to one vendor open while nobody speaks, and replaces what a cancelled request took along."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from antiphon.errors import ProviderError

SPARE = 4
"""Connections kept to a vendor that speaks HTTP/1.1: what a turn has under way at most (a recogniser, a reply, two
clauses being voiced)."""

WARM_EVERY_S = 25.0
"""How often idle connections are used, at first. When a vendor is found to have closed them meanwhile, it is asked
twice as often from then on."""

WARM_AT_LEAST_EVERY_S = 3.0
"""uvicorn, under vLLM and many others, closes idle connections after 5 s."""


class Warmth:
    """Of one origin. ``knock`` asks for anything and gives the HTTP version; ``opened`` counts the connections opened
    so far, ``there`` those there are."""

    def __init__(
        self, knock: Callable[[], Awaitable[str]], *, opened: Callable[[], int], there: Callable[[], int]
    ) -> None:
        self._knock = knock
        self._opened = opened
        self._there = there
        self._lost = asyncio.Event()
        self._every_s = WARM_EVERY_S
        self.http_version = ""
        """``HTTP/1.1`` or ``HTTP/2``; empty until it answered."""

    def lost(self) -> None:
        """A request was left early: on HTTP/1.1 its connection is gone."""
        if self.http_version == "HTTP/1.1":
            self._lost.set()

    async def warm(self) -> None:
        """Open what is missing, use what is idle. Raises ProviderError."""
        first = not self.http_version
        if first:
            self.http_version = await self._knock()
        if self.http_version == "HTTP/1.1":
            # Until there are enough: a knock may be quick enough for the next to take the same connection.
            for _ in range(SPARE):
                await self._knock_all()
                if self._there() >= SPARE:
                    break
        elif not first:
            await self._knock()

    async def _knock_all(self) -> None:
        results = await asyncio.gather(*(self._knock() for _ in range(SPARE)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def keep(self) -> None:
        """Until cancelled. A vendor that does not answer is left to whoever needs it to say so."""
        while True:
            try:
                async with asyncio.timeout(self._every_s):
                    await self._lost.wait()
                expected = True
            except TimeoutError:
                expected = False
            self._lost.clear()
            before, known = self._opened(), self.http_version
            with contextlib.suppress(ProviderError):
                await self.warm()
                if self._opened() > before and known and not expected:
                    self._every_s = max(self._every_s / 2, WARM_AT_LEAST_EVERY_S)
