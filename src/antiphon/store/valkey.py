"""Connections to Valkey (or Redis): time limits, health, and one kind of error. What is kept there is the business of
those who use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript

from antiphon.errors import SettingsError, StoreUnavailable

KEYS = "antiphon:"
"""Every key begins so: a Valkey is often shared."""

TIMEOUT_S = 1.0
"""For connecting and for each answer. A healthy store on the same network answers within a few ms, and a fork for its
append-only file holds it up by tens; after a second it is as good as away."""

CONNECTIONS = 16
"""Of one process. Requests take about a millisecond, so that 16 carry some thousands a second; more wait their turn."""

CHECK_S = 0.5
"""How often something small is written to the store, to see whether it is there: how long after its return it is used
again, at most."""

ALIVE_MS = 10_000
"""How long what is written by that check stays."""

CANNOT_WRITE = frozenset({"OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "LOADING"})
"""Refusals that hold for whatever is written: the store is as good as away until it takes something again."""

SCHEMES = {"valkey": "redis", "valkeys": "rediss", "redis": "redis", "rediss": "rediss"}
"""What ``ANTIPHON_STORE`` may begin with → as the library calls it; with ``s`` by TLS."""


class Script:
    """A Lua script, run at the server in one piece. Safe to cancel: it may have run or not."""

    def __init__(self, valkey: Valkey, source: str) -> None:
        self._valkey = valkey
        self._script: AsyncScript = valkey.client.register_script(source)

    async def __call__(self, *, keys: Sequence[str], args: Sequence[str | bytes | int | float] = ()) -> Any:
        """What the script returns, texts as bytes. Raises StoreUnavailable."""
        with self._valkey.reaching():
            return await self._script(keys=list(keys), args=list(args))


class Valkey:
    """A process's way to the store.

    Plain commands: ``with valkey.reaching(): await valkey.client.get(...)``. While the store is known to be away, that
    raises at once, so that nobody waits out a time limit again and again.
    """

    def __init__(self, client: redis.Redis, *, place: str) -> None:
        self.client = client
        """The library's own; use it within ``reaching`` only."""
        self.place = place
        """Host and port, for people; never a password."""
        self.problem = ""
        """Why the store cannot be used now, for people; empty when it can."""
        self._there = asyncio.Event()
        self._there.set()

    @property
    def available(self) -> bool:
        """Whether it answered when it was last reached for, and can be written to."""
        return self._there.is_set()

    async def returned(self) -> None:
        """Returns when the store is there (again). Safe to cancel."""
        await self._there.wait()

    def script(self, source: str) -> Script:
        """A Lua script to be called many times."""
        return Script(self, source)

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Around requests: what the library raises becomes StoreUnavailable. Safe to cancel: they may have been done
        or not."""
        if not self.available:
            raise StoreUnavailable(self.problem)
        try:
            with no_cancellation_lost():
                yield
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            self._gone(error)
            raise StoreUnavailable(self.problem) from error
        except exceptions.RedisError as error:
            # It answered, but not with what was asked for.
            if _code(error) in CANNOT_WRITE:
                self._gone(error)
            raise StoreUnavailable(describe(error, self.place)) from error

    async def check(self) -> bool:
        """Ask whether it is there and can be written to. Safe to cancel."""
        try:
            with no_cancellation_lost():
                await self.client.set(f"{KEYS}alive", 1, px=ALIVE_MS)
        except (exceptions.RedisError, OSError) as error:
            self._gone(error)
        else:
            self.problem = ""
            self._there.set()
        return self.available

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Within it ``available`` is kept true to the facts; on leaving, its connections are closed."""
        try:
            await self.check()
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch())
                yield
                watching.cancel()
        finally:
            await self.client.aclose()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            await self.check()

    def _gone(self, error: Exception) -> None:
        self.problem = describe(error, self.place)
        self._there.clear()


