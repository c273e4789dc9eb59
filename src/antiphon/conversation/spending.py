"""Leave to spend, turn by turn: asked for once a turn, given back when the turn is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from antiphon.conversation.allowance import Allowance, Grant
from antiphon.conversation.config import Providers
from antiphon.errors import AntiphonError

FREELY = Grant()


class Spending:
    """One session's turns. Without an allowance everything is granted at once."""

    def __init__(self, session_id: str, allowance: Allowance | None) -> None:
        self._session_id = session_id
        self._allowance = allowance
        self._asked: dict[str, asyncio.Task[Grant | AntiphonError]] = {}

    def reserve(self, turn_id: str, group: asyncio.TaskGroup) -> Callable[[], Awaitable[Grant]]:
        """What a reply awaits before it sends anything. A turn's later replies share the answer to its first: what
        was reserved is for the turn."""
        allowance = self._allowance
        if allowance is None:
            return self._freely
        for other in [asked for asked in self._asked if asked != turn_id]:
            self.settle(other)  # a turn that came to nothing, as when another one swallowed it
        if turn_id not in self._asked:
            asking = allowance.reserve(session_id=self._session_id, turn_id=turn_id)
            self._asked[turn_id] = group.create_task(_outcome(asking))
        asked = self._asked[turn_id]

        async def granted() -> Grant:
            outcome = await asyncio.shield(asked)
            if isinstance(outcome, AntiphonError):
                raise outcome
            return outcome

        return granted

    def providers(self, own: Providers) -> Providers:
        """Whom to ask for what is not a turn yet: the session's own, or who goes on once a budget is spent."""
        return (self._allowance and self._allowance.cheaper(self._session_id)) or own

    def settle(self, turn_id: str) -> None:
        """The turn is over."""
        asked = self._asked.pop(turn_id, None)
        if asked is not None and self._allowance is not None:
            asked.cancel()
            self._allowance.settle(session_id=self._session_id, turn_id=turn_id)

    def end(self) -> None:
        """The session is over."""
        for turn_id in list(self._asked):
            self.settle(turn_id)

    async def _freely(self) -> Grant:
        return FREELY


async def _outcome(asking: Awaitable[Grant]) -> Grant | AntiphonError:
    """The answer, a refusal being one: it concerns the replies that wait for it, not the whole session."""
    try:
        return await asking
    except AntiphonError as error:
        return error
