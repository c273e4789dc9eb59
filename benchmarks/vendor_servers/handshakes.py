"""How a WebSocket is refused before it is one."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.vendor_servers.openai import PAGE
from benchmarks.vendor_servers.world import Fault, Kind, VendorWorld
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Response

PAGES: Mapping[Fault, int] = {"gateway": 502, "html": 200, "redirect": 301}


def denied(status: int, body: Mapping[str, Any]) -> Response:
    """An answer as the vendor words it."""
    return _answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def refusal_at_handshake(
    world: VendorWorld,
    kind: Kind,
    connection: ServerConnection,
    words: Mapping[Fault, tuple[int, Mapping[str, Any]]],
) -> Response | None:
    """When what goes wrong next is something that shows before there is a socket, it happens now."""
    fault = world.faults[kind][0] if world.faults[kind] else None
    if fault is None:
        return None
    if fault in words:
        world.faults[kind].popleft()
        answer = denied(*words[fault])
        if fault == "rate_limit":
            answer.headers["Retry-After"] = "1"
        return answer
    if fault in PAGES:
        world.faults[kind].popleft()
        where = {"Location": "https://elsewhere.example/v1?token=secret"} if fault == "redirect" else {}
        return _answer(PAGES[fault], PAGE.encode(), {"Content-Type": "text/html", **where})
    if fault == "drop":
        world.faults[kind].popleft()
        connection.transport.abort()
        return _answer(503, b"", {})  # which does not arrive
    return None


def _answer(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    sized = Headers({**headers, "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status, http.HTTPStatus(status).phrase, sized, body)
