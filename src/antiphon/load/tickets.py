"""Tickets to talk with, where the server wants them (docs/protocol.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2

from antiphon.load.link import NotConnected, Place

ANSWER_S = 10.0
"""How long a ticket may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a caller can show. Never logged, never in a report."""

    password: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    """An API key, or a token of the identity provider."""


class TicketOffice:
    """Asks for one ticket a connection, when the server says that it wants them."""

    def __init__(self, where: Place, credentials: Credentials) -> None:
        verify: Any = where.tls if where.tls is not None else True
        self._client = httpx2.AsyncClient(
            base_url=where.http,
            verify=verify,
            timeout=ANSWER_S,
            headers={"Origin": where.origin} if where.origin else {},
            transport=(
                httpx2.AsyncHTTPTransport(verify=verify, local_address=where.local_address)
                if where.local_address
                else None
            ),
        )
        self._credentials = credentials
        self._wanted: bool | None = None
        """Whether tickets are; None while that is not known."""

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def ticket(self) -> str:
        """A new one, or empty when none is wanted. Raises NotConnected when it is refused."""
        try:
            if self._wanted is None:
                options = await self._client.get("/api/options")
                self._wanted = options.status_code == 200 and bool(options.json()["ticket_required"])
            if not self._wanted:
                return ""
            bearer = self._credentials.bearer
            answer = await self._client.post(
                "/api/tickets",
                json={"password": self._credentials.password} if self._credentials.password else {},
                headers={"Authorization": f"Bearer {bearer}"} if bearer else {},
            )
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            raise NotConnected(f"no ticket could be had: {type(error).__name__} {error}".strip()) from error
        if answer.status_code not in (200, 201):
            wait = answer.headers.get("Retry-After", "")
            raise NotConnected(
                f"no ticket was given (HTTP {answer.status_code}); --password or --api-key may be needed",
                status=answer.status_code,
                retry_after_s=float(wait) if wait.isdecimal() else None,
            )
        return str(answer.json()["ticket"])
