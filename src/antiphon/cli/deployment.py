"""A deployment looked at from outside, link by link: name, port, certificate, redirect, headers, closed doors."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import httpx2
from cryptography import x509

from antiphon.cli.finding import Finding
from antiphon.errors import SettingsError
from antiphon.server.origins import is_loopback

PATIENCE_S = 10.0
"""How long one question may take."""

RENEWED_BEFORE_DAYS = 14
"""Let's Encrypt's certificates are renewed thirty days before their end: with fewer than this, renewing fails."""

OPERATORS_ONLY = ("/metrics", "/api/sessions", "/operator")
CLOSED = frozenset({401, 403, 404})

WANTED_HEADERS = {
    "Content-Security-Policy": "default-src 'none'",
    "Permissions-Policy": "microphone=(self)",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Header → what it must hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The deployment, as its users type it."""

    scheme: str
    host: str
    port: int
    insecure: bool
    """Whether a certificate that nobody vouches for is put up with."""

    @property
    def url(self) -> str:
        """Without a path, the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return f"{self.scheme}://{host}" + ("" if self.port == usual else f":{self.port}")


def address(url: str, *, insecure: bool = False) -> Address:
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
    )


def http_client(at: Address) -> httpx2.AsyncClient:
    """Asks as a browser's page would."""
    return httpx2.AsyncClient(
        base_url=at.url, verify=not at.insecure, timeout=PATIENCE_S, headers={"Origin": at.url}
    )


async def look_at(at: Address, *, http_port: int | None = None) -> AsyncIterator[Finding]:
    """One finding a link of the chain; ends early at one without which the next cannot be."""
    found = await name_finding(at)
    yield found
    if found.level == "fail":
        return
    found = await port_finding(at)
    yield found
    if found.level == "fail":
        return
    if at.scheme == "https":
        found = await certificate_finding(at)
        yield found
        if found.level == "fail" and not at.insecure:
            return
        yield await redirect_finding(at, http_port or 80)
    elif not is_loopback(at.host):
        yield Finding(
            about="TLS",
            level="fail",
            text=f"{at.url} is not encrypted: browsers give the microphone to https pages only.",
            advice="Put nginx with a certificate in front (docs/deploy.md).",
        )
    async with http_client(at) as client:
        async for found in page_findings(at, client):
            yield found


