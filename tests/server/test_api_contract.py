"""The HTTP API does what its description says, whatever is asked: by schemathesis."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import Receive, Scope, Send
from tests.server.house import scripted_assistant

from antiphon.server.application import Application, FrontDoor
from antiphon.server.credentials import ApiKeys, Password
from antiphon.sessions.readiness import Readiness

TOKEN = "operators only, thank you"
WAYS = (Password("open sesame, please"), ApiKeys({"shop": "key-of-the-shop-0123456789"}))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


async def load(readiness: Readiness) -> None:
    readiness.open(scripted_assistant())


def served() -> tuple[Application, Any]:
    """A server, and its description, which the server itself does not give out."""
    application = Application(FrontDoor(ways=WAYS, operator_token=TOKEN), load)
    description = json.dumps(application.routes.openapi()).encode()

    async def described(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/openapi.json":
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": description})
        else:
            await application.asgi(scope, receive, send)

    return application, schemathesis.openapi.from_asgi("/openapi.json", described)


APPLICATION, SCHEMA = served()
DESCRIPTION = APPLICATION.routes.openapi()
OPERATORS = served()[1].include(path_regex="^/api/(sessions|operator)")
"""A server of their own: strangers' attempts would slow them down."""


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_asked(case: Any) -> None:
    case.call_and_validate(checks=CHECKS)


@OPERATORS.parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_an_operator_asks(case: Any) -> None:
    answer = case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {TOKEN}"})
    assert case.path == "/api/operator" or answer.status_code not in (401, 403, 429), "all else is let in"


def test_the_description_names_every_endpoint() -> None:
    paths = set(DESCRIPTION["paths"])
    assert {
        "/health",
        "/ready",
        "/api/options",
        "/api/tickets",
        "/api/sessions",
        "/api/sessions/{id}",
    } <= paths


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc"])
def test_strangers_are_not_given_it(path: str) -> None:
    paths = {getattr(route, "path", "") for route in APPLICATION.routes.routes}
    assert "/health" in paths
    assert path not in paths
