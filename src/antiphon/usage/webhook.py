"""Alerts to a webhook: JSON, signed, tried again while the other side is down. Nothing else waits for it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

import httpx2
import stamina
import structlog

from antiphon.usage.alerts import Alert

Form = Literal["generic", "slack"]

WAITING = 100
"""Alerts kept while the webhook is down. A day has a dozen; more say nothing new, and the newest are given up."""

ATTEMPTS = 10
"""With waits that double from a second to two minutes: a webhook may be down for some ten minutes."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 120.0

TIMEOUT_S = 10.0

FAREWELL_S = 3.0
"""How long a server that stops waits for the other side to take what is left."""

SIGNATURE = "Antiphon-Signature"
"""``t=<seconds since 1970>,v1=<hex>``: HMAC-SHA256 of ``<t>.<body>`` under ANTIPHON_ALERT_SECRET. Who checks it refuses
an old ``t``, so that a request that was overheard is of no use."""

log = structlog.stdlib.get_logger(__name__)


class Refused(Exception):
    """The webhook answered with an error that may pass: 408, 429 or 5xx."""


class Webhook:
    """A ``Sink``. ``run`` sends, one after the other."""

    def __init__(
        self,
        url: str,
        *,
        client: httpx2.AsyncClient,
        wall: Callable[[], float],
        secret: str = "",
        form: Form = "generic",
    ) -> None:
        self.failed = 0
        self._url = url
        self._client = client
        self._wall = wall
        self._secret = secret.encode()
        self._form: Form = form
        self._waiting: asyncio.Queue[tuple[Alert, float]] = asyncio.Queue(WAITING)
        self._sending = False

    @property
    def waiting(self) -> int:
        """Alerts not taken yet."""
        return self._waiting.qsize() + self._sending

    def give(self, alert: Alert) -> None:
        """To be sent."""
        try:
            self._waiting.put_nowait((alert, self._wall()))
        except asyncio.QueueFull:
            self.failed += 1

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            alert, at = await self._waiting.get()
            self._sending = True
            try:
                if await self._send(alert, at):
                    alert.delivered()
            except Exception as error:  # noqa: BLE001 - the edge: whatever one alert meets with, others are sent
                self.failed += 1
                # Only the host, and no traceback: the path of a webhook is as good as a password.
                log.error("alert not delivered", host=urlsplit(self._url).hostname, problem=describe(error))
            finally:
                self._sending = False
                self._waiting.task_done()

    async def all_sent(self) -> None:
        """Returns when nothing waits any more: it was taken, or given up. Safe to cancel."""
        await self._waiting.join()

    async def _send(self, alert: Alert, at: float) -> bool:
        """Whether it was taken."""
        body = json.dumps(payload(alert, at, self._form), ensure_ascii=False).encode()
        retrying = stamina.retry_context(
            on=(httpx2.TransportError, Refused),
            attempts=ATTEMPTS,
            timeout=None,
            wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
            wait_jitter=FIRST_WAIT_S,
        )
        async for attempt in retrying:
            with attempt:
                headers = {"Content-Type": "application/json", **self._signature(body)}
                answer = await self._client.post(self._url, content=body, headers=headers)
                if answer.status_code in (408, 429) or answer.status_code >= 500:
                    raise Refused(f"it answered {answer.status_code}")
                if answer.is_error or answer.is_redirect:
                    self.failed += 1
                    log.error(
                        "alert refused",
                        host=urlsplit(self._url).hostname,
                        status=answer.status_code,
                        setting="ANTIPHON_ALERT_WEBHOOK",
                    )
                    return False
        return True

    def _signature(self, body: bytes) -> dict[str, str]:
        if not self._secret:
            return {}
        at = str(int(self._wall()))
        return {SIGNATURE: f"t={at},v1={signature(self._secret, at, body)}"}


def signature(secret: bytes, at: str, body: bytes) -> str:
    """What whoever receives an alert works out, and compares."""
    return hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()


def payload(alert: Alert, at: float, form: Form) -> dict[str, object]:
    """What is posted."""
    if form == "slack":
        mark = {"info": ":information_source:", "warning": ":warning:", "critical": ":rotating_light:"}[
            alert.severity
        ]
        return {"text": f"{mark} *Antiphon*: {alert.message}"}
    return {
        "source": "antiphon",
        "at": round(at, 3),
        "kind": alert.kind,
        "severity": alert.severity,
        "message": alert.message,
        "name": alert.name,
        "details": dict(alert.details),
    }


def describe(error: Exception) -> str:
    """For the log, without the address."""
    return str(error) if isinstance(error, Refused) else type(error).__name__


@asynccontextmanager
async def open_webhook(
    url: str, *, wall: Callable[[], float], secret: str = "", form: Form = "generic"
) -> AsyncIterator[Webhook]:
    """A webhook that sends while this is open; then what is left, for a moment."""
    async with httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
        webhook = Webhook(url, client=client, wall=wall, secret=secret, form=form)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(webhook.run())
            try:
                yield webhook
            finally:
                # Also when the server is told to stop, by a cancel.
                with suppress(TimeoutError):
                    async with asyncio.timeout(FAREWELL_S):
                        await webhook.all_sent()
                sending.cancel()
