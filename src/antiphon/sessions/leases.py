"""The leases on the sessions that a process holds: kept up while it does, and what others want or have is let go of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from antiphon.errors import StoreUnavailable
from antiphon.sessions.live import LiveSession
from antiphon.sessions.store import WANTED_S, SessionStore, Standing

RENEWALS = 5
"""Renewals within a lease: a busy loop may miss some, and a caller who went elsewhere waits for the next."""


async def keep_leases(held: Mapping[str, LiveSession], store: SessionStore, *, lease_s: float) -> None:
    """On those that are in ``held`` at the time, until cancelled; returns at once where nobody else could hold them."""
    while store.shared:
        await asyncio.sleep(lease_s / RENEWALS)
        holdings = {name: live.keeping.holding for name, live in held.items() if not live.over}
        try:
            standings = await store.renew(holdings)
        except StoreUnavailable:
            continue  # it lets go of what is another's when it is back
        for name, standing in standings.items():
            live = held.get(name)
            if live is not None and not live.over and live.keeping.holding.fence == holdings[name].fence:
                _follow(live, standing)


def _follow(live: LiveSession, standing: Standing) -> None:
    match standing:
        case "wanted":
            # By a connection that may be gone since its caller came here: then it is not wanted for long.
            if asyncio.get_running_loop().time() - live.attached_at > WANTED_S:
                live.want()
        case "lost":
            live.lose()
        case "missing":
            live.keep_again()
        case "held":
            pass
