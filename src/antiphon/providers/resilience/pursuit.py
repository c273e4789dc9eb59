"""The pursuit of one answer through a chain: its requests, each in a task, and the one timer. What is done when is
decided in ``course``."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Generic

from antiphon.providers.resilience.course import Course
from antiphon.providers.resilience.link import A, Chain, Link
from antiphon.providers.resilience.plan import Step
from antiphon.providers.resilience.request import Ended, Expected, News, P, Question, Request, sole
from antiphon.providers.waiting import waiting_since

NEWS = 64
"""Pieces waiting to be taken: some seconds of a reply. A full queue slows the provider down, as it should."""

ENDING_S = 0.3
"""An answered request may take so long to end by itself, so that its connection can be used again."""


class Pursuit(Generic[A, P]):
    """One answer. ``pieces`` is iterated once, inside ``pursue``."""

    def __init__(
        self, chain: Chain[A], question: Question[A, P], group: asyncio.TaskGroup, expected: Expected
    ) -> None:
        self._chain = chain
        self._question = question
        self._group = group
        self._expected = expected
        self._loop = asyncio.get_running_loop()
        self._awaited = waiting_since()
        self._news: News[A, P] = asyncio.Queue(NEWS)
        self._course = Course(chain, question, expected, self._request)
        self._tasks: dict[Request[A, P], asyncio.Task[None]] = {}

    def expect(self) -> None:
        """From now on an answer is waited for."""
        self._course.expect(self._loop.time())
        if not self._news.full():
            self._news.put_nowait((None, None))

    @property
    def served_by(self) -> Link[A] | None:
        """Who gives the pieces now."""
        return None if self._course.chosen is None else self._course.chosen.link

    async def pieces(self) -> AsyncGenerator[P, None]:
        """The answer. Raises ``ProviderError`` or ``ModelError`` when nobody can give it."""
        course = self._course
        now = self._chain.asked_at = self._loop.time()
        course.begin(now, awaited_since=now if self._awaited is None else min(self._awaited, now))
        while True:
            self._follow()
            news = await self._next()
            if news is None:
                if course.reached(self._loop.time()):
                    return
                continue
            request, piece = news
            if request is None or request not in course.running:
                continue
            if isinstance(piece, Ended):
                if course.ended(request, piece.error, self._loop.time()):
                    return
            elif piece is not None and course.came(request, piece):
                self._follow()
                yield piece
            course.taken(self._loop.time())

    async def settle(self) -> None:
        """End what still runs; a request that gave its last piece may end by itself."""
        ending = [task for request, task in self._tasks.items() if request.done and not task.done()]
        while not self._news.empty():
            self._news.get_nowait()  # nobody reads any more: room for what is left to tell
        try:
            if ending:
                await asyncio.wait(ending, timeout=ENDING_S)
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _request(self, step: Step[A], now: float) -> Request[A, P]:
        return Request(
            link=step.link,
            question=self._question,
            news=self._news,
            wait_s=step.wait_s,
            began=now + step.wait_s,
            expected=self._expected,
        )

    def _follow(self) -> None:
        """Do what the course wants done."""
        for request in self._course.dropped:
            self._tasks[request].cancel()
        for request in self._course.started:
            self._tasks[request] = self._group.create_task(request.run())
        self._course.dropped.clear()
        self._course.started.clear()

    async def _next(self) -> tuple[Request[A, P] | None, P | Ended | None] | None:
        """The next news, or None when a limit is reached first."""
        if not self._news.empty():
            return self._news.get_nowait()
        until = self._course.until(self._loop.time())
        try:
            async with asyncio.timeout_at(None if until == math.inf else until):
                return await self._news.get()
        except TimeoutError:
            return None


@asynccontextmanager
async def pursue(
    chain: Chain[A], question: Question[A, P], expected: Expected | None = None
) -> AsyncIterator[Pursuit[A, P]]:
    """A pursuit whose requests end with the context. Safe to cancel at any point."""
    try:
        async with asyncio.TaskGroup() as group:
            pursuit = Pursuit(chain, question, group, expected or Expected())
            try:
                yield pursuit
            finally:
                await pursuit.settle()
    except BaseExceptionGroup as failures:
        raise sole(failures) from None


@asynccontextmanager
async def answer(chain: Chain[A], question: Question[A, P]) -> AsyncIterator[AsyncIterator[P]]:
    """The pieces of one answer, as providers give them."""
    async with pursue(chain, question) as pursuit, aclosing(pursuit.pieces()) as pieces:
        yield pieces