@contextmanager
def no_cancellation_lost() -> Iterator[None]:
    """A cancellation that comes just as what is awaited within ends is raised on leaving. ``asyncio.wait_for``, with
    which the library writes, swallows it before Python 3.12, and a loop that was told to stop would go on for good."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        yield
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError


def connect_valkey(url: str, *, password: str = "", timeout_s: float = TIMEOUT_S) -> Valkey:
    """The way to the store at ``url``; no connection is made before the first request. Raises SettingsError when
    ``url`` is not an address. Keep it ``watched`` while it is used."""
    place = place_of(url)
    scheme, _, rest = url.partition("://")
    pool = redis.BlockingConnectionPool.from_url(
        f"{SCHEMES[scheme]}://{rest}",
        max_connections=CONNECTIONS,
        timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s,
        # A connection that the server closed while it was idle is opened again at once. A request that ran out of time
        # is not repeated: it may have been done.
        retry=Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),
        client_name="antiphon",
        **({"password": password} if password else {}),
    )
    return Valkey(redis.Redis.from_pool(pool), place=place)


@asynccontextmanager
async def open_valkey(url: str, *, password: str = "", timeout_s: float = TIMEOUT_S) -> AsyncIterator[Valkey]:
    """``connect_valkey``, watched while it is open. A store that is away is no error: it may come back."""
    valkey = connect_valkey(url, password=password, timeout_s=timeout_s)
    async with valkey.watched():
        yield valkey


def place_of(url: str) -> str:
    """Host and port of a store's address, for people. Raises SettingsError when it is none."""
    scheme, separator, _ = url.partition("://")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 6379
    except ValueError:
        host, port = None, 0
    if not separator or scheme not in SCHEMES or not host:
        raise SettingsError(
            "ANTIPHON_STORE is not the address of a store; use memory, or valkey://host:6379 (valkeys:// for TLS), "
            "with the password in ANTIPHON_STORE_PASSWORD."
        )
    return f"{host}:{port}"


def describe(error: Exception, place: str) -> str:
    """What is wrong with the store at ``place``, and what to do. Never an address's password, nor what the server
    says in its own words: that may quote what it was sent."""
    code = _code(error)
    match error:
        case _ if code in _REFUSALS:
            why = _REFUSALS[code]
        case exceptions.AuthenticationError():
            why = _REFUSALS["WRONGPASS"]
        case exceptions.TimeoutError() | exceptions.MaxConnectionsError():
            why = f"it did not answer within {TIMEOUT_S:g} s"
        case exceptions.ConnectionError() | OSError():
            why = "it cannot be reached; is it running, and may this machine connect?"
        case _:
            why = f"it refused a request ({code or type(error).__name__}); its log may say why"
    return f"The store at {place} (ANTIPHON_STORE) cannot be used: {why}"


def _code(error: Exception) -> str:
    """The word with which the server's refusal began; empty when it was none. The library cuts it off where it knows
    it, and leaves it in the text where it does not."""
    text = str(error)
    if "max number of clients" in text:
        return "MAXCLIENTS"
    if "without any password configured" in text or "no password is set" in text:
        return "NOPASSWORD"
    code = getattr(error, "status_code", None) or text.partition(" ")[0]
    known = isinstance(error, exceptions.RedisError) and isinstance(code, str) and code.isupper()
    return code if known else _CODES.get(type(error), "")


_CODES: dict[type[Exception], str] = {
    exceptions.AuthenticationError: "WRONGPASS",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.OutOfMemoryError: "OOM",
}
"""Where the library says only by its class what the server said."""

_CLUSTER = "it is part of a cluster, which is not supported; ANTIPHON_STORE must name a server that is none"
_REFUSALS: dict[str, str] = {
    "DENIED": "it is in protected mode and takes no connections from other machines; give it a password (requirepass) "
    "and set ANTIPHON_STORE_PASSWORD, or, in a network of its own, turn protected-mode off",
    "NOAUTH": "it wants a password; set ANTIPHON_STORE_PASSWORD",
    "WRONGPASS": "it does not take the password; correct ANTIPHON_STORE_PASSWORD",
    "NOPASSWORD": "it has no password and was given one; set it there (requirepass), or unset ANTIPHON_STORE_PASSWORD",
    "NOPERM": "its user may not do what is needed; allow that user all commands on keys and channels that begin with "
    "antiphon: (ACL SETUSER), or name another one in ANTIPHON_STORE",
    "MISCONF": "it cannot write to its disk and takes no changes until it can; see its log, and whether the disk is "
    "full",
    "OOM": "its memory is full; give it more (maxmemory)",
    "READONLY": "it is a read-only copy; ANTIPHON_STORE must name the primary",
    "MASTERDOWN": "it is a copy that has lost its primary; ANTIPHON_STORE must name the primary",
    "NOREPLICAS": "it has fewer copies than it was told to want; see min-replicas-to-write there",
    "LOADING": "it is loading its data and will be there in a moment",
    "BUSY": "it is busy with a script that does not end (SCRIPT KILL)",
    "WRONGTYPE": "something else is kept there under a name that begins with antiphon:; name another database in "
    "ANTIPHON_STORE, as in valkey://host:6379/1",
    "MAXCLIENTS": "it has as many connections as it takes; raise maxclients there",
    "CLUSTERDOWN": _CLUSTER,
    "MOVED": _CLUSTER,
    "ASK": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
}
"""What the server's refusal begins with → what it means, and what to do."""
