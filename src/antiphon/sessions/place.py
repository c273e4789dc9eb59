"""A place of a caller who has said nothing yet: from their connection until they begin a conversation, or come back to
one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from antiphon.sessions.caller import Caller
from antiphon.sessions.seat import Seat

Right = Literal["standing", "returning", "new"]
"""What may be had with it. ``standing``: nothing yet, all were taken, and whoever it is may have one already;
``returning``: a conversation that they come back to; ``new``: any."""


@dataclass(eq=False, slots=True, kw_only=True)
class Place:
    """One caller's. Only the registry changes it."""

    caller: Caller
    right: Right
    seat: Seat | None = None
    """Among those of its address; None: those are not counted."""
