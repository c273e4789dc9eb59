"""Whether a turn may be spent on: money is reserved before a turn's first request and settled after its last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from antiphon.conversation.config import Providers
from antiphon.conversation.events import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Leave to spend on one turn."""

    providers: Providers | None = None
    """Whom to ask in this turn instead of the session's own; None: those."""
    notices: tuple[Notice, ...] = ()
    """To tell the user, as when the day goes on with cheaper models."""


class Allowance(Protocol):
    """One for all sessions. What was spent it learns as a ``Listener``, from ``ProviderCall`` events."""

    def cheaper(self, session_id: str) -> Providers | None:
        """Who goes on in this session instead of its own, now that a budget is spent; None: its own. Asked as the user
        begins to speak: what is heard is not reserved, as nobody knows yet whether it is a turn."""

    async def reserve(self, *, session_id: str, turn_id: str) -> Grant:
        """Before a turn's reply is asked for. Asking again for the same turn gives the same grant. Raises
        ``BudgetError`` when all is spent and nobody cheaper may go on, ``SetAsideError`` when what is left is set aside
        for others. Safe to cancel."""

    def settle(self, *, session_id: str, turn_id: str) -> None:
        """The turn is over (answered, dropped or failed), and all of its calls were told: free what was reserved."""
