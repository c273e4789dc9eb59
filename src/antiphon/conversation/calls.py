"""What a session asks of providers: every request is told when it ends, and summed up with the reply it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from antiphon.conversation.events import ProviderCall
from antiphon.errors import ProviderError
from antiphon.providers.base import Usage
from antiphon.providers.metering import Attempt, counting

KEEP_CALLS = 200
"""Calls kept until a reply reports them: a user who talks for minutes makes one or two a second."""


@dataclass(slots=True, kw_only=True)
class Asking:
    """One question to a provider. Wrapped providers report each request that it took; for one that does not, what is
    noted here is told as a single request."""

    kind: Literal["asr", "llm", "tts"]
    provider: str
    transport: Literal["batch", "stream"] = "batch"
    usage: Usage = field(default_factory=Usage)
    """What is billed; known best at the end, estimated until then."""
    model: str = ""
    finish_reason: str = ""
    """As ``Finished.reason``."""
    turn_id: str = ""
    reply_id: str = ""
    first: float | None = None
    """Loop time of the first thing given."""
    reported: bool = False

    def got(self, now: float) -> None:
        """Something came."""
        if self.first is None:
            self.first = now


class CallLog:
    """One session's. ``tell`` takes an event and never waits; None: nobody is told."""

    def __init__(self, tell: Callable[[ProviderCall], None] | None) -> None:
        self._tell = tell
        self._calls: list[ProviderCall] = []
        self._discarded: set[str] = set()

    def discard(self, reply_id: str) -> None:
        """A speculative reply is thrown away, with all calls made for it."""
        self._discarded.add(reply_id)

    def take(self) -> tuple[ProviderCall, ...]:
        """The calls since the last ``take``, those for discarded replies marked."""
        calls, self._calls = self._calls, []
        # The same objects as were told when they ended, so that listeners know them again.
        marked = tuple(
            replace(call, discarded=True) if call.reply_id in self._discarded else call for call in calls
        )
        self._discarded.clear()
        return marked

    @contextmanager
    def asking(self, asking: Asking, *, speculative: bool = False) -> Iterator[Asking]:
        """Count what is asked inside, however it ends."""
        loop = asyncio.get_running_loop()
        began = loop.time()

        def told(attempt: Attempt) -> None:
            asking.reported = True
            self._add(
                call_of(attempt, turn_id=asking.turn_id, reply_id=asking.reply_id, speculative=speculative)
            )

        outcome = "ok"
        try:
            with counting(told):
                yield asking
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "cancelled"
            raise
        except ProviderError as error:
            outcome = error.code
            raise
        except TimeoutError:
            outcome = "timeout"
            raise
        finally:
            if not asking.reported:
                self._add(_of_asking(asking, outcome, speculative, began, loop.time()))

    def _add(self, call: ProviderCall) -> None:
        if len(self._calls) < KEEP_CALLS:
            self._calls.append(call)
        if self._tell is not None:
            self._tell(call)


def call_of(
    attempt: Attempt, *, turn_id: str = "", reply_id: str = "", speculative: bool = False
) -> ProviderCall:
    """A request, as listeners are told of it."""
    return ProviderCall(
        kind=attempt.kind,
        provider=attempt.provider,
        usage=attempt.usage,
        turn_id=turn_id,
        reply_id=reply_id,
        speculative=speculative,
        cancelled=attempt.outcome == "cancelled",
        model=attempt.model,
        transport=attempt.transport,
        outcome=attempt.outcome,
        finish_reason=attempt.finish_reason,
        first_ms=None if attempt.first_s is None else (attempt.first_s - attempt.began_s) * 1_000.0,
        total_ms=(attempt.ended_s - attempt.began_s) * 1_000.0,
        cached=attempt.cached,
    )


def _of_asking(asking: Asking, outcome: str, speculative: bool, began: float, ended: float) -> ProviderCall:
    return ProviderCall(
        kind=asking.kind,
        provider=asking.provider,
        usage=asking.usage,
        turn_id=asking.turn_id,
        reply_id=asking.reply_id,
        speculative=speculative,
        cancelled=outcome == "cancelled",
        model=asking.model,
        transport=asking.transport,
        outcome=outcome,
        finish_reason=asking.finish_reason,
        first_ms=None if asking.first is None else (asking.first - began) * 1_000.0,
        total_ms=(ended - began) * 1_000.0,
    )
