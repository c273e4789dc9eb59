"""What a conversation tells, as wire messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from antiphon.conversation import events
from antiphon.protocol import server_messages as wire
from antiphon.server.wire_errors import wire_failure
from antiphon.sessions.offer import free

Price = Callable[[events.ProviderCall], int | None]
"""What a call cost, in millionths of a US dollar; None when nobody knows."""


def wire_message(
    event: events.Event, price: Price = free, *, trace_id: str = "", frank: bool = True
) -> wire.ServerMessage | bytes | None:
    """The JSON message, or the binary one, that tells of an event; None for what clients are not told. ``frank``: as
    ``wire_failure`` says."""
    match event:
        case events.SpeechStarted():
            return wire.SpeechStarted(at_ms=_ms(event.at_s))
        case events.SpeechStopped():
            return wire.SpeechStopped(at_ms=_ms(event.at_s))
        case events.TranscriptChanged():
            return wire.Transcript(
                turn_id=event.turn_id, text=event.text, final=event.final, language=event.language
            )
        case events.ReplyStarted():
            return wire.ResponseStarted(turn_id=event.turn_id, reply_id=event.reply_id)
        case events.ReplyText():
            return wire.ResponseText(reply_id=event.reply_id, text=event.text)
        case events.AudioStarted():
            return wire.AudioStarted(reply_id=event.reply_id, from_ms=event.from_ms)
        case events.ReplyAudio():
            return event.pcm
        case events.AudioDone():
            return wire.AudioDone(reply_id=event.reply_id, total_ms=event.total_ms)
        case events.PlaybackChanged():
            return wire.Playback(reply_id=event.reply_id, action=event.action)
        case events.Interrupted():
            return wire.Interrupted(
                reply_id=event.reply_id, heard_ms=event.heard_ms, heard_text=event.heard_text
            )
        case events.ReplyDone():
            return _response_done(event, price, trace_id)
        case events.Decision():
            return wire.Decision(
                at_ms=_ms(event.at_s), kind=event.kind, reason=event.reason, details=dict(event.details)
            )
        case events.Notice():
            return wire.Notice(kind=event.kind, message=event.message)
        case events.ProviderCall():
            return None  # summed up in ``response_done``
        case events.Failed():
            return wire_failure(event, frank=frank)
        case _:
            assert_never(event)


def _response_done(event: events.ReplyDone, price: Price, trace_id: str) -> wire.ResponseDone:
    return wire.ResponseDone(
        turn_id=event.turn_id,
        reply_id=event.reply_id,
        text=event.text,
        latency_ms={name: round(ms, 1) for name, ms in event.latency_ms.items()},
        stages=tuple(
            wire.Stage(name=stage.name, start_ms=round(stage.start_ms, 1), end_ms=round(stage.end_ms, 1))
            for stage in event.stages
        ),
        usage=wire_usage(event.calls, price),
        interrupted=event.interrupted,
        error=event.error,
        trace_id=trace_id,
    )


def wire_usage(calls: Iterable[events.ProviderCall], price: Price = free) -> wire.Usage:
    """The sums over a reply's provider calls, and over those of them that were thrown away."""
    calls = tuple(calls)
    total = consumption(calls)
    return wire.Usage(
        calls=total.calls,
        audio_s=total.audio_s,
        input_tokens=total.input_tokens,
        cached_tokens=total.cached_tokens,
        output_tokens=total.output_tokens,
        characters=total.characters,
        discarded=consumption(call for call in calls if call.discarded),
        providers={call.kind: call.provider for call in calls},
        cost_usd=_cost_usd(calls, price),
    )


def _cost_usd(calls: Iterable[events.ProviderCall], price: Price) -> float | None:
    """The sum of the prices; None when one of them is not known."""
    total = 0
    for call in calls:
        cost = price(call)
        if cost is None:
            return None
        total += cost
    return total / 1_000_000


def consumption(calls: Iterable[events.ProviderCall]) -> wire.Consumption:
    """What the calls used, added up."""
    calls = tuple(calls)
    return wire.Consumption(
        calls=len(calls),
        audio_s=round(sum(call.usage.audio_s for call in calls), 3),
        input_tokens=sum(call.usage.input_tokens for call in calls),
        cached_tokens=sum(call.usage.cached_tokens for call in calls),
        output_tokens=sum(call.usage.output_tokens for call in calls),
        characters=sum(call.usage.characters for call in calls),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
