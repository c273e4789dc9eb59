"""A till on the table: a bookkeeper with a clock that tests move, prices that are easy to add up, and calls to book."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.ledger_world import PRICES as PRICES

from antiphon.conversation.events import ProviderCall
from antiphon.conversation.listening import SessionFacts
from antiphon.providers.base import Usage
from antiphon.usage.alerts import Alert
from antiphon.usage.allowance import BudgetAllowance, Means
from antiphon.usage.bookkeeper import Bookkeeper
from antiphon.usage.books import Books
from antiphon.usage.budgets import Limits, Past
from antiphon.usage.calendar import Calendar, time_zone
from antiphon.usage.prices import PriceBook, parse_prices

NOON = 1_795_435_200.0
"""2026-11-23 12:00 UTC."""


def book(prices: str = PRICES) -> PriceBook:
    """A price book of these rows only."""
    return PriceBook(parse_prices(prices, file="test.toml"))


@dataclass
class Clock:
    """Wall clock and steady clock; tests move both, or the wall clock alone."""

    wall: float = NOON
    steady: float = 0.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def calendar(self, zone: str = "UTC") -> Calendar:
        return Calendar(time_zone(zone), wall=lambda: self.wall, steady=lambda: self.steady)


def words(characters: int, *, turn: str = "t1", provider: str = "scripted:voice") -> ProviderCall:
    """A voice that spoke: 15 micro-dollars a character."""
    return ProviderCall(kind="tts", provider=provider, usage=Usage(characters=characters), turn_id=turn)


@dataclass
class Till:
    """What a test works with."""

    books: Books
    keeper: Bookkeeper
    allowance: BudgetAllowance
    clock: Clock
    alerts: list[Alert] = field(default_factory=list)
    alerted: asyncio.Event = field(default_factory=asyncio.Event)

    def alert(self, alert: Alert) -> None:
        """Kept, to be looked at; the operator knows at once."""
        self.alerts.append(alert)
        alert.delivered()
        self.alerted.set()

    def opens(self, session: str, caller: str = "") -> None:
        self.keeper.opened(SessionFacts(session_id=session, caller_key=caller))

    def calls(self, session: str, *calls: ProviderCall) -> None:
        for call in calls:
            self.keeper.told(session, call)

    def thresholds(self) -> list[object]:
        return [alert.details["threshold"] for alert in self.alerts if alert.kind == "budget"]


@asynccontextmanager
async def open_till(
    books: Books,
    *,
    limits: Limits | None = None,
    past: Past = "stop",
    means: Means | None = None,
    clock: Clock | None = None,
    prices: str = PRICES,
    zone: str = "UTC",
    retention_days: int = 0,
) -> AsyncIterator[Till]:
    """A till that keeps its books until it is left."""
    clock = clock or Clock()
    keeper = Bookkeeper(
        books=books,
        prices=book(prices),
        calendar=clock.calendar(zone),
        limits=limits,
        past=past,
        retention_days=retention_days,
    )
    allowance = BudgetAllowance(
        keeper, means or Means(reservation=lambda: 1_000), alert=lambda alert: keeper.alert(alert)
    )
    till = Till(books, keeper, allowance, clock)
    keeper.alert = till.alert
    await keeper.load()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.run())
        try:
            yield till
        finally:
            keeper.stop()
