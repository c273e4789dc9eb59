"""Leave to spend: an ``Allowance`` that sets money aside for each turn, and knows what to do when there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from antiphon.conversation.allowance import Grant
from antiphon.conversation.config import Providers
from antiphon.conversation.events import Event, Notice
from antiphon.conversation.listening import SessionFacts
from antiphon.errors import BudgetError, StoreUnavailable
from antiphon.usage.alerts import Alert, ledger_alert
from antiphon.usage.bookkeeper import Bookkeeper
from antiphon.usage.books import Ask
from antiphon.usage.entry import caller_account, day_account
from antiphon.usage.money import shown

GRANTS_KEPT = 10_000
"""Turns whose grant is remembered; each live session has one or two."""

SOON_S = 3_600.0
"""A refused caller is told when the budget is filled up again if that is within an hour."""

log = structlog.stdlib.get_logger(__name__)

CHEAPER = "Today's budget is used up. I go on with a simpler model."
CHEAPER_SESSION = "The budget of this conversation is used up. I go on with a simpler model."


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the composition root knows and the budget needs."""

    reservation: Callable[[], int]
    """Micro-dollars that a turn may cost at the most."""
    cheaper: Callable[[], Providers | None] = lambda: None
    """Who goes on when the budget is spent and the setting says ``degrade``; None: nobody can."""
    refuse_unpriced: bool = False
    """Turns are refused once a model without a price has answered."""


class BudgetAllowance:
    """One for all sessions of a server. Listens to them too."""

    def __init__(
        self, keeper: Bookkeeper, means: Means, *, alert: Callable[[Alert], None] = lambda _: None
    ) -> None:
        self._keeper = keeper
        self._means = means
        self._alert = alert
        self._grants: dict[str, Grant] = {}
        self._told: set[str] = set()
        """Sessions that were told that it goes on with cheaper models."""

    # ---- Allowance ----------------------------------------------------------------------------------------

    async def reserve(self, *, session_id: str, turn_id: str) -> Grant:
        """As ``conversation.allowance`` says. Safe to cancel."""
        id = f"{session_id}/{turn_id}"
        if id in self._grants:
            return self._grants[id]
        self._refuse_unpriced()
        ask = self._ask(id, session_id)
        full = await self._full(ask) if ask.limits and self._keeper.past != "warn" else ""
        grant = self._past(full, session_id) if full else Grant()
        if len(self._grants) >= GRANTS_KEPT:
            self._grants.pop(next(iter(self._grants)))
        self._grants[id] = grant
        return grant

    def settle(self, *, session_id: str, turn_id: str) -> None:
        """As ``conversation.allowance`` says."""
        id = f"{session_id}/{turn_id}"
        self._grants.pop(id, None)
        self._keeper.released(id, session_id)

    # ---- Listener -----------------------------------------------------------------------------------------

    def opened(self, session: SessionFacts) -> None:
        """Nothing is set aside yet."""

    def told(self, session_id: str, event: Event) -> None:
        """A notice comes with a reply that is kept; one that is thrown away takes its notices with it."""
        if isinstance(event, Notice) and event.kind == "budget":
            self._told.add(session_id)

    def refused(self, reason: str) -> None:
        """Nothing was set aside."""

    def closed(self, session_id: str, reason: str) -> None:
        """Free what a turn that never ended had set aside."""
        self._told.discard(session_id)
        prefix = f"{session_id}/"
        for id in [id for id in (*self._grants, *self._keeper.tally.asks) if id.startswith(prefix)]:
            self._grants.pop(id, None)
            self._keeper.released(id, session_id)

    # ---- admission ----------------------------------------------------------------------------------------

    def refusal(self, caller: str = "") -> BudgetError | None:
        """Why a new caller cannot be let in; None when one can."""
        keeper = self._keeper
        if keeper.past != "stop":
            return None
        today = keeper.calendar.today().isoformat()
        limits = {day_account(today): keeper.limits.day}
        if caller:
            limits[caller_account(today, caller)] = keeper.limits.caller
        for account, limit in limits.items():
            if limit and keeper.tally.spent(account) >= limit:
                return self._spent(account)
        return None

    # ---- deciding -----------------------------------------------------------------------------------------

    def _ask(self, id: str, session_id: str) -> Ask:
        keeper = self._keeper
        limits = keeper.limits.of(
            day=keeper.calendar.today().isoformat(),
            session=session_id,
            caller=keeper.caller_of(session_id),
        )
        return Ask(id=id, micros=max(self._means.reservation(), round(keeper.dearest_turn)), limits=limits)

    async def _full(self, ask: Ask) -> str:
        """Set money aside; the account that is full, if one is."""
        keeper = self._keeper
        if already := next((name for name in ask.limits if name in keeper.degraded), ""):
            return already
        if not keeper.books.shared:
            return keeper.tally.reserve(ask)
        # Held here first: a turn that is dropped while the store answers lets go of it there too.
        keeper.tally.hold(ask)
        try:
            full = await keeper.books.reserve(ask)
        except StoreUnavailable as error:
            # What this server knows decides: a store that is away is no reason to be silent.
            self._alert(ledger_alert(error.message))
            keeper.tally.release(ask.id)
            return keeper.tally.reserve(ask)
        if full:
            keeper.tally.release(ask.id)
        return full

    def _past(self, account: str, session_id: str) -> Grant:
        """The budget is spent."""
        cheaper = self._means.cheaper() if self._keeper.past == "degrade" else None
        if cheaper is None:
            raise self._spent(account)
        if account not in self._keeper.degraded:
            self._keeper.degraded.add(account)
            log.warning("going on with cheaper models", account=account)
        message = CHEAPER_SESSION if account.startswith("session ") else CHEAPER
        notices = () if session_id in self._told else (Notice(kind="budget", message=message),)
        return Grant(providers=cheaper, notices=notices)

    def _spent(self, account: str) -> BudgetError:
        keeper = self._keeper
        if account.startswith("session "):
            return BudgetError(
                f"the budget of this conversation ({shown(keeper.limits.session)}) is used up; start a new one"
            )
        again_s = keeper.calendar.until_tomorrow_s()
        return BudgetError(
            f"today's budget is used up; it is filled up again at midnight ({keeper.calendar.zone.key})",
            retry_after_s=again_s if again_s <= SOON_S else None,
        )

    def _refuse_unpriced(self) -> None:
        if self._means.refuse_unpriced and self._keeper.unpriced:
            # The operator is told which (``unpriced_alert``); callers can do nothing about it.
            raise BudgetError(
                "nobody knows what an answer would cost, so none is asked for; please tell the operator"
            )
