"""Budgets: how much may be spent, by whom, and what happens then. Plain counting: no clock, no loop, no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from antiphon.usage.books import Ask
from antiphon.usage.entry import SERVER, caller_account, day_account, session_account

Past = Literal["warn", "degrade", "stop"]
"""What happens when a budget is spent: the operator is told; replies go on with cheaper models; turns and callers are
refused."""

SESSIONS_KEPT = 4_096
"""Sessions whose spending is remembered in memory after they ended; a resumed one is found again for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Micro-dollars; 0 is no limit."""

    day: int = 0
    session: int = 0
    caller: int = 0
    """Each API key, a day."""

    def __bool__(self) -> bool:
        return bool(self.day or self.session or self.caller)

    def of_day(self, day: str, caller: str = "") -> dict[str, int]:
        """The accounts of a day, and of a caller's day, that have a limit."""
        return self.of(day=day, session=SERVER, caller=caller)

    def of(self, *, day: str, session: str, caller: str) -> dict[str, int]:
        """The accounts a turn counts towards that have a limit."""
        named = {day_account(day): self.day}
        if session != SERVER:
            named[session_account(session)] = self.session
        if caller:
            named[caller_account(day, caller)] = self.caller
        return {account: limit for account, limit in named.items() if limit}


@dataclass(slots=True)
class Tally:
    """What is spent and set aside, as far as this server knows."""

    booked: dict[str, int] = field(default_factory=dict)
    """Account → micro-dollars that the ledger has."""
    pending: dict[str, int] = field(default_factory=dict)
    """… that are on their way there."""
    held: dict[str, int] = field(default_factory=dict)
    """… set aside for turns under way."""
    asks: dict[str, Ask] = field(default_factory=dict)
    """The turns under way."""

    def spent(self, account: str) -> int:
        return self.booked.get(account, 0) + self.pending.get(account, 0)

    def expect(self, account: str, micros: int) -> None:
        """A cost that the ledger does not have yet."""
        self.pending[account] = self.pending.get(account, 0) + micros

    def book(self, account: str, micros: int, total: int) -> None:
        """The ledger has it now; ``total`` is what it counts in all."""
        left = self.pending.get(account, 0) - micros
        if left:
            self.pending[account] = left
        else:
            self.pending.pop(account, None)
        self.booked[account] = total

    def used_up(self, limits: Mapping[str, int]) -> str:
        """The first of these accounts whose limit is spent, whatever is set aside; empty when there is none."""
        return next((account for account, limit in limits.items() if self.spent(account) >= limit), "")

    def full(self, ask: Ask) -> str:
        """The account that has nothing left for this turn; empty when there is none. A turn is let in while anything is
        left, so that a budget is used up, and overdrawn by less than one reservation."""
        for account, limit in ask.limits.items():
            if self.spent(account) + self.held.get(account, 0) >= limit:
                return account
        return ""

    def reserve(self, ask: Ask) -> str:
        """Set money aside; the name of the account that is full instead, if one is."""
        if ask.id in self.asks:
            return ""
        if full := self.full(ask):
            return full
        self.hold(ask)
        return ""

    def hold(self, ask: Ask) -> None:
        """Set aside without asking: the shared store said yes."""
        if ask.id not in self.asks:
            self.asks[ask.id] = ask
            for account in ask.limits:
                self.held[account] = self.held.get(account, 0) + ask.micros

    def release(self, id: str) -> None:
        """A turn is over."""
        ask = self.asks.pop(id, None)
        for account in ask.limits if ask is not None else ():
            left = self.held.get(account, 0) - (ask.micros if ask is not None else 0)
            if left > 0:
                self.held[account] = left
            else:
                self.held.pop(account, None)

    def forget(self, day: str) -> None:
        """Keep this day's accounts and the latest sessions."""
        sessions = [account for account in self.booked if account.startswith("session ")]
        old = [
            account
            for account in self.booked
            if account.startswith(("day ", "key ")) and account.split(" ", 2)[1] < day
        ]
        for account in old + sessions[:-SESSIONS_KEPT]:
            del self.booked[account]
