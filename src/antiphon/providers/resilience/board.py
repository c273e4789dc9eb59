"""How all providers do, in one place, for metrics, the operator page and ``/ready``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from antiphon.providers.health import ProviderState
from antiphon.providers.resilience.link import Chain


class HealthBoard:
    """The chains of one server."""

    def __init__(self, chains: Sequence[Chain[Any]], clock: Callable[[], float]) -> None:
        self._chains = tuple(chains)
        self._clock = clock

    def __call__(self) -> tuple[ProviderState, ...]:
        """Every provider in every role, in the order in which they are asked."""
        now = self._clock()
        return tuple(link.state(now) for chain in self._chains for link in chain.links)
