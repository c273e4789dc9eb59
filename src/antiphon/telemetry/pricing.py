"""What a call costs, as telemetry is told it: whoever composes the server hands over the price book's answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from antiphon.conversation.events import ProviderCall

Price = Callable[[ProviderCall], int | None]
"""Micro-dollars of one call; None when its price is not known."""

FREE = frozenset({"local", "scripted"})
"""Providers that send no bill."""

MICRO = 1_000_000
"""Micro-dollars in a dollar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """One budget as it stands."""

    name: str
    """``day``, ``session``, ``key``."""
    spent_usd: float
    limit_usd: float | None
    """None: no limit is set."""
    degraded: bool = False
    """It is spent, and cheaper models go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """How the ledger does."""

    held_usd: float = 0.0
    """Set aside for turns under way, on this server."""
    waiting: int = 0
    """Entries that are not written yet; more than a few hundred: it cannot be written."""
    lost: int = 0
    """Entries given up since the start."""
    alerts_waiting: int = 0
    """Alerts that the webhook has not taken yet."""
    alerts_failed: int = 0
    """Alerts given up since the start."""
    stale_prices: int = 0
    """Rows of the price book in use that should be looked up again."""


def free_or_unknown(call: ProviderCall) -> int | None:
    """Without a price book: embedded models are free, the rest is not known."""
    return 0 if call.cached or call.provider.partition(":")[0] in FREE else None
