"""What costs look like at this moment, for metrics, the operator page and whoever else shows them."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.usage.budgets import Past


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A moment's picture. Money in micro-dollars (millionths of a US dollar)."""

    day: str
    """The day that is being booked on, in the set time zone."""
    spent: int = 0
    """On that day, by all servers that share the ledger, as far as known here."""
    limit: int = 0
    """The day's budget; 0: none."""
    held: int = 0
    """Set aside for turns under way, on this server."""
    past: Past = "warn"
    """What happens when the budget is spent."""
    degraded: bool = False
    """The day goes on with cheaper models."""
    unwritten: int = 0
    """Entries waiting to be written; more than a few hundred: the ledger cannot be written."""
    lost: int = 0
    """Entries given up since this server began, because the ledger could not be written for too long."""
    stale_prices: int = 0
    """Rows of the price book in use that should be looked up again."""
    alerts_waiting: int = 0
    """Alerts that the webhook has not taken yet."""
    alerts_failed: int = 0
    """Alerts given up since this server began."""

    @property
    def fraction(self) -> float | None:
        """How much of the day's budget is spent: 0-1, and more when it is overdrawn; None without one."""
        return self.spent / self.limit if self.limit else None
