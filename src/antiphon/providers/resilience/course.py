"""The course of one answer through a chain: who is asked, when, beside whom, and whose pieces count.

One request at a time, until one is late: then the next is asked beside it, and the first to answer is taken. A
provider that fails inside its answer is followed by another request, which goes on from what was given.

Pure but for what is noted at the links: time is an argument, and the requests are made by somebody else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Generic

from antiphon.errors import AntiphonError
from antiphon.providers.resilience.limits import ENOUGH_TO_HEDGE, due
from antiphon.providers.resilience.link import A, Chain, Link
from antiphon.providers.resilience.plan import Plan, Step
from antiphon.providers.resilience.request import Expected, P, Question, Request, silent

AT_ONCE = 3
"""Requests beside each other: late ones, which may still come when all are only slow, and their replacement."""

LAST_HOPE_S = 1.0
"""Late ones are waited for so long when nobody else can be asked: then it is time to say so."""

HEDGE_GRACE_S = 0.02
"""Later than usual by less than this is not worth a second request."""

LESS_PATIENCE = 0.6
"""Share of its usual patience that a request is given when others came before it: the caller waits already."""


class Course(Generic[A, P]):
    """Told what happens, and when ``until`` is reached. After each of these ``started`` are to be sent, ``dropped`` to
    be cancelled."""

    def __init__(
        self,
        chain: Chain[A],
        question: Question[A, P],
        expected: Expected,
        request: Callable[[Step[A], float], Request[A, P]],
    ) -> None:
        """``request`` makes the one of a step, at a time."""
        self.running: list[Request[A, P]] = []
        """The first asked first."""
        self.chosen: Request[A, P] | None = None
        """Whose pieces count; None while nobody has answered."""
        self.started: list[Request[A, P]] = []
        self.dropped: list[Request[A, P]] = []
        self._chain = chain
        self._question = question
        self._expected = expected
        self._request = request
        self._plan = Plan(chain)
        self._since = 0.0
        """The last time something was taken."""
        self._deadline = math.inf
        """After it nobody else is asked."""
        self._asked = 0
        """Requests since the answer, or its last part, was begun to be looked for."""
        self._hedged = False
        self._error: AntiphonError | None = None
        """The first that went wrong: what the preferred provider said is what people want to know."""

    # ---- what happens ---------------------------------------------------------------------------------------

    def begin(self, now: float, *, awaited_since: float) -> None:
        """The first is asked, for somebody who has waited since then."""
        self._since = now
        if self._expected.waiting:
            self._be_due(awaited_since, now)
        first = self._plan.first(now)
        if first.link is not self._chain.preferred:
            self._chain.preferred.counts.fallbacks += 1
        self._start(first, now)

    def expect(self, now: float) -> None:
        """From now on an answer is waited for."""
        self._expected.since = self._since = now
        self._be_due(now, now)

    def came(self, request: Request[A, P], piece: P) -> bool:
        """A piece: whether it is to be given on. The first answer decides whose are; until then the first asked may
        show what it has."""
        if self.chosen is None and self._question.answers(piece):
            self.chosen = request
            for other in [other for other in self.running if other is not request]:
                self._drop(other)
        if self.chosen is None:
            return request is self.running[0] and not self._question.ends(piece)
        return request is self.chosen

    def taken(self, now: float) -> None:
        """The caller has what came, and waits for more."""
        self._since = now

    def ended(self, request: Request[A, P], error: AntiphonError | None, now: float) -> bool:
        """A request is over: whether the answer is, too. Raises when there is nobody left to ask."""
        self._let_go(request)
        if error is None or request.done:
            return True
        if request is self.chosen:
            if self._question.whole():
                return True
            self._start_over(now)
        self._go_on(request, self._plan.after(request.link, error, now), error, now)
        return False

    def until(self, now: float) -> float:
        """When ``reached`` is to be told, unless something happens before."""
        if self.chosen is not None:
            return self._silent_at(self.chosen, now)
        limits = [self._late_at(request, now) for request in self.running if not request.late]
        limits.append(self._hedge_at())
        if self._all_late():
            limits.append(self._deadline)
        return min(limits)

    def reached(self, now: float) -> bool:
        """A limit is reached: whether the answer is over. Raises when it is not to be had."""
        if self.chosen is not None:
            return self._fell_silent(self.chosen, now)
        for request in [r for r in self.running if not r.late and self._late_at(r, now) <= now]:
            error = request.fell_silent(now)
            step = self._plan.late(request.link, now) if len(self.running) < AT_ONCE else None
            self._go_on(request, step, error, now)
        if self._hedge_at() <= now:
            self._hedge(self.running[0].link, now)
        if self._all_late() and now >= self._deadline:
            raise self._error or silent(self._chain.preferred)
        return False

    # ---- who is asked ---------------------------------------------------------------------------------------

    def _start(self, step: Step[A], now: float) -> None:
        request = self._request(step, now)
        if step.retry:
            step.link.counts.retries += 1
        if step.link.embedded:
            self._plan.busy.add(step.link.position)
        self._asked += 1
        self.running.append(request)
        self.started.append(request)

    def _drop(self, request: Request[A, P]) -> None:
        self._let_go(request)
        self.dropped.append(request)

    def _let_go(self, request: Request[A, P]) -> None:
        self.running.remove(request)
        self._plan.busy.discard(request.link.position)

    def _go_on(self, request: Request[A, P], step: Step[A] | None, error: AntiphonError, now: float) -> None:
        self._error = self._error or error
        if step is not None and now < self._deadline:
            if step.link is not request.link:
                request.link.counts.fallbacks += 1
            self._start(step, now)
        elif not self.running:
            raise self._error
        elif self._all_late():
            self._deadline = min(self._deadline, now + LAST_HOPE_S)

    def _start_over(self, now: float) -> None:
        """The chosen one failed inside its answer: the caller waits since its last piece."""
        self.chosen = None
        self._asked = 1
        self._be_due(self._since, now)

    def _fell_silent(self, chosen: Request[A, P], now: float) -> bool:
        """The chosen one stopped inside its answer."""
        if chosen.done:
            return True
        if now < self._silent_at(chosen, now):
            return False
        error = chosen.fell_silent(now)
        self._drop(chosen)
        if self._question.whole():
            return True
        self._start_over(now)
        self._go_on(chosen, self._plan.after(chosen.link, error, now), error, now)
        return False

    def _hedge(self, link: Link[A], now: float) -> None:
        self._hedged = True
        link.counts.hedges += 1
        self._start(Step(link=link), now)

    # ---- limits ---------------------------------------------------------------------------------------------

    def _be_due(self, since: float, now: float) -> None:
        self._deadline = due(self._chain.limits, since=since, now=now)

    def _all_late(self) -> bool:
        return all(request.late for request in self.running)

    def _silent_at(self, chosen: Request[A, P], now: float) -> float:
        return self._since + self._plan.silent_after(chosen.link, now)

    def _late_at(self, request: Request[A, P], now: float) -> float:
        if not self._expected.waiting:
            return math.inf
        limits = self._chain.limits
        began = self._expected.of(request.began)
        left = min(max((self._deadline - began) / limits.budget_s, 0.0), 1.0)
        late_after = self._chain.late_after(request.link, now, left=left)
        if late_after is None:
            return math.inf
        if self._asked > 1 and request is self.running[-1]:
            late_after = max(LESS_PATIENCE * late_after, min(limits.soonest_late_s, late_after))
        return began + late_after

    def _hedge_at(self) -> float:
        if not self._chain.limits.hedge or self._hedged or self.chosen or len(self.running) != 1:
            return math.inf
        request = self.running[0]
        p95 = request.link.usual.p95(of_at_least=ENOUGH_TO_HEDGE)
        if p95 is None or request.late or request.link.embedded:
            return math.inf
        return request.began + p95 + HEDGE_GRACE_S
