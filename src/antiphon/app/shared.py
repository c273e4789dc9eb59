"""What replicas share: the store that the settings name."""

from __future__ import annotations

import secrets
import socket
from contextlib import nullcontext

from antiphon.server.entrance import EntranceStores
from antiphon.sessions.registry import Backing
from antiphon.sessions.store import MemoryStore
from antiphon.sessions.tickets import ValkeyTickets
from antiphon.sessions.valkey_limits import ValkeyLimits
from antiphon.sessions.valkey_store import ValkeyStore
from antiphon.settings import Settings
from antiphon.store.board import Board, ValkeyBoard
from antiphon.store.valkey import Valkey, connect_valkey


def shared_valkey(settings: Settings) -> Valkey | None:
    """The way to the store of ANTIPHON_STORE; None for ``memory``. Raises SettingsError."""
    if settings.store == "memory":
        return None
    return connect_valkey(settings.store, password=settings.store_password.get_secret_value())


def session_backing(settings: Settings, valkey: Valkey | None, name: str) -> Backing:
    """What sessions are kept with, by the replica of that name."""
    if valkey is None:
        return Backing(store=MemoryStore(keep_s=settings.resume_grace_s), watched=nullcontext)
    store = ValkeyStore(valkey, replica=name, lease_s=settings.lease_s, keep_s=settings.resume_grace_s)
    return Backing(
        store=store,
        lease_s=settings.lease_s,
        admit_without=settings.store_away == "admit",
        watched=valkey.watched,
    )


def entrance_stores(valkey: Valkey | None) -> EntranceStores:
    """Where tickets and limits are kept."""
    if valkey is None:
        return EntranceStores()
    return EntranceStores(tickets=ValkeyTickets(valkey), limits=ValkeyLimits(valkey))


def notice_board(valkey: Valkey | None, name: str) -> Board | None:
    """Where replicas tell each other of themselves; None: there is one server."""
    return None if valkey is None else ValkeyBoard(valkey, name=name)


def replica_name() -> str:
    """This process among all that share a store: a restarted one is another."""
    return f"{socket.gethostname()}:{secrets.token_hex(4)}"
