"""Who may have a ticket: anybody, whoever knows the password, a backend with an API key, or a user with a token of the
identity provider."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from antiphon.errors import AccessError, RateLimitedError
from antiphon.sessions.address_limits import LimitStore, MemoryLimits, address_group
from antiphon.sessions.rates import Rate

ATTEMPTS = Rate(count=10, per_s=60.0)
"""Wrong passwords, keys and tokens from one address: a household forgets its password at that pace, and a guesser is
told of 5 million a year whether they were right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks for a ticket."""

    key: str = ""
    """Name of who is billed: an API key's, or ``user:`` and a user's; empty: nobody in particular."""
    backend: bool = False
    """Whether it asks for others, and may say for whom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What was shown with the request; empty: nothing."""

    password: str = ""
    bearer: str = ""


class Way(Protocol):
    """One way in."""

    asks_for: str
    """What to show, in words."""
    guessable: bool
    """Whether people choose it, so that a patient guesser might hit."""

    async def identify(self, shown: Shown) -> Identity | None:
        """Who it is; None: not by this way. Raises AccessError when it is one's own, but does not hold."""


class Password:
    """One password for all."""

    asks_for = "the password"
    guessable = True

    def __init__(self, password: str) -> None:
        self._digest = _digest(password)

    async def identify(self, shown: Shown) -> Identity | None:
        """See Way."""
        if not shown.password:
            return None
        if not hmac.compare_digest(_digest(shown.password), self._digest):
            raise AccessError("that is not the password")
        return Identity()


class ApiKeys:
    """Named keys of backends. Only hashes are kept; a key is long and random, so one round of SHA-256 will do."""

    asks_for = "an API key as `Authorization: Bearer …`"
    guessable = False

    def __init__(self, keys: Mapping[str, str]) -> None:
        """Name → key, or ``sha256:`` and its hash."""
        self._digests = {
            name: bytes.fromhex(key.removeprefix("sha256:")) if key.startswith("sha256:") else _digest(key)
            for name, key in keys.items()
        }

    async def identify(self, shown: Shown) -> Identity | None:
        """See Way. Every key is compared, so that time tells nothing of which came near."""
        if not shown.bearer:
            return None
        digest = _digest(shown.bearer)
        found = [name for name, known in self._digests.items() if hmac.compare_digest(digest, known)]
        return Identity(key=found[0], backend=True) if found else None


class Gate:
    """All the ways in of this server."""

    def __init__(self, ways: Sequence[Way] = (), limits: LimitStore | None = None) -> None:
        """Without ways it is open."""
        self._ways = tuple(ways)
        self._limits = limits or MemoryLimits()

    @property
    def open(self) -> bool:
        """Whether anybody may talk."""
        return not self._ways

    @property
    def takes_password(self) -> bool:
        """Whether a person can type something to be let in."""
        return any(isinstance(way, Password) for way in self._ways)

    async def identify(self, shown: Shown, *, address: str) -> Identity:
        """Who asks. Raises AccessError, RateLimitedError, or RefusedError when it cannot be known now.

        Wrong ones are counted, and past the limit a guess is answered alike whether right or wrong, so that many at
        once gain nothing. What cannot be guessed is let in even then: others at that address may be guessing."""
        if self.open:
            return Identity()
        if not shown.password and not shown.bearer:
            raise AccessError(f"this server wants {self._wanted()} before it gives out a ticket")
        attempts = f"attempts:{address_group(address)}"
        try:
            way, identity = await self._found(shown)
        except AccessError:
            wait_s = await self._limits.spend(attempts, ATTEMPTS)
            if not wait_s:
                raise
        else:
            wait_s = await self._limits.wait(attempts, ATTEMPTS) if way.guessable else 0.0
            if not wait_s:
                return identity
        raise RateLimitedError(
            "too many wrong attempts from your address; wait a minute", retry_after_s=wait_s
        )

    async def _found(self, shown: Shown) -> tuple[Way, Identity]:
        for way in self._ways:
            identity = await way.identify(shown)
            if identity is not None:
                return way, identity
        raise AccessError(f"that does not let you in; this server wants {self._wanted()}")

    def _wanted(self) -> str:
        return " or ".join(way.asks_for for way in self._ways)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
