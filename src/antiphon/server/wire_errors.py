"""The one place that turns an error into a wire message or a close code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from antiphon.conversation import events
from antiphon.errors import (
    AccessError,
    AntiphonError,
    ClientError,
    NoSuchSessionError,
    OperatorOffError,
    OriginError,
    ProviderUnavailable,
    RateLimitedError,
    RefusedError,
    TicketError,
)
from antiphon.protocol.connection import Closing
from antiphon.protocol.server_messages import Error

NORMAL = Closing(1000, "goodbye")
IDLE = Closing(1000, "nothing was said for too long")
RESTARTING = Closing(1012, "the server is restarting")
NO_START = Closing(1008, "no start message came")
TOO_SLOW = Closing(1008, "the client reads too slowly")
TAKEN_OVER = Closing(4000, "another connection goes on with this session")
MOVED = Closing(4001, "this session has gone to another replica")
BROKEN = Closing(1011, "internal error")
TRY_LATER = 1013
POLICY = 1008
HTTP_CODES = {404: "not_found", 405: "not_allowed", 413: "too_large"}
"""Status → code, of answers that are the framework's."""
ENDED = Closing(1000, "ended")
SPENT = Closing(TRY_LATER, "budget")

FOR_ANYBODY: Mapping[str, str] = {
    "provider_unavailable": "The service that answers cannot be reached just now; please try again.",
    "provider_rejected": "The service that answers would not take this; please tell whoever runs this server.",
    "provider_empty": "The service that answers gave no answer; please say it again.",
    "provider_failed": "The service that answers failed; please try again.",
    "model_unavailable": "What answers here is not ready; please tell whoever runs this server.",
    "store_unavailable": "The server cannot reach its memory just now; please try again.",
    "bad_setting": "This server is not set up as it should be; please tell whoever runs it.",
}
"""Code → what callers of a server that is not their own are told of a failure, in a conversation."""

INTERNAL = Error(
    code="internal",
    message="something went wrong on the server and this conversation is over; please connect again",
    retryable=True,
)


def wire_error(error: AntiphonError) -> Error:
    """The message that tells a client of an error."""
    retry_after_s = error.retry_after_s if isinstance(error, RefusedError | ProviderUnavailable) else None
    return Error(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after_ms=None if retry_after_s is None else round(retry_after_s * 1000),
    )


def wire_failure(event: events.Failed, *, frank: bool = True) -> Error:
    """The message that tells a client of a failure in its conversation. ``frank``: in the operator's own words, which
    name vendors, models and settings; else in words for anybody. The log has the former either way."""
    message = event.message if frank else FOR_ANYBODY.get(event.code, event.message)
    return Error(code=event.code, message=message, retryable=event.retryable)


async def http_error(_: Request, error: Exception) -> JSONResponse:
    """The HTTP answer that tells of a caller's error; an exception handler for the application."""
    assert isinstance(error, ClientError)
    told = wire_error(error)
    headers = {"Cache-Control": "no-store"}
    if told.retry_after_ms is not None:
        headers["Retry-After"] = str(math.ceil(told.retry_after_ms / 1000))
    if isinstance(error, AccessError):
        headers["WWW-Authenticate"] = "Bearer"
    body = {"code": told.code, "message": told.message, "retry_after_ms": told.retry_after_ms}
    return JSONResponse({"error": body}, status_code=http_status(error), headers=headers)


async def framework_problem(_: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses (no such path, a body that is no text), said as we say it."""
    assert isinstance(error, HTTPException)
    body = Problem(code=HTTP_CODES.get(error.status_code, ClientError.code), message=str(error.detail))
    return JSONResponse({"error": body.model_dump()}, status_code=error.status_code, headers=error.headers)


class Problem(BaseModel):
    """What went wrong."""

    code: str
    message: str
    retry_after_ms: int | None = None


class ProblemAnswer(BaseModel):
    """Any answer that is not a good one."""

    error: Problem


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the description of a route: it may answer so."""
    return {status: {"model": ProblemAnswer} for status in statuses}


def http_status(error: ClientError) -> int:
    """The status of an HTTP answer that tells of an error."""
    match error:
        case AccessError():
            return 401
        case OriginError() | OperatorOffError():
            return 403
        case NoSuchSessionError():
            return 404
        case RateLimitedError():
            return 429
        case RefusedError():
            return 503
        case _:
            return 400


async def unreadable_request(_: Request, error: Exception) -> JSONResponse:
    """The HTTP answer to a request that is not as it should be. Never what was in it: it may be a password."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    fault: Mapping[str, Any] = faults[0] if faults else {}
    field = ".".join(str(part) for part in fault.get("loc", ()) if part != "body")
    why = str(fault.get("msg", "it cannot be read"))
    problem = ClientError(f"`{field}`: {why}" if field else why)
    return await http_error(_, problem)


def refusal_closing(error: RefusedError | TicketError) -> Closing:
    """How a connection that is not let in is closed, with the error's own code as the reason: try again later, or not
    without another ticket."""
    return Closing(POLICY if isinstance(error, TicketError) else TRY_LATER, error.code)
