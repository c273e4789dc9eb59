"""One provider in a chain, with what is known of it; and the chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from antiphon.errors import AntiphonError
from antiphon.providers.base import ProviderInfo
from antiphon.providers.health import ProviderState
from antiphon.providers.metering import Kind
from antiphon.providers.resilience.breaker import Begun, Breaker
from antiphon.providers.resilience.limits import BreakerRules, Limits, Usual, late_after
from antiphon.providers.resilience.treatment import cause_of, treatment_of

EMBEDDED = "local"
"""The provider name of embedded models: they cannot stall, only queue, and asking them twice makes both slower."""


class Named(Protocol):
    @property
    def info(self) -> ProviderInfo: ...


A = TypeVar("A", bound=Named)
Watch = Callable[[ProviderState], None]
"""Told when a breaker opens or closes; must neither block nor raise."""


Broke = Callable[[str, BaseException], None]
"""Told of an adapter that raised what no adapter may: its name, and what it was. Must neither block nor raise."""


def _nobody(_: ProviderState) -> None:
    pass


def _unheard(_: str, __: BaseException) -> None:
    pass


@dataclass(slots=True, kw_only=True)
class Counts:
    """Since the start."""

    calls: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    hedges: int = 0
    fallbacks: int = 0


class Link(Generic[A]):
    """One provider of a chain."""

    def __init__(
        self,
        adapter: A,
        *,
        kind: Kind,
        position: int,
        rules: BreakerRules,
        watch: Watch = _nobody,
        broke: Broke = _unheard,
    ) -> None:
        self.adapter = adapter
        self.kind = kind
        self.position = position
        self.breaker = Breaker(rules)
        self.counts = Counts()
        self.usual = Usual()
        self.last_error = ""
        self._watch = watch
        self._broke = broke

    @property
    def name(self) -> str:
        return self.adapter.info.name

    @property
    def embedded(self) -> bool:
        return self.adapter.info.provider == EMBEDDED

    def begin(self, now: float) -> Begun:
        """A request goes out."""
        self.counts.calls += 1
        return self.breaker.begin(now)

    def answered(self, now: float, begun: Begun) -> None:
        """A request was answered to its end."""
        was = self.breaker.state(now)
        self.breaker.succeeded(begun)
        if self.breaker.state(now) != was:
            self._watch(self.state(now))

    def failed(self, now: float, begun: Begun, error: AntiphonError) -> None:
        """A request failed, or is late."""
        self.erred(error)
        if self.breaker.failed(now, begun, treatment_of(error)):
            self._watch(self.state(now))

    def erred(self, error: AntiphonError) -> None:
        """Something went wrong, though no request is over."""
        self.counts.failures[cause_of(error)] += 1
        self.last_error = error.message

    def broke(self, bug: BaseException) -> None:
        """Its adapter raised what no adapter may."""
        self._broke(self.name, bug)

    def state(self, now: float) -> ProviderState:
        """As others are shown it."""
        median = self.usual.median()
        return ProviderState(
            kind=self.kind,
            provider=self.name,
            position=self.position,
            breaker=self.breaker.state(now),
            calls=self.counts.calls,
            failures=dict(self.counts.failures),
            retries=self.counts.retries,
            hedges=self.counts.hedges,
            fallbacks=self.counts.fallbacks,
            first_ms=None if median is None else round(median * 1000, 1),
            last_error=self.last_error,
        )


class Chain(Generic[A]):
    """Providers of one kind, the preferred first. One chain serves all sessions."""

    def __init__(
        self,
        adapters: Sequence[A],
        *,
        kind: Kind,
        limits: Limits | None = None,
        rules: BreakerRules | None = None,
        watch: Watch = _nobody,
        broke: Broke = _unheard,
        own_servers: Container[str] = (),
    ) -> None:
        """``own_servers`` are names of providers that load a model when they are asked, and are given time for it."""
        if not adapters:
            raise ValueError("a chain needs at least one provider")
        rules = rules or BreakerRules()
        self.kind = kind
        self.limits = limits or Limits()
        self.links = tuple(
            Link(adapter, kind=kind, position=position, rules=rules, watch=watch, broke=broke)
            for position, adapter in enumerate(adapters)
        )
        self._own_servers = own_servers
        self.asked_at: float | None = None
        """When somebody last asked for anything."""

    @property
    def preferred(self) -> Link[A]:
        return self.links[0]

    def late_after(self, link: Link[A], now: float, *, left: float) -> float | None:
        """Seconds after which a request to this one is late, when such a share of the budget is left, 0-1; None: never,
        it is embedded and the last resort."""
        others = [other for other in self.links if other is not link and other.breaker.admits(now)]
        if link.embedded and not any(other.position > link.position for other in others):
            return None
        loads = link.adapter.info.provider in self._own_servers
        return late_after(self.limits, link.usual, alone=not others, loads=loads, left=left)
