"""Who counts what providers are asked: one ``Attempt`` for every request that really went out.

A reply may take several requests (a retry, a hedge, a fallback), each of which is billed. Whoever sends one reports
it here; whoever holds the conversation listens with ``counting``. The sink travels in a context variable, so that it
reaches through every wrapper, and into tasks started inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from antiphon.providers.base import Usage

Kind = Literal["asr", "llm", "tts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request to one provider, however it ended."""

    kind: Kind
    provider: str
    """``provider:model`` as chosen."""
    usage: Usage
    """What it is billed for: what the provider says, else what was sent and received."""
    model: str = ""
    """The model that answered, where the provider says; empty: as chosen."""
    transport: Literal["batch", "stream"] = "batch"
    """Recognisers have a price for each."""
    outcome: str = "ok"
    """``ok``, ``cancelled``, or the cause of the failure (``timeout``, ``rate_limit``, ``bad_key``, …)."""
    finish_reason: str = ""
    """Why a language model wrote no more, as ``base.Finished`` has it; empty when it did not come to an end."""
    began_s: float = 0.0
    """Loop time."""
    first_s: float | None = None
    """Loop time of the first thing it gave, None when it gave nothing."""
    ended_s: float = 0.0
    cached: bool = False
    """Answered from our own cache of speech: nothing was sent and nothing is billed."""


Sink = Callable[[Attempt], None]

_sink: ContextVar[Sink | None] = ContextVar("antiphon_attempts", default=None)


@contextmanager
def counting(sink: Sink) -> Iterator[None]:
    """Attempts reported inside are told to ``sink``, which must neither block nor raise."""
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)


def report(attempt: Attempt) -> None:
    """Tell of an attempt; without a listener it goes nowhere."""
    sink = _sink.get()
    if sink is not None:
        sink(attempt)
