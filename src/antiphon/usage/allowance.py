"""Leave to spend: an ``Allowance`` that sets money aside for each turn, and knows what to do when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

from antiphon.conversation.allowance import Grant
from antiphon.conversation.config import Providers
from antiphon.conversation.events import Event, Notice
from antiphon.conversation.listening import SessionFacts
from antiphon.errors import BudgetError, SetAsideError, StoreUnavailable
from antiphon.usage.alerts import Alert, ledger_alert, nobody_cheaper_alert
from antiphon.usage.bookkeeper import Bookkeeper
from antiphon.usage.books import Ask
from antiphon.usage.money import shown

TURNS_KEPT = 10_000
"""Turns whose grant is remembered; each live session has one or two."""

PATIENCE_S = 2.0
"""How long a turn waits for others to be over, when what is left of a budget is set aside for them: most turns that are
taken back, or answered with a word, are by then, and a caller bears no more silence."""

LOOK_AGAIN_S = 0.25
"""How often it looks meanwhile: the store tells nobody what others let go of. With fifty turns that wait, 200 times a
second."""

SOON_S = 3_600.0
"""A refused caller is told when the budget is filled up again if that is within an hour."""

CHEAPER = "Today's budget is used up. I go on with a simpler model."
CHEAPER_SESSION = "The budget of this conversation is used up. I go on with a simpler model."
CHEAPER_ONCE = (
    "What is left of the budget is set aside for others just now. A simpler model answers this time."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the composition root knows and the budget needs."""

    reservation: Callable[[], int]
    """Micro-dollars that a turn may cost at the most."""
    cheaper: Callable[[], Providers | None] = lambda: None
    """Who goes on when the budget is spent and the setting says ``degrade``; None: nobody can."""
    refuse_unpriced: bool = False
    """Turns are refused once a model without a price has answered."""


@dataclass(slots=True)
class _Turn:
    """A turn under way."""

    ask: str
    """Name of its reservation. A turn that is taken back and answered anew gets another one: the release of the first
    may still be on its way to the store."""
    grant: Grant | None = None


