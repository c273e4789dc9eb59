"""What ``antiphon doctor`` looks at around the server: who has its port, the shared store, the certificate in front."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from datetime import UTC, datetime

from antiphon.cli.finding import Finding
from antiphon.errors import StoreUnavailable
from antiphon.settings import Settings
from antiphon.store.valkey import open_valkey
from antiphon.telemetry.certificate import certificate_problem


def answers_already(settings: Settings) -> bool:
    """Whether the port is taken by a server of ours, as when ``doctor`` runs beside it."""
    return _answer(settings, "/health") == (200, b'{"status":"ok"}')


def ready_already(settings: Settings) -> bool:
    """Whether that server has loaded all it needs, and takes calls."""
    return answers_already(settings) and _answer(settings, "/ready")[0] == 200


def _answer(settings: Settings, path: str) -> tuple[int, bytes]:
    """Status and the body's beginning; status 0 where nobody answers."""
    here = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    asking = http.client.HTTPConnection(here, settings.port, timeout=2.0)
    try:
        asking.request("GET", path)
        answer = asking.getresponse()
        return answer.status, answer.read(100)
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        asking.close()


def store_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the store that replicas share can be reached."""
    if settings.store == "memory":
        return
    problem = asyncio.run(_store_problem(settings.store))
    if problem:
        yield Finding(
            about="store",
            level="fail",
            text=problem,
            advice="Is Valkey running there, and does ANTIPHON_STORE name its host, port and password?",
        )
    else:
        yield Finding(about="store", level="ok", text="the store answers")


async def _store_problem(url: str) -> str:
    """Why it cannot be used, empty when it can."""
    async with open_valkey(url) as valkey:
        try:
            with valkey.reaching():
                await valkey.client.ping()
        except StoreUnavailable as error:
            return error.message
    return ""


def certificate_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the certificate in front is for the domain, and good for a while."""
    if settings.certificate is None:
        return
    problem = certificate_problem(settings.certificate, settings.domain, datetime.now(UTC))
    if problem:
        yield Finding(
            about="certificate",
            level="note",
            text=problem,
            advice="Renew or replace it (docs/deploy.md, certificates); nginx takes the new one by itself.",
        )
    else:
        whom = f" for {settings.domain}" if settings.domain else ""
        yield Finding(about="certificate", level="ok", text=f"{settings.certificate} is good{whom}")
