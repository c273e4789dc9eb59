"""The pursuit of one answer through a chain: who is asked, when, beside whom, and whose pieces count.

One request at a time, until one is late: then the next is asked beside it, and the first to answer is taken. A
provider that fails inside its answer is followed by another request, which goes on from what was given.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Generic

from antiphon.errors import AntiphonError
from antiphon.providers.resilience.limits import ENOUGH_TO_HEDGE, due
from antiphon.providers.resilience.link import A, Chain, Link
from antiphon.providers.resilience.plan import Plan, Step
from antiphon.providers.resilience.request import Ended, News, P, Question, Request, silent, sole
from antiphon.providers.waiting import waiting_since

AT_ONCE = 3
"""Requests beside each other: late ones, which may still come when all are only slow, and their replacement."""

LAST_HOPE_S = 1.0
"""Late ones are waited for so long when nobody else can be asked: then it is time to say so."""

NEWS = 64
"""Pieces waiting to be taken: some seconds of a reply. A full queue slows the provider down, as it should."""

HEDGE_GRACE_S = 0.02
"""Later than usual by less than this is not worth a second request."""

LESS_PATIENCE = 0.6
"""Share of its usual patience that a request is given when others came before it: the caller waits already."""

ENDING_S = 0.3
"""An answered request may take so long to end by itself, so that its connection can be used again."""


class Pursuit(Generic[A, P]):
    """One answer. ``pieces`` is iterated once, inside ``pursue``."""

    def __init__(self, chain: Chain[A], question: Question[A, P], group: asyncio.TaskGroup) -> None:
        self._chain = chain
        self._question = question
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._news: News[A, P] = asyncio.Queue(NEWS)
        self._plan = Plan(chain)
        self._tasks: dict[Request[A, P], asyncio.Task[None]] = {}
        self._running: list[Request[A, P]] = []
        self._chosen: Request[A, P] | None = None
        """Whose pieces count; None while nobody has answered."""
        self._since = self._loop.time()
        """The last time something was taken."""
        self._awaited = waiting_since()
        self._deadline = math.inf
        """Loop time after which nobody else is asked."""
        self._asked = 0
        """Requests since the answer, or its last part, was begun to be looked for."""
        self._hedged = False
        self._error: AntiphonError | None = None
        """The first that went wrong: what the preferred provider said is what people want to know."""
        self.waiting_since: float | None = 0.0
        """From when on an answer can be expected; None: not before ``expect``."""

    # ---- what the wrapper may do ----------------------------------------------------------------------------

    def expect(self) -> None:
        """From now on an answer is waited for."""
        self.waiting_since = self._since = self._loop.time()
        self._be_due(self._since)
        if not self._news.full():
            self._news.put_nowait((None, None))

    @property
    def served_by(self) -> Link[A] | None:
        """Who gives the pieces now."""
        return None if self._chosen is None else self._chosen.link

    async def pieces(self) -> AsyncGenerator[P, None]:
        """The answer. Raises ``ProviderError`` or ``ModelError`` when nobody can give it."""
        now = self._chain.asked_at = self._loop.time()
        if self.waiting_since is not None:
            self._be_due(now if self._awaited is None else min(self._awaited, now))
        first = self._plan.first(now)
        if first.link is not self._chain.preferred:
            self._chain.preferred.counts.fallbacks += 1
        self._start(first)
        while True:
            news = await self._next()
            if news is None:
                if self._on_time():
                    return
                continue
            request, piece = news
            if request is None or request not in self._running:
                continue
            if isinstance(piece, Ended):
                if self._ended(request, piece.error):
                    return
            elif piece is not None and self._counts(request, piece):
                yield piece
            self._since = self._loop.time()

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

    # ---- who is asked ---------------------------------------------------------------------------------------

    def _start(self, step: Step[A]) -> None:
        request = Request(
            link=step.link,
            question=self._question,
            news=self._news,
            wait_s=step.wait_s,
            began=self._loop.time() + step.wait_s,
            waiting_since=lambda: self.waiting_since,
        )
        if step.retry:
            step.link.counts.retries += 1
        self._asked += 1
        self._running.append(request)
        if step.link.embedded:
            self._plan.busy.add(step.link.position)
        self._tasks[request] = self._group.create_task(request.run())

    def _drop(self, request: Request[A, P]) -> None:
        self._let_go(request)
        self._tasks[request].cancel()

    def _let_go(self, request: Request[A, P]) -> None:
        self._running.remove(request)
        self._plan.busy.discard(request.link.position)

    def _counts(self, request: Request[A, P], piece: P) -> bool:
        """Whether a piece is to be given on. The first answer decides whose are; until then the first asked may
        show what it has."""
        if self._chosen is None and self._question.answers(piece):
            self._chosen = request
            for other in [other for other in self._running if other is not request]:
                self._drop(other)
        if self._chosen is None:
            return request is self._running[0] and not self._question.ends(piece)
        return request is self._chosen

    def _ended(self, request: Request[A, P], error: AntiphonError | None) -> bool:
        """A request is over: whether the answer is, too. Raises when there is nobody left to ask."""
        self._let_go(request)
        if error is None or request.done:
            return True
        if request is self._chosen:
            if self._question.whole():
                return True
            self._start_over()
        self._go_on(request, self._plan.after(request.link, error, self._loop.time()), error)
        return False

    def _start_over(self) -> None:
        """The chosen one failed inside its answer: the caller waits since its last piece."""
        self._chosen = None
        self._asked = 1
        self._be_due(self._since)

    def _be_due(self, since: float) -> None:
        self._deadline = due(self._chain.limits, since=since, now=self._loop.time())

    def _go_on(self, request: Request[A, P], step: Step[A] | None, error: AntiphonError) -> None:
        self._error = self._error or error
        if step is not None and self._loop.time() < self._deadline:
            if step.link is not request.link:
                request.link.counts.fallbacks += 1
            self._start(step)
        elif not self._running:
            raise self._error
        elif all(running.late for running in self._running):
            self._deadline = min(self._deadline, self._loop.time() + LAST_HOPE_S)

    # ---- time -----------------------------------------------------------------------------------------------

    async def _next(self) -> tuple[Request[A, P] | None, P | Ended | None] | None:
        """The next news, or None when a limit is reached first."""
        if not self._news.empty():
            return self._news.get_nowait()
        until = self._next_limit()
        try:
            async with asyncio.timeout_at(None if until == math.inf else until):
                return await self._news.get()
        except TimeoutError:
            return None

    def _next_limit(self) -> float:
        if self._chosen is not None:
            return self._silent_at(self._chosen)
        limits = [self._late_at(request) for request in self._running if not request.late]
        limits.append(self._hedge_at())
        if all(request.late for request in self._running):
            limits.append(self._deadline)
        return min(limits)

    def _on_time(self) -> bool:
        """A limit is reached: whether the answer is over."""
        now = self._loop.time()
        if self._chosen is not None:
            return self._fell_silent(self._chosen, now)
        for request in [r for r in self._running if not r.late and self._late_at(r) <= now]:
            self._is_late(request, now)
        if self._hedge_at() <= now:
            self._hedge(self._running[0].link)
        if all(request.late for request in self._running) and now >= self._deadline:
            raise self._error or silent(self._chain.preferred)
        return False

    def _fell_silent(self, request: Request[A, P], now: float) -> bool:
        """The chosen one stopped inside its answer."""
        if request.done:
            return True
        if now < self._silent_at(request):
            return False
        error = request.fell_silent(now)
        self._drop(request)
        if self._question.whole():
            return True
        self._start_over()
        self._go_on(request, self._plan.after(request.link, error, now), error)
        return False

    def _is_late(self, request: Request[A, P], now: float) -> None:
        error = request.fell_silent(now)
        step = self._plan.late(request.link, now) if len(self._running) < AT_ONCE else None
        self._go_on(request, step, error)

    def _silent_at(self, chosen: Request[A, P]) -> float:
        return self._since + self._plan.silent_after(chosen.link, self._loop.time())

    def _late_at(self, request: Request[A, P]) -> float:
        if self.waiting_since is None:
            return math.inf
        limits = self._chain.limits
        began = max(request.began, self.waiting_since)
        left = min(max((self._deadline - began) / limits.budget_s, 0.0), 1.0)
        late_after = self._chain.late_after(request.link, self._loop.time(), left=left)
        if late_after is None:
            return math.inf
        if self._asked > 1 and request is self._running[-1]:
            late_after = max(LESS_PATIENCE * late_after, min(limits.soonest_late_s, late_after))
        return began + late_after

    def _hedge_at(self) -> float:
        if not self._chain.limits.hedge or self._hedged or self._chosen or len(self._running) != 1:
            return math.inf
        request = self._running[0]
        p95 = request.link.usual.p95(of_at_least=ENOUGH_TO_HEDGE)
        if p95 is None or request.late or request.link.embedded:
            return math.inf
        return request.began + p95 + HEDGE_GRACE_S

    def _hedge(self, link: Link[A]) -> None:
        self._hedged = True
        link.counts.hedges += 1
        self._start(Step(link=link))


@asynccontextmanager
async def pursue(chain: Chain[A], question: Question[A, P]) -> AsyncIterator[Pursuit[A, P]]:
    """A pursuit whose requests end with the context. Safe to cancel at any point."""
    try:
        async with asyncio.TaskGroup() as group:
            pursuit = Pursuit(chain, question, group)
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