class BudgetAllowance:
    """One for all sessions of a server. Listens to them too."""

    def __init__(
        self, keeper: Bookkeeper, means: Means, *, alert: Callable[[Alert], None] = lambda _: None
    ) -> None:
        self._keeper = keeper
        self._means = means
        self._alert = alert
        self._turns: dict[str, _Turn] = {}
        self._numbers = count(1)
        self._looked_at = -LOOK_AGAIN_S
        """When it was last looked up what others spent, loop time."""
        self._told: dict[str, set[str]] = {}
        """Session → what it was told of its budget."""

    # ---- Allowance ----------------------------------------------------------------------------------------

    def cheaper(self, session_id: str) -> Providers | None:
        """As ``conversation.allowance`` says. Nothing is remembered: what is spent decides, on each replica alike."""
        used_up = self._keeper.past == "degrade" and self._keeper.tally.used_up(self._limits(session_id))
        return self._means.cheaper() if used_up else None

    async def reserve(self, *, session_id: str, turn_id: str) -> Grant:
        """As ``conversation.allowance`` says. Safe to cancel."""
        name = f"{session_id}/{turn_id}"
        turn = self._turns.get(name)
        if turn is None:
            if len(self._turns) >= TURNS_KEPT:
                self._turns.pop(next(iter(self._turns)))
            turn = self._turns[name] = _Turn(f"{name}/{next(self._numbers)}")
        if turn.grant is None:
            self._refuse_unpriced()
            turn.grant = await self._grant(self._ask(turn.ask, session_id), session_id)
        return turn.grant

    def settle(self, *, session_id: str, turn_id: str) -> None:
        """As ``conversation.allowance`` says."""
        turn = self._turns.pop(f"{session_id}/{turn_id}", None)
        if turn is not None:
            self._keeper.released(turn.ask, session_id)

    # ---- Listener -----------------------------------------------------------------------------------------

    def opened(self, session: SessionFacts) -> None:
        """Nothing is set aside yet."""

    def told(self, session_id: str, event: Event) -> None:
        """A notice comes with a reply that is kept; one that is thrown away takes its notices with it."""
        if isinstance(event, Notice) and event.kind == "budget":
            self._told.setdefault(session_id, set()).add(event.message)

    def refused(self, reason: str) -> None:
        """Nothing was set aside."""

    def closed(self, session_id: str, reason: str) -> None:
        """Free what a turn that never ended had set aside."""
        self._told.pop(session_id, None)
        prefix = f"{session_id}/"
        for name in [name for name in self._turns if name.startswith(prefix)]:
            del self._turns[name]
        for ask in [ask for ask in self._keeper.tally.asks if ask.startswith(prefix)]:
            self._keeper.released(ask, session_id)

    # ---- admission ----------------------------------------------------------------------------------------

    def refusal(self, caller: str = "") -> BudgetError | None:
        """Why a new caller cannot be let in; None when one can."""
        keeper = self._keeper
        if keeper.past == "warn":
            return None
        used_up = keeper.tally.used_up(keeper.limits.of_day(keeper.calendar.today().isoformat(), caller))
        return self._spent(used_up) if used_up and self._cheaper() is None else None

    # ---- deciding -----------------------------------------------------------------------------------------

    def _limits(self, session_id: str) -> Mapping[str, int]:
        keeper = self._keeper
        return keeper.limits.of(
            day=keeper.calendar.today().isoformat(),
            session=session_id,
            caller=keeper.caller_of(session_id),
        )

    def _ask(self, id: str, session_id: str) -> Ask:
        most = max(self._means.reservation(), round(self._keeper.dearest_turn))
        return Ask(id=id, micros=most, limits=self._limits(session_id))

    def _cheaper(self) -> Providers | None:
        return self._means.cheaper() if self._keeper.past == "degrade" else None

    async def _grant(self, ask: Ask, session_id: str) -> Grant:
        """Money is set aside, or somebody cheaper goes on. What is spent stays spent, for the rest of the day; what is
        set aside is free again soon."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        again = False
        while not await self._set_aside(ask, again=again):
            again = True
            used_up, cheaper = self._keeper.tally.used_up(ask.limits), self._cheaper()
            if cheaper is not None:
                return Grant(providers=cheaper, notices=self._notices(used_up, session_id))
            if used_up:
                raise self._spent(used_up)
            if loop.time() >= until:
                raise SetAsideError(
                    "what is left of the budget is set aside for other turns; say it again in a moment"
                )
            await asyncio.sleep(LOOK_AGAIN_S)
        return Grant()

    async def _set_aside(self, ask: Ask, *, again: bool) -> bool:
        """False: nothing is left for it. ``again``: that was so before."""
        keeper = self._keeper
        if not ask.limits:
            return True
        if keeper.past == "warn":  # to be seen; nobody is refused
            keeper.tally.hold(ask)
            return True
        if keeper.tally.used_up(ask.limits):
            return False
        if not keeper.books.shared:
            return not keeper.tally.reserve(ask)
        # Held here first: a turn that is dropped while the store answers lets go of it there too.
        keeper.tally.hold(ask)
        try:
            full = await keeper.books.reserve(ask)
        except StoreUnavailable as error:
            # What this server knows decides: a store that is away is no reason to be silent. But where it said no, only
            # the store can say otherwise.
            self._alert(ledger_alert(error.message))
            keeper.tally.release(ask.id)
            return not again and not keeper.tally.reserve(ask)
        if full:
            keeper.tally.release(ask.id)
            await self._look_up()
        return not full

    async def _look_up(self) -> None:
        """Is it full by what others spent, or by what they set aside? One look is for all turns that wait."""
        keeper, now = self._keeper, asyncio.get_running_loop().time()
        if now < self._looked_at + LOOK_AGAIN_S:
            return
        self._looked_at = now
        try:
            keeper.tally.booked.update(await keeper.books.spent(keeper.calendar.today()))
        except StoreUnavailable as error:
            self._alert(ledger_alert(error.message))

    def _notices(self, used_up: str, session_id: str) -> tuple[Notice, ...]:
        """What the user is told, once."""
        message = CHEAPER_ONCE
        if used_up:
            message = CHEAPER_SESSION if used_up.startswith("session ") else CHEAPER
        told = message in self._told.get(session_id, ())
        return () if told else (Notice(kind="budget", message=message),)

    def _spent(self, account: str) -> BudgetError:
        keeper = self._keeper
        if keeper.past == "degrade":
            self._alert(nobody_cheaper_alert(account))
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
