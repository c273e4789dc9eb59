"""``/metrics``: for Prometheus, and as JSON for whoever asks for that. Closed to strangers."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from antiphon.server.operator_access import OperatorAccess
from antiphon.telemetry.observability import Observability

Network = IPv4Network | IPv6Network

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""A proxy on this machine would make the whole world look local."""


class MetricsPage:
    """Who may read: those whose address is in ``networks``, and operators."""

    def __init__(
        self, observability: Observability, operators: OperatorAccess, *, networks: Collection[Network] = ()
    ) -> None:
        self._observability = observability
        self._operators = operators
        self._networks = tuple(networks)

    async def show(self, request: Request) -> Response:
        """``GET /metrics``. Raises what ``OperatorAccess.require`` raises."""
        if not self._is_near(request):
            await self._operators.require(request)
        accept = request.headers.get("accept", "")
        no_store = {"Cache-Control": "no-store", "Vary": "Accept"}
        metrics = self._observability.metrics
        if wants_json(accept):
            return JSONResponse(metrics.to_json(with_sessions=True), headers=no_store)
        body, content_type = metrics.exposition(accept)
        return Response(body, headers={"Content-Type": content_type, **no_store})

    def _is_near(self, request: Request) -> bool:
        if request.client is None or any(name in request.headers for name in FORWARDED):
            return False
        try:
            address = ip_address(request.client.host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


def wants_json(accept: str) -> bool:
    """Whether JSON is named, and no text form before it."""
    for part in accept.lower().split(","):
        match part.split(";")[0].strip():
            case "application/json":
                return True
            case "text/plain" | "application/openmetrics-text":
                return False
    return False
