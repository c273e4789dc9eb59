"""The certificate that the proxy in front presents: for whom it is, and when it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from antiphon.telemetry.logs import logger

ENDS_SOON = timedelta(days=14)
"""Renewing usually happens thirty days before the end: with less than this left, it fails."""

FIRST_LOOK_S = 60.0
"""A proxy that waits for this server before it starts has put its certificate there by then."""

LOOK_EVERY_S = 3_600.0
SAY_EVERY_S = 86_400.0

log = logger(__name__)


class CertificateWatch:
    """Looks at the file every hour. ``end`` is when its certificate ends, in seconds since 1970; None while there is
    none that can be read."""

    def __init__(self, path: Path, domain: str = "", *, now: Callable[[], float] = time.time) -> None:
        """``domain``: whom it must be for; empty: anybody. ``now``: seconds since 1970."""
        self.end: float | None = None
        self._path = path
        self._domain = domain
        self._now = now
        self._said: tuple[str, float] = ("", 0.0)

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(FIRST_LOOK_S)
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """What is wrong is logged when it is new, and again every day."""
        now = self._now()
        certificate = read_certificate(self._path)
        self.end = (
            certificate.not_valid_after_utc.timestamp() if isinstance(certificate, x509.Certificate) else None
        )
        problem = certificate_problem(self._path, self._domain, datetime.fromtimestamp(now, UTC))
        said, at = self._said
        if problem and (problem != said or now - at >= SAY_EVERY_S):
            log.warning("certificate", problem=problem)
            self._said = (problem, now)


def read_certificate(path: Path) -> x509.Certificate | str:
    """The first certificate of the file (PEM), or why there is none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except ValueError:
        return f"{path} is not a PEM certificate"


def certificate_problem(path: Path, domain: str, now: datetime) -> str:
    """What is wrong with the file, for people; empty when nothing is. An empty ``domain`` is any."""
    certificate = read_certificate(path)
    if isinstance(certificate, str):
        return certificate
    end = certificate.not_valid_after_utc
    if end <= now:
        return f"{path} ended on {end:%Y-%m-%d}: browsers refuse it"
    names = certificate_names(certificate)
    if domain and domain not in names and "*." + domain.partition(".")[2] not in names:
        return f"{path} is for {', '.join(sorted(names)) or 'no name'}, not for {domain}: browsers refuse it"
    if end - now < ENDS_SOON:
        return f"{path} ends on {end:%Y-%m-%d}, in {(end - now).days} days"
    return ""


def certificate_names(certificate: x509.Certificate) -> set[str]:
    """Names and addresses that it is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in extension.value}
