"""A deployment's page looked at from outside: what it sends along, whether calls are taken, and the doors that must be
closed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx2

from antiphon.cli.deployment import Address, http_client
from antiphon.cli.finding import Finding
from antiphon.server.origins import is_loopback

OPERATORS_ONLY = ("/metrics", "/api/sessions", "/api/operator/now")
OPERATORS_PAGE = "/operator"
"""Asks for the token, and holds nothing: it may be seen, and needs not be."""

WANTED_HEADERS = {
    "Content-Security-Policy": ("default-src 'none'", "frame-ancestors 'none'"),
    "Permissions-Policy": ("microphone=(self)",),
    "X-Content-Type-Options": ("nosniff",),
    "Referrer-Policy": ("no-referrer",),
}
"""Header → what it must hold."""

UNSAFE = ("'unsafe-inline'", "'unsafe-eval'")
"""What a content policy must not hold: either lets an injected script run."""

HSTS_LEAST_S = 86_400
"""Less is forgotten before the next visit, and 0 makes browsers forget at once."""


async def page_findings(at: Address) -> AsyncIterator[Finding]:
    """The page, its headers, health, and the doors that must be closed."""
    async with http_client(at) as client:
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
        return Finding(about="page", level="ok", text=f"{len(page.content):,} bytes")
    return Finding(
        about="page",
        level="fail",
        text=f"/ answers {page.status_code} {page.headers.get('Content-Type', '')}.",
        advice="502 or 504: the assistant is not running; anything else: is another site served here?",
    )


def _headers_finding(at: Address, page: httpx2.Response) -> Finding:
    wrong = [
        name
        for name, words in WANTED_HEADERS.items()
        if not all(each in page.headers.get(name, "") for each in words)
    ]
    if any(word in page.headers.get("Content-Security-Policy", "") for word in UNSAFE):
        wrong.append("Content-Security-Policy (lets injected code run)")
    if at.scheme == "https" and _hsts_s(page) < HSTS_LEAST_S:
        wrong.append("Strict-Transport-Security")
    if wrong:
        return Finding(
            about="headers",
            level="fail",
            text=f"missing or too weak: {', '.join(wrong)}.",
            advice="A proxy in between takes them off or adds its own; deploy/nginx/ passes them on (HSTS_SECONDS).",
        )
    hsts = "HSTS, " if at.scheme == "https" else ""
    return Finding(
        about="headers", level="ok", text=f"content policy, microphone for this page only, {hsts}no sniffing"
    )


def _hsts_s(page: httpx2.Response) -> int:
    found = re.search(r'max-age="?(\d+)', page.headers.get("Strict-Transport-Security", ""), re.IGNORECASE)
    return int(found[1]) if found else 0


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
    try:
        found = {path: await client.get(path) for path in (*OPERATORS_ONLY, OPERATORS_PAGE)}
    except httpx2.HTTPError as error:
        return Finding(
            about="operators",
            level="note",
            text=f"their doors could not be tried: {type(error).__name__}.",
            advice="Run this again; docker compose logs nginx assistant.",
        )
    page = found[OPERATORS_PAGE]
    shown = page.is_success and "html" in page.headers.get("Content-Type", "")
    # What leads elsewhere, or fails, is not open.
    open_doors = [
        f"{path} ({answer.status_code})"
        for path, answer in found.items()
        if answer.is_success and not (path == OPERATORS_PAGE and shown)
    ]
    at_home = at.scheme == "http" and is_loopback(at.host)
    if at_home and open_doors == ["/metrics (200)"]:
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
    if shown and not at_home:
        return Finding(
            about="operators",
            level="note",
            text="the operator page can be seen from here; it asks for the token, and shows nothing without.",
            advice="OPERATOR_NETWORK in deploy/.env names who may see it.",
        )
    return Finding(
        about="operators", level="ok", text="metrics, sessions and the operator page are closed to strangers"
    )
