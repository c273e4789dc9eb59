"""What is done about a failure, by its cause: ask the same provider again, go on to the next, leave it alone a while.

Pure. The table is the policy; docs/resilience.md shows it to people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from antiphon.errors import AntiphonError, ModelError, ProviderEmpty, ProviderError, ProviderUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What a failure calls for."""

    again: bool = False
    """Whether the same request may succeed with the same provider, now."""
    others_first: bool = False
    """Whether the next in the chain is asked before the same provider is again."""
    counts: bool = True
    """Whether it says something about the provider: the breaker counts it."""
    rest_s: float = 0.0
    """Leave the provider alone for so long, from the first failure on; 0: as the breaker counts."""
    wait_s: float = 0.0
    """Wait so long before it is asked again in this turn, where that is worth while."""
    elsewhere: bool = True
    """Whether the next in the chain is asked."""


LONG_REST_S = 60.0
"""A wrong key or model is mended by a person. Asked once a minute, a revoked key that is restored is noticed, and
nobody is locked out for hammering with a bad one."""

QUOTA_REST_S = 120.0
"""Money is added by a person, too, and takes the vendors a minute or two to notice."""

RATE_LIMIT_REST_S = 2.0
"""When a provider does not say how long: its buckets refill by the second or the minute."""

SHORT_WISH_S = 0.4
"""A provider that asks for no more than this is waited for; a longer wait is spent better elsewhere."""

LONGEST_WISH_S = 60.0
"""A provider's own wish is followed up to here: some ask for an hour, and recover long before."""

TREATMENTS: Mapping[str, Treatment] = {
    "bad_key": Treatment(rest_s=LONG_REST_S),
    "quota": Treatment(rest_s=QUOTA_REST_S),
    "rate_limit": Treatment(again=True, rest_s=RATE_LIMIT_REST_S),
    "invalid_request": Treatment(counts=False),
    "unknown_model": Treatment(rest_s=LONG_REST_S),
    "unknown_voice": Treatment(counts=False),
    "filtered": Treatment(counts=False, elsewhere=False),
    "overloaded": Treatment(again=True),
    "timeout": Treatment(again=True, others_first=True),
    "unreachable": Treatment(again=True),
    "tls": Treatment(),
    "cut": Treatment(again=True),
    "malformed": Treatment(again=True),
    "empty": Treatment(again=True),
    "not_an_api": Treatment(rest_s=LONG_REST_S),
    "wrong_rate": Treatment(rest_s=LONG_REST_S),
    "model": Treatment(),
    "unavailable": Treatment(again=True),
    "rejected": Treatment(counts=False),
    "broken": Treatment(),
}
"""Cause → what is done. The last four are ours: an embedded model's failure, errors whose adapter named no cause, and
an adapter that broke its contract."""


def cause_of(error: AntiphonError) -> str:
    """The failure in a word that can be counted by."""
    if isinstance(error, ProviderError) and error.cause:
        return error.cause
    if isinstance(error, ProviderEmpty):
        return "empty"
    if isinstance(error, ModelError):
        return "model"
    return "unavailable" if error.retryable else "rejected"


def treatment_of(error: AntiphonError) -> Treatment:
    """What to do about it. A provider's own wish to be left alone is followed."""
    treatment = TREATMENTS.get(cause_of(error), Treatment(again=error.retryable, counts=error.retryable))
    wish = error.retry_after_s if isinstance(error, ProviderUnavailable) else None
    if wish is None or wish <= 0.0:
        return treatment
    if wish <= SHORT_WISH_S and treatment.again:
        return replace(treatment, rest_s=0.0, wait_s=wish)
    return replace(treatment, rest_s=min(wish, LONGEST_WISH_S))
