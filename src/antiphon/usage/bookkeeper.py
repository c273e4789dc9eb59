"""The listener that keeps the ledger: prices each provider call when it ends, counts it at once, has it written soon.

The event loop never waits for the ledger: entries are noted (``Books.note``), and go to the ``LedgerWriter``.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from itertools import count

import structlog

from antiphon.conversation.events import MOST, Event, ProviderCall, believable
from antiphon.conversation.listening import SessionFacts
from antiphon.errors import StoreUnavailable
from antiphon.store.retention import first_kept
from antiphon.usage.alerts import Alert, ledger_alert, lost_alert, threshold_alert, unpriced_alert
from antiphon.usage.books import Batch, Books, Crossed, Written
from antiphon.usage.budgets import Limits, Past, Tally
from antiphon.usage.calendar import Calendar
from antiphon.usage.entry import Entry, day_account, entry_of
from antiphon.usage.prices import PriceBook
from antiphon.usage.totals import Totals
from antiphon.usage.writer import Item, LedgerWriter, Outcomes, Released, Told

REFRESH_S = 5.0
"""How often reservations are renewed, and what others spent is looked up, where the ledger is shared."""

FAREWELL_S = 3.0
"""How long a server that stops waits for the webhook to take what was told of budgets. What it has not taken by then is
told by whoever starts next."""

NAMES_KEPT = 256
"""Models without a price that are told apart: names come from vendors."""

log = structlog.stdlib.get_logger(__name__)


class Bookkeeper:
    """A ``Listener``. ``run`` writes, until ``stop``."""

    def __init__(
        self,
        *,
        books: Books,
        prices: PriceBook,
        calendar: Calendar,
        limits: Limits | None = None,
        past: Past = "warn",
        alert: Callable[[Alert], None] = lambda _: None,
        retention_days: int = 0,
    ) -> None:
        self.books = books
        self.prices = prices
        self.calendar = calendar
        self.limits = limits or Limits()
        self.past: Past = past
        self.tally = Tally()
        self.unpriced: dict[str, int] = {}
        """``provider:model`` → calls without a price."""
        self.lost = 0
        self.alert = alert
        self._retention_days = retention_days
        self._callers: dict[str, str] = {}
        self._telling: set[str] = set()
        """Thresholds that the operator does not know of yet, and this server tells of."""
        self._all_told = asyncio.Event()
        self._ids = (f"{prefix}-{number}" for prefix in (secrets.token_hex(8),) for number in count(1))
        self._writer = LedgerWriter(
            books,
            self.limits,
            self._ids,
            Outcomes(
                written=self._count,
                given_up=self._give_up,
                failed=lambda problem: self.alert(ledger_alert(problem)),
            ),
        )
        self._told_of_counts = False
        self._turn_cost: dict[str, int] = {}
        self.dearest_turn = 0.0
        """Micro-dollars of the dearest turn of late: what a reservation has to cover."""

    # ---- Listener -----------------------------------------------------------------------------------------

    def opened(self, session: SessionFacts) -> None:
        """Whom to bill."""
        self._callers[session.session_id] = session.caller_key

    def told(self, session_id: str, event: Event) -> None:
        """Book calls as they end."""
        if isinstance(event, ProviderCall):
            self._book(session_id, event)

    def closed(self, session_id: str, reason: str) -> None:
        """Calls that end later are told before this."""
        self._callers.pop(session_id, None)
        self._turn_cost.pop(session_id, None)

    def refused(self, reason: str) -> None:
        """Costs nothing."""

    # ---- prices -------------------------------------------------------------------------------------------

    def cost(self, call: ProviderCall) -> int | None:
        """Micro-dollars; None when no price is known."""
        priced = self.prices.price(call, self.calendar.today())
        return None if priced is None else priced.micros

    def caller_of(self, session_id: str) -> str:
        """Name of the API key or user a session is billed to."""
        return self._callers.get(session_id, "")

    def _book(self, session_id: str, call: ProviderCall) -> None:
        today = self.calendar.today()
        priced = self.prices.price(call, today)
        entry = entry_of(
            call,
            priced,
            id=next(self._ids),
            at_ms=self.calendar.now_ms(),
            day=today.isoformat(),
            session=session_id,
            caller=self.caller_of(session_id),
        )
        if priced is None:
            self._note_unpriced(f"{entry.provider}:{entry.model}")
        if not self._told_of_counts and not believable(call.usage):
            self._told_of_counts = True
            log.warning("a provider counts what cannot be: less is booked", provider=call.provider, most=MOST)
        for account in entry.accounts:
            self.tally.expect(account, entry.micros or 0)
        self._turn_cost[session_id] = self._turn_cost.get(session_id, 0) + (entry.micros or 0)
        self.books.note(entry)
        self._writer.put(entry)

    def _note_unpriced(self, name: str) -> None:
        if name not in self.unpriced and len(self.unpriced) >= NAMES_KEPT:
            name = "others"
        first = name not in self.unpriced
        self.unpriced[name] = self.unpriced.get(name, 0) + 1
        if first:
            self.alert(unpriced_alert(name))

    # ---- turns --------------------------------------------------------------------------------------------

    def released(self, id: str, session_id: str) -> None:
        """A turn is over, and what it cost is known."""
        cost = self._turn_cost.pop(session_id, 0)
        # Forgotten slowly: a turn that was dear once will not be the last.
        self.dearest_turn = max(float(cost), self.dearest_turn * 0.995)
        if id not in self.tally.asks:
            return
        if self.books.shared:
            self._writer.put(Released(id))
        else:  # what the turn cost is counted already, and nobody else asks
            self.tally.release(id)

    # ---- writing ------------------------------------------------------------------------------------------

    def _give_up(self, item: Item) -> None:
        match item:
            case Entry():
                self._lose(1)
            case Released():
                self.tally.release(item.id)
            case Told():
                pass  # it is told of once more

    def _lose(self, entries: int) -> None:
        self.lost += entries
        self.alert(lost_alert())

    async def load(self) -> None:
        """What was spent before this start. A ledger that cannot be read is no reason not to serve."""
        await self._attempt(self._resume)
        await self._attempt(self._prune)

    async def _resume(self) -> None:
        self.calendar.not_before(await self.books.days())
        self.tally.booked.update(await self.books.spent(self.calendar.today()))

    async def _attempt(self, what: Callable[[], Awaitable[None]]) -> None:
        try:
            await what()
        except StoreUnavailable as error:
            self.alert(ledger_alert(error.message))
        except Exception:
            # The edge: whatever it is, calls and what can be written go on.
            log.exception("the ledger cannot be looked at")

    async def run(self) -> None:
        """Write until ``stop``, then what is left. Safe to cancel: what is left is lost then."""
        async with asyncio.TaskGroup() as tasks:
            refreshing = tasks.create_task(self._refresh())
            await self._writer.run()
            refreshing.cancel()
            if self._telling:
                with suppress(TimeoutError):
                    async with asyncio.timeout(FAREWELL_S):
                        await self._all_told.wait()
                await self._writer.run()

    async def written(self) -> None:
        """Returns when the ledger has all that was told, as soon as can be. Safe to cancel."""
        await self._writer.written()

    def stop(self) -> None:
        """No more calls come: ``run`` writes the rest and returns."""
        self._writer.stop()

    def _count(self, batch: Batch, written: Written) -> None:
        costs: dict[str, int] = {}
        for entry in batch.entries:
            for account in entry.accounts:
                costs[account] = costs.get(account, 0) + (entry.micros or 0)
        for account, micros in costs.items():
            # Budgets go on counting what the ledger could not hold.
            known = self.tally.booked.get(account, 0) + micros
            self.tally.book(account, micros, written.spent.get(account, known))
        for id in batch.released:
            self.tally.release(id)
        if written.left_out:
            self._lose(written.left_out)
        for crossed in written.crossed:
            self._tell(crossed)

    def _tell(self, crossed: Crossed) -> None:
        self._telling.add(crossed.name)
        self._all_told.clear()
        self.alert(threshold_alert(crossed, past=self.past, delivered=partial(self._told, crossed.name)))

    def _told(self, name: str) -> None:
        if name in self._telling:
            self._telling.remove(name)
            self._writer.put(Told(name))
        if not self._telling:
            self._all_told.set()

    async def _refresh(self) -> None:
        day = self.calendar.today()
        while True:
            await asyncio.sleep(REFRESH_S)
            today = self.calendar.today()
            if self.books.shared or today != day:
                await self._attempt(partial(self._look_up, today))
            await self._attempt(self._take_up_telling)
            if today != day or len(self.tally.booked) > 8_192:
                self.tally.forget(today.isoformat())
            if today != day:
                if abs(today - day) > timedelta(days=1):
                    log.warning("the clock has jumped", day=str(today), before=str(day))
                day = today
                await self._attempt(self._prune)

    async def _look_up(self, today: date) -> None:
        await self.books.renew(tuple(self.tally.asks))
        self.tally.booked.update(await self.books.spent(today))

    async def _take_up_telling(self) -> None:
        for crossed in await self.books.untold(tuple(self._telling), next(self._ids)):
            self._tell(crossed)

    async def _prune(self) -> None:
        if not self._retention_days:
            return
        before = first_kept(await self.books.days(), self.calendar.today(), self._retention_days)
        if before is not None and (entries := await self.books.prune(before)):
            log.info("ledger pruned", before=str(before), entries=entries)

    # ---- what it looks like -------------------------------------------------------------------------------

    def totals(self) -> Totals:
        """This moment, for whoever shows it."""
        today = self.calendar.today()
        account = day_account(today.isoformat())
        return Totals(
            day=today.isoformat(),
            spent=self.tally.spent(account),
            limit=self.limits.day,
            held=self.tally.held.get(account, 0),
            past=self.past,
            degraded=self.past == "degrade"
            and bool(self.tally.used_up(self.limits.of_day(today.isoformat()))),
            unwritten=self._writer.waiting,
            lost=self.lost,
            stale_prices=len(self.prices.stale(today, self.prices.in_use(today))),
        )
