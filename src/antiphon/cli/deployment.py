"""The way to a deployment, looked at from outside link by link: name, port, certificate, HTTP/2, redirect."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import httpx2
from cryptography import x509

from antiphon.cli.finding import Finding
from antiphon.errors import SettingsError
from antiphon.load.link import tls_context
from antiphon.server.origins import is_loopback

PATIENCE_S = 10.0
"""How long one question may take."""

RENEWED_BEFORE_DAYS = 14
"""Let's Encrypt's certificates are renewed thirty days before their end: with fewer than this, renewing fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The deployment, as its users type it."""

    scheme: str
    host: str
    port: int
    insecure: bool
    """Whether a certificate that nobody vouches for is put up with."""
    ca: str | None = None
    """A file of certificates to trust instead of this machine's."""

    @property
    def url(self) -> str:
        """Without a path, the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return f"{self.scheme}://{host}" + ("" if self.port == usual else f":{self.port}")

    def tls(self) -> ssl.SSLContext:
        """As whoever looks trusts. Raises SettingsError."""
        return tls_context(insecure=self.insecure, ca=self.ca)


def address(url: str, *, insecure: bool = False, ca: str | None = None) -> Address:
    """Read ``https://your.domain``. Raises SettingsError when it is no such thing."""
    parts: SplitResult = urlsplit(url if "://" in url else f"https://{url}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise SettingsError(
            f"{url!r} is not the address of a deployment; write it as https://talk.example.org"
        )
    return Address(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or {"https": 443, "http": 80}[parts.scheme],
        insecure=insecure,
        ca=ca,
    )


def http_client(at: Address) -> httpx2.AsyncClient:
    """Asks as a browser's page would."""
    return httpx2.AsyncClient(
        base_url=at.url, verify=at.tls(), timeout=PATIENCE_S, headers={"Origin": at.url}
    )


async def way_findings(at: Address, *, http_port: int = 80) -> AsyncIterator[Finding]:
    """One finding a link of the way there; ends early at one without which the next cannot be (``is_the_end``)."""
    found = await name_finding(at)
    yield found
    if is_the_end(found):
        return
    found = await port_finding(at)
    yield found
    if is_the_end(found):
        return
    if at.scheme == "https":
        found = await certificate_finding(at)
        yield found
        if is_the_end(found):
            return
        yield await http2_finding(at)
        yield await redirect_finding(at, http_port)
    elif not is_loopback(at.host):
        yield Finding(
            about="TLS",
            level="fail",
            text=f"{at.url} is not encrypted: browsers give the microphone to https pages only.",
            advice="Put nginx with a certificate in front (docs/deploy.md).",
        )


def is_the_end(found: Finding) -> bool:
    """Whether nothing behind this link can be reached."""
    return found.level == "fail" and found.about in ("name", "port", "certificate")


async def name_finding(at: Address) -> Finding:
    """Does the name lead somewhere?"""
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return Finding(
            about="name",
            level="fail",
            text=f"{at.host} leads nowhere: {error.strerror or error}.",
            advice="Make an A record for it that points to the server, and wait until it has spread.",
        )
    addresses = sorted({str(answer[4][0]) for answer in answers})
    private = all(ip_address(each.partition("%")[0]).is_private for each in addresses)
    text = f"{at.host} is {', '.join(addresses)}"
    return Finding(about="name", level="ok", text=text + (", in this network" if private else ""))


async def port_finding(at: Address) -> Finding:
    """Is anybody there?"""
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(at.host, at.port)
    except TimeoutError:
        problem, advice = "did not answer", "A firewall drops it? Open the port there and at the provider."
    except OSError as error:
        problem = f"refused: {error.strerror or error}"
        advice = "Is nginx running (docker compose ps), and is the port published?"
    else:
        writer.close()
        return Finding(about="port", level="ok", text=f"port {at.port} is open")
    return Finding(about="port", level="fail", text=f"port {at.port} {problem}.", advice=advice)


