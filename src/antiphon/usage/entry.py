"""What the ledger keeps: one entry for each request to a provider. Nothing spoken or written is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from antiphon.conversation.events import ProviderCall
from antiphon.usage.prices import Priced


class Entry(NamedTuple):
    """One request, priced when it ended. A tuple, as it is the row that is written: one is made for every call."""

    id: str
    """Unique for ever: writing an entry again changes nothing."""
    at_ms: int
    """When it ended, ms since 1970."""
    day: str
    """The day it is booked on, in the set time zone: ``2026-11-23``."""
    session: str
    turn: str
    reply: str
    caller: str
    """Name of the API key or user it is billed to; empty when anybody may talk."""
    kind: str
    """``asr``, ``llm``, ``tts``"""
    provider: str
    model: str
    """The one that answered, where the provider says, else the one that was asked."""
    transport: str
    audio_ms: int
    input_tokens: int
    """The cached ones included."""
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    characters: int
    total_ms: int
    """How long it took."""
    speculative: int
    """1: made before the turn was confirmed."""
    cancelled: int
    cached: int
    """1: answered from our own cache, nothing was sent."""
    outcome: str
    micros: int | None
    """Millionths of a US dollar; None: no price is known."""
    estimated: int
    """1: what is billed was estimated."""

    @property
    def accounts(self) -> tuple[str, ...]:
        """What its cost counts towards."""
        return accounts(day=self.day, session=self.session, caller=self.caller)


SERVER = "server"
"""The session of what no conversation asked for: whether a provider is back, apologies voiced ahead."""

COLUMNS = Entry._fields


def accounts(*, day: str, session: str, caller: str) -> tuple[str, ...]:
    """Where money is counted: the day, the session, and where there is one the caller's day."""
    whole = (day_account(day), session_account(session))
    return (*whole, caller_account(day, caller)) if caller else whole


def day_account(day: str) -> str:
    return f"day {day}"


def session_account(session: str) -> str:
    return f"session {session}"


def caller_account(day: str, caller: str) -> str:
    return f"key {day} {caller}"


def entry_of(
    call: ProviderCall, priced: Priced | None, *, id: str, at_ms: int, day: str, session: str, caller: str
) -> Entry:
    """What is kept of a call."""
    provider, _, asked = call.provider.partition(":")
    usage = call.usage
    return Entry(
        id=id,
        at_ms=at_ms,
        day=day,
        session=session,
        turn=call.turn_id,
        reply=call.reply_id,
        caller=caller,
        kind=call.kind,
        provider=provider,
        model=call.model or asked,
        transport=call.transport,
        audio_ms=round(usage.audio_s * 1_000),
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        characters=usage.characters,
        total_ms=round(call.total_ms),
        speculative=int(call.speculative),
        cancelled=int(call.cancelled),
        cached=int(call.cached),
        outcome=call.outcome,
        micros=None if priced is None else priced.micros,
        estimated=int(priced is not None and priced.estimated),
    )


def of_row(row: Sequence[Any]) -> Entry:
    """An entry read again, from values in the order of ``COLUMNS``."""
    return Entry._make(row)


def to_json(entry: Entry) -> Mapping[str, Any]:
    """As an export has it: with the cost in dollars beside the micro-dollars."""
    cost = None if entry.micros is None else entry.micros / 1_000_000
    return {**entry._asdict(), "cost_usd": cost}
