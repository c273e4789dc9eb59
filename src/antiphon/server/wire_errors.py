"""The one place that turns an error into a wire message or a close code."""

from __future__ import annotations

from antiphon.conversation import events
from antiphon.errors import AntiphonError, ProviderUnavailable, RefusedError
from antiphon.protocol.connection import Closing
from antiphon.protocol.server_messages import Error

NORMAL = Closing(1000, "goodbye")
IDLE = Closing(1000, "nothing was sent for too long")
RESTARTING = Closing(1012, "the server is restarting")
NO_START = Closing(1008, "no start message came")
TOO_SLOW = Closing(1008, "the client reads too slowly")
BROKEN = Closing(1011, "internal error")
TRY_LATER = 1013
SPENT = Closing(TRY_LATER, "budget")

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


def wire_failure(event: events.Failed) -> Error:
    """The message that tells a client of a failure in its conversation."""
    return Error(code=event.code, message=event.message, retryable=event.retryable)


def refusal_closing(error: RefusedError) -> Closing:
    """How a connection that is not let in is closed: try again later, with the error's own code as the
    reason."""
    return Closing(TRY_LATER, error.code)
