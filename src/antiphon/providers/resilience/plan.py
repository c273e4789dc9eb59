"""Whom to ask next, after what was tried. Pure but for the breakers it looks at."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Generic

from antiphon.errors import AntiphonError
from antiphon.providers.resilience.limits import late_after
from antiphon.providers.resilience.link import A, Chain, Link
from antiphon.providers.resilience.treatment import Treatment, treatment_of

TRIES = 2
"""Requests to one provider in one go. A third seldom goes better, and the turn's time is up."""

TRIES_ALONE = 4
"""Where there is nobody else: of 1,000 turns with a tenth of the requests failing and a twentieth stalling, three tries
leave ten without an answer, four two."""

ONE_MORE = 1
"""For a request that stalls after others failed quickly: its time is not up, and there is nothing else to wait for."""

SLOWER = 4.0
"""Each wait before the same provider is asked again is so much longer than the one before."""

LONGEST_WAIT_S = 2.0
"""Where there is nobody else, a provider that wants to be left alone for a moment is waited for: an answer after two
seconds is better than an apology at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[A]):
    """The next request."""

    link: Link[A]
    wait_s: float = 0.0
    retry: bool = False
    """The same provider as before."""


@dataclass(slots=True)
class Plan(Generic[A]):
    """The requests of one answer."""

    chain: Chain[A]
    tried: Counter[int] = field(default_factory=Counter)
    refused: set[int] = field(default_factory=set)
    """Positions whose failure will not go away by asking again."""
    busy: set[int] = field(default_factory=set)
    """Positions of embedded models that are at it: asked twice, they are slower at both."""

    @property
    def tries(self) -> int:
        """Requests that one provider may get."""
        return TRIES if len(self.chain.links) > 1 else TRIES_ALONE

    def first(self, now: float) -> Step[A]:
        """The preferred of those that may be asked. When all rest, the one whose rest is over soonest is asked all
        the same: an answer is still likelier than from nobody."""
        links = self.chain.links
        admitted = [link for link in links if link.breaker.admits(now)]
        link = admitted[0] if admitted else min(links, key=lambda link: link.breaker.open_until or now)
        return self._step(link)

    def after(self, link: Link[A], error: AntiphonError, now: float) -> Step[A] | None:
        """The next request after ``link`` failed; None when there is nobody left to ask."""
        treatment = treatment_of(error)
        if not treatment.elsewhere:
            return None
        if self._again_at_once(link, treatment):
            return self._step(link, wait_s=self._wait(link, treatment), retry=True)
        if not treatment.again:
            self.refused.add(link.position)
        if (another := self._another(link, now)) is not None:
            return another
        if not treatment.again or self.tried[link.position] >= self.tries:
            return None
        wait_s = max(self._wait(link, treatment), treatment.rest_s)
        rests = link.breaker.open_until is not None and not treatment.rest_s
        # A lone provider that fails quickly is tried all the same; one that stalls would only keep the caller waiting.
        rests_longer = rests and (treatment.others_first or len(self.chain.links) > 1)
        return (
            None if rests_longer or wait_s > LONGEST_WAIT_S else self._step(link, wait_s=wait_s, retry=True)
        )

    def late(self, link: Link[A], now: float) -> Step[A] | None:
        """Whom to ask beside ``link``, which has not answered yet."""
        if (another := self._another(link, now)) is not None:
            return another
        spent = self.tried[link.position] >= self.tries + ONE_MORE
        return None if link.embedded or spent else self._step(link, retry=True)

    def silent_after(self, link: Link[A], now: float) -> float:
        """Seconds of silence inside an answer after which another request goes on with it. An embedded model pauses
        when others go first: it is given what a lone provider is, and all the time there is with nobody behind it."""
        limits = self.chain.limits
        if not link.embedded:
            return limits.gap_s
        if not any(self._may_be_asked(other, now) for other in self.chain.links[link.position + 1 :]):
            return math.inf
        return max(limits.gap_s, late_after(limits, link.usual, alone=True))

    def _another(self, link: Link[A], now: float) -> Step[A] | None:
        """The next of the others, those that were not tried yet first."""
        others = [other for other in self.chain.links if self._may_be_asked(other, now) and other is not link]
        return self._step(min(others, key=lambda other: self.tried[other.position] > 0)) if others else None

    def _again_at_once(self, link: Link[A], treatment: Treatment) -> bool:
        """Whether the same provider is asked once more before the next is: it usually goes well, and it is the one
        that was chosen. After its breaker has opened it is not."""
        if self.tried[link.position] >= self.tries or link.breaker.open_until is not None:
            return False
        return treatment.again and not treatment.others_first and not treatment.rest_s

    def _may_be_asked(self, link: Link[A], now: float) -> bool:
        return (
            self.tried[link.position] < self.tries
            and link.position not in self.refused | self.busy
            and link.breaker.admits(now)
        )

    def _wait(self, link: Link[A], treatment: Treatment) -> float:
        again = max(self.tried[link.position] - 1, 0)
        return max(self.chain.limits.retry_wait_s * SLOWER**again, treatment.wait_s)

    def _step(self, link: Link[A], *, wait_s: float = 0.0, retry: bool = False) -> Step[A]:
        self.tried[link.position] += 1
        return Step(link=link, wait_s=wait_s, retry=retry)