async def name_finding(at: Address) -> Finding:
    """Does the name lead somewhere?"""
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return Finding(
            about="name",
            level="fail",
            text=f"{at.host} leads nowhere: {error.strerror or error}.",
            advice="Make an A (and AAAA) record for it that points to the server, and wait until it has spread.",
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
        certificate = await _certificate(at, ssl.create_default_context())
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
    anything = ssl.create_default_context()
    anything.check_hostname = False
    anything.verify_mode = ssl.CERT_NONE
    try:
        certificate = await _certificate(at, anything)
    except (OSError, TimeoutError) as error:
        return Finding(about="certificate", level="fail", text=f"{problem}; {error}.")
    ended = certificate.not_valid_after_utc
    own = certificate.issuer == certificate.subject
    if ended < datetime.now(UTC):
        text, advice = (
            f"it ended on {ended:%Y-%m-%d}.",
            "Renew it: docker compose logs certbot says why it was not.",
        )
    elif own:
        text = "it is self-signed: browsers warn, and give the microphone only after the warning was clicked away."
        advice = (
            "For the internet: compose.tls.yaml (Let's Encrypt). In your own network: docs/deploy.md, phones."
        )
    else:
        text, advice = f"{problem}.", "It must name this domain, and come with its chain (fullchain.pem)."
    level = "note" if at.insecure else "fail"
    return Finding(about="certificate", level="fail" if level == "fail" else "note", text=text, advice=advice)


async def redirect_finding(at: Address, http_port: int) -> Finding:
    """Who types the name without https: is led there."""
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
    if answer.is_redirect and target.startswith("https://"):
        return Finding(about="redirect", level="ok", text=f"{plain.url} leads to {target}")
    return Finding(
        about="redirect",
        level="fail",
        text=f"{plain.url} answers {answer.status_code} without leading to https.",
        advice="Let port 80 only redirect (deploy/nginx/antiphon.conf.template does).",
    )


async def page_findings(at: Address, client: httpx2.AsyncClient) -> AsyncIterator[Finding]:
    """The page, its headers, health, and the doors that must be closed."""
    try:
        page = await client.get("/")
        ready = await client.get("/ready")
    except httpx2.HTTPError as error:
        yield Finding(
            about="page",
            level="fail",
            text=f"{at.url} cannot be read: {error}.",
            advice="nginx is there, the assistant may not be: docker compose ps, docker compose logs assistant.",
        )
        return
    yield _page_finding(page)
    yield _headers_finding(at, page)
    yield _ready_finding(ready)
    yield await _doors_finding(at, client)


def _page_finding(page: httpx2.Response) -> Finding:
    if page.status_code == 200 and "html" in page.headers.get("Content-Type", ""):
        return Finding(about="page", level="ok", text=f"{len(page.content):,} bytes over {page.http_version}")
    return Finding(
        about="page",
        level="fail",
        text=f"/ answers {page.status_code} {page.headers.get('Content-Type', '')}.",
        advice="502 or 504: the assistant is not running; anything else: is another site served here?",
    )


def _headers_finding(at: Address, page: httpx2.Response) -> Finding:
    wrong = [name for name, words in WANTED_HEADERS.items() if words not in page.headers.get(name, "")]
    if "unsafe-inline" in page.headers.get("Content-Security-Policy", ""):
        wrong.append("Content-Security-Policy (allows inline code)")
    if at.scheme == "https" and "max-age=" not in page.headers.get("Strict-Transport-Security", ""):
        wrong.append("Strict-Transport-Security")
    if wrong:
        return Finding(
            about="headers",
            level="fail",
            text=f"missing or too weak: {', '.join(wrong)}.",
            advice="A proxy in between takes them off or adds its own; deploy/nginx/ passes them on.",
        )
    hsts = "HSTS, " if at.scheme == "https" else ""
    return Finding(
        about="headers", level="ok", text=f"content policy, microphone for this page only, {hsts}no sniffing"
    )


def _ready_finding(ready: httpx2.Response) -> Finding:
    try:
        body = ready.json()
        assert isinstance(body, dict)
    except (ValueError, AssertionError):
        return Finding(
            about="ready",
            level="fail",
            text=f"/ready answers {ready.status_code} without saying anything.",
            advice="docker compose logs assistant",
        )
    if body.get("ready"):
        return Finding(
            about="ready",
            level="ok",
            text=f"{body.get('sessions')} of {body.get('max_sessions')} conversations",
        )
    error = body.get("error") or {}
    why = "it is about to stop" if body.get("draining") else error.get("message") or "models are being loaded"
    return Finding(
        about="ready", level="fail", text=f"no calls are taken: {why}.", advice="Its log says more."
    )


async def _doors_finding(at: Address, client: httpx2.AsyncClient) -> Finding:
    """What belongs to operators must be closed to us."""
    open_doors = []
    for path in OPERATORS_ONLY:
        try:
            answer = await client.get(path)
        except httpx2.HTTPError:
            continue
        # The operator page itself may be shown: it asks for the token, and holds nothing.
        if answer.status_code not in CLOSED and not (
            path == "/operator" and "html" in answer.headers.get("Content-Type", "")
        ):
            open_doors.append(f"{path} ({answer.status_code})")
    if at.scheme == "http" and is_loopback(at.host) and open_doors == ["/metrics (200)"]:
        return Finding(
            about="operators",
            level="note",
            text="/metrics is open to this machine, from which we ask (ANTIPHON_METRICS_NETWORKS).",
            advice="Nothing, unless a proxy here leads the world to it: then set ANTIPHON_TRUSTED_PROXIES.",
        )
    if open_doors:
        return Finding(
            about="operators",
            level="fail",
            text=f"open to everybody: {', '.join(open_doors)}.",
            advice="Set ANTIPHON_OPERATOR_TOKEN, and close them in nginx (OPERATOR_NETWORK).",
        )
    return Finding(
        about="operators", level="ok", text="metrics, sessions and the operator page are closed to strangers"
    )
