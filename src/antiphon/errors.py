"""The error tree: whose fault, whether trying again may help, and a stable code.

    AntiphonError
    ├── ClientError              the caller sent something we cannot use
    │   ├── ProtocolError        a message that is not antiphon.v1
    │   ├── AudioError           sound that is not what was announced
    │   ├── AccessError          a password, key or token that is missing or wrong
    │   │   └── TicketError      a ticket that is missing, used, expired or another's
    │   ├── OriginError          a web page from elsewhere
    │   ├── OperatorOffError     operators' endpoints, and no token set for them
    │   ├── NoSuchSessionError   a session that there is not, or not any more
    │   ├── EndedError           the operator, or a limit, ended the conversation
    │   └── RefusedError         not let in: busy                              (retryable)
    │       ├── LagError         busy, because its event loop is late          (retryable)
    │       ├── RateLimitedError too many from one address                     (retryable)
    │       ├── LoadingError     the models are not ready yet                  (retryable)
    │       ├── DrainingError    the server is about to stop                   (retryable)
    │       ├── StoreAwayError   the store that replicas share cannot be reached (retryable)
    │       ├── SetAsideError    what is left of the budget is set aside       (retryable)
    │       └── BudgetError      the budget is spent
    ├── ProviderError            a speech or language provider did not do its work
    │   ├── ProviderUnavailable  unreachable, overloaded, timed out, cut off   (retryable)
    │   ├── ProviderRejected     bad key, unknown model, invalid request
    │   └── ProviderEmpty        it answered with nothing                      (retryable)
    ├── ModelError               an embedded model is missing, altered or will not load
    ├── StoreUnavailable         the store that replicas share cannot be used   (retryable)
    └── SettingsError            a setting that is unknown or impossible

Messages are for people: what was wrong, what was expected, what to do. They never hold speech,
keys or tickets. ``server/wire_errors.py`` is the one place that turns an error into a wire message.
"""

from __future__ import annotations

from typing import ClassVar


class AntiphonError(Exception):
    """Base of every error this package raises on purpose.

    ``code`` is stable and goes over the wire; ``retryable`` says whether the same request may succeed later.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ClientError(AntiphonError):
    """The caller sent something we cannot use; only that caller is told."""

    code = "bad_request"


class ProtocolError(ClientError):
    """A message that is not antiphon.v1."""

    code = "bad_message"


class AudioError(ClientError):
    """Sound that is not what was announced: odd length, too large, wrong rate, not a WAV."""

    code = "bad_audio"


class AccessError(ClientError):
    """A password, key or token is missing or wrong."""

    code = "unauthorized"


class TicketError(AccessError):
    """A ticket is missing, used, expired, or was given to another."""

    code = "bad_ticket"


class OriginError(ClientError):
    """A web page from an origin that may not use this server."""

    code = "bad_origin"


class OperatorOffError(ClientError):
    """What only operators may see, on a server that has no operator token."""

    code = "operator_off"


class NoSuchSessionError(ClientError):
    """A session that there is not, or not any more, or a name that fits several."""

    code = "no_such_session"


class EndedError(ClientError):
    """The conversation was ended from outside: by an operator, or by the limit on its length."""

    code = "ended"


class RefusedError(ClientError):
    """Not let in. ``retry_after_s`` says when to try again, in seconds."""

    code = "busy"
    retryable = True
    reason: ClassVar[str] = ""
    """For logs and metrics, where the code does not tell all; empty: the code does."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LagError(RefusedError):
    """As busy as it can be while the conversations there are go well: the event loop is late."""

    reason = "lag"


class RateLimitedError(RefusedError):
    """Too many connections, attempts or messages from one address."""

    code = "rate_limited"


class LoadingError(RefusedError):
    """The models are not ready yet."""

    code = "loading"


class DrainingError(RefusedError):
    """The server is about to stop; another one, or this one started anew, will answer."""

    code = "draining"


class StoreAwayError(RefusedError):
    """What is asked for is in the store that replicas share, and that cannot be reached."""

    code = "store_away"


class SetAsideError(RefusedError):
    """What is left of the budget is set aside for turns under way; some of it is free again when they are over."""

    code = "set_aside"


class BudgetError(RefusedError):
    """What the operator allows to be spent is spent. ``retry_after_s`` says when it is filled up again, if it
    is soon."""

    code = "budget"
    retryable = False


class ProviderError(AntiphonError):
    """A speech or language provider did not do its work. ``provider`` names it, as in
    ``openai:gpt-4o-mini``; ``cause`` says why in a word that programs can count by: bad_key, quota,
    rate_limit, invalid_request, unknown_model, unknown_voice, filtered, overloaded, timeout, unreachable, tls,
    cut, malformed, empty, not_an_api, wrong_rate; empty when nobody said."""

    code = "provider_failed"

    def __init__(self, message: str, *, provider: str, cause: str = "") -> None:
        super().__init__(message)
        self.provider = provider
        self.cause = cause


class ProviderUnavailable(ProviderError):
    """Unreachable, overloaded, too slow or cut off. ``retry_after_s`` is the provider's own wish, if it
    gave one."""

    code = "provider_unavailable"
    retryable = True

    def __init__(
        self, message: str, *, provider: str, retry_after_s: float | None = None, cause: str = ""
    ) -> None:
        super().__init__(message, provider=provider, cause=cause)
        self.retry_after_s = retry_after_s


class ProviderRejected(ProviderError):
    """The provider understood and said no: bad key, unknown model or voice, invalid request."""

    code = "provider_rejected"


class ProviderEmpty(ProviderError):
    """The provider answered with nothing."""

    code = "provider_empty"
    retryable = True


class ModelError(AntiphonError):
    """An embedded model is missing, altered or will not load. ``model_id`` is its catalog id."""

    code = "model_unavailable"

    def __init__(self, message: str, *, model_id: str) -> None:
        super().__init__(message)
        self.model_id = model_id


class StoreUnavailable(AntiphonError):
    """The store that replicas share cannot be reached, or refused."""

    code = "store_unavailable"
    retryable = True


class SettingsError(AntiphonError):
    """A setting that is unknown or impossible. The message names it, its value and what is allowed."""

    code = "bad_setting"