async def certificate_finding(at: Address) -> Finding:
    """Is it vouched for, for this name, and how long?"""
    problem = ""
    try:
        certificate = await _certificate(at, tls_context(ca=at.ca))
    except ssl.SSLCertVerificationError as error:
        problem = error.verify_message or "not to be trusted"
    except (OSError, TimeoutError) as error:
        return Finding(
            about="certificate",
            level="fail",
            text=f"no TLS on port {at.port}: {error}.",
            advice="Is it the https port? nginx's log says more.",
        )
    if problem:
        return await _unsound(at, problem)
    days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    text = f"good for {at.host}, until {certificate.not_valid_after_utc:%Y-%m-%d} ({days} days)"
    if days < RENEWED_BEFORE_DAYS:
        return Finding(
            about="certificate",
            level="note",
            text=text,
            advice="It should have been renewed by now: docker compose logs certbot.",
        )
    return Finding(about="certificate", level="ok", text=text)


async def _certificate(at: Address, context: ssl.SSLContext) -> x509.Certificate:
    async with asyncio.timeout(PATIENCE_S):
        _, writer = await asyncio.open_connection(at.host, at.port, ssl=context, server_hostname=at.host)
    try:
        encoded = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(encoded)
    finally:
        writer.close()


async def _unsound(at: Address, problem: str) -> Finding:
    """What is wrong with a certificate that was not accepted, and what to do."""
    try:
        certificate = await _certificate(at, tls_context(insecure=True))
    except (OSError, TimeoutError) as error:
        text, advice = f"{problem}; {error}.", "nginx's log says more."
    else:
        text, advice = _told(certificate, problem)
    level: Literal["note", "fail"] = "note" if at.insecure else "fail"
    return Finding(about="certificate", level=level, text=text, advice=advice)


def _told(certificate: x509.Certificate, problem: str) -> tuple[str, str]:
    """In words of people who run a server: what it is, and what to do."""
    ended = certificate.not_valid_after_utc
    if ended < datetime.now(UTC):
        return f"it ended on {ended:%Y-%m-%d}.", "Renew it: docker compose logs certbot says why it was not."
    if certificate.issuer == certificate.subject:
        return (
            "it is self-signed: browsers warn, and give the microphone only after the warning was clicked away.",
            "For the internet: compose.tls.yaml (Let's Encrypt). In your own network: docs/deploy.md, phones.",
        )
    return (
        f"{problem}.",
        "It must name this domain, and come with its chain (fullchain.pem); an authority of your own: --ca.",
    )


async def http2_finding(at: Address) -> Finding:
    """May browsers ask for the page's files side by side? Only offered and seen: we ask over HTTP/1.1."""
    context = tls_context(insecure=True)
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(at.host, at.port, ssl=context, server_hostname=at.host)
    except (OSError, TimeoutError) as error:
        return Finding(
            about="HTTP/2",
            level="note",
            text=f"could not be tried: {error}.",
            advice="nginx's log says more.",
        )
    spoken = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    writer.close()
    if spoken == "h2":
        return Finding(about="HTTP/2", level="ok", text="spoken")
    return Finding(
        about="HTTP/2",
        level="note",
        text="not spoken: the page's files come a few at a time, and it opens later.",
        advice="`http2 on;` in nginx (before 1.25.1: `listen 443 ssl http2;`), or in what stands before it.",
    )


async def redirect_finding(at: Address, http_port: int) -> Finding:
    """Who types the name without https: is led there, and nowhere else."""
    plain = Address(scheme="http", host=at.host, port=http_port, insecure=True)
    try:
        async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
            answer = await client.get(plain.url + "/")
    except httpx2.HTTPError as error:
        return Finding(
            about="redirect",
            level="note",
            text=f"nobody answers at {plain.url} ({type(error).__name__}): who leaves out https:// sees nothing.",
            advice="Publish port 80 too; Let's Encrypt needs it as well.",
        )
    target = answer.headers.get("Location", "")
    if not answer.is_redirect or urlsplit(target).scheme != "https":
        return Finding(
            about="redirect",
            level="fail",
            text=f"{plain.url} answers {answer.status_code} without leading to https.",
            advice="Let port 80 only redirect (deploy/nginx/antiphon.conf.template does).",
        )
    if not _leads_to(at, target):
        return Finding(
            about="redirect",
            level="fail",
            text=f"{plain.url} leads to {target}, not to {at.url}.",
            advice="Redirect to the name that was asked for, with the port that is published (HTTPS_PORT).",
        )
    return Finding(about="redirect", level="ok", text=f"{plain.url} leads to {target}")


def _leads_to(at: Address, target: str) -> bool:
    try:
        there = address(target)
    except SettingsError:
        return False
    return (there.host, there.port) == (at.host, at.port)
