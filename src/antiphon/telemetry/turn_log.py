"""One turn, line by line: what was heard, which providers were asked, when it sounded, how it ended. Every line has the
turn's full name (``turn=SESSION/t4``) and the stage, so that one ``grep`` shows its way from speech to text to speech.

What was said is in none of them, unless the operator asked for it.
"""

from __future__ import annotations

from typing import Any, Protocol

from antiphon.conversation import events
from antiphon.conversation.listening import SessionFacts
from antiphon.telemetry.logs import logger

STAGE_NAMES = {"asr": "speech to text", "llm": "language", "tts": "text to speech"}
"""What the line of a provider's request is called."""


class Logger(Protocol):
    """Where lines go."""

    def debug(self, event: str, **fields: Any) -> Any: ...

    def info(self, event: str, **fields: Any) -> Any: ...

    def warning(self, event: str, **fields: Any) -> Any: ...


class TurnLog:
    """A listener that writes lines. ``transcripts``: whether they hold what was said."""

    def __init__(self, *, transcripts: bool = False, log: Logger | None = None) -> None:
        self._transcripts = transcripts
        # Bound once: the lazy one is put together anew for every line, which takes half as long as writing it.
        self._log: Logger = log if log is not None else logger("antiphon.turns").bind()
        self._replies: dict[str, dict[str, str]] = {}
        """Session → reply → turn, of the replies under way."""

    def opened(self, session: SessionFacts) -> None:
        """Said by whoever opens it."""

    def closed(self, session_id: str, reason: str) -> None:
        """Said by whoever closes it."""
        self._replies.pop(session_id, None)

    def refused(self, reason: str) -> None:
        """Said by whoever refuses."""

    def told(self, session_id: str, event: events.Event) -> None:
        """A line for what an operator would look for; none for what happens many times a second."""
        match event:
            case events.TranscriptChanged(final=True):
                self._heard(session_id, event)
            case events.ProviderCall():
                self._asked(session_id, event)
            case events.ReplyStarted():
                self._replies.setdefault(session_id, {})[event.reply_id] = event.turn_id
            case events.AudioStarted():
                self._log.info("sounding", **self._of_reply(session_id, event.reply_id), stage="sound")
            case events.Interrupted():
                named = self._of_reply(session_id, event.reply_id)
                self._log.info("interrupted", **named, stage="sound", ms=event.heard_ms)
            case events.ReplyDone():
                self._answered(session_id, event)
            case events.Decision():
                self._decided(session_id, event)
            case events.Notice():
                self._log.info("notice", session_id=session_id, kind=event.kind)
            case events.Failed():
                self._log.warning(
                    "failed",
                    session_id=session_id,
                    code=event.code,
                    problem=event.message,
                    retryable=event.retryable,
                )
            case _:
                pass

    def _of_reply(self, session_id: str, reply_id: str) -> dict[str, str]:
        turn_id = self._replies.get(session_id, {}).get(reply_id, "")
        return _named(session_id, turn_id, reply_id)

    def _heard(self, session_id: str, event: events.TranscriptChanged) -> None:
        said = {"user_said": event.text} if self._transcripts else {}
        self._log.info(
            "turn heard" if event.text else "turn taken back",
            **_named(session_id, event.turn_id),
            stage="turn",
            words=len(event.text.split()),
            language=event.language,
            **said,
        )

    def _asked(self, session_id: str, call: events.ProviderCall) -> None:
        write = self._log.info if call.outcome == "ok" else self._log.warning
        if call.cancelled:  # several a turn: interim words, and what was prepared and not wanted
            write = self._log.debug
        usage = call.usage
        amounts: dict[str, float] = {
            "audio_s": round(usage.audio_s, 2),
            "input_tokens": usage.input_tokens,
            "cached_tokens": usage.cached_tokens,
            "output_tokens": usage.output_tokens,
            "characters": usage.characters,
        }
        write(
            STAGE_NAMES[call.kind],
            **_named(session_id, call.turn_id, call.reply_id),
            stage=call.kind,
            provider=call.provider,
            outcome=call.outcome,
            ms=round(call.total_ms, 1),
            first_ms=None if call.first_ms is None else round(call.first_ms, 1),
            speculative=call.speculative,
            cached=call.cached,
            **{name: amount for name, amount in amounts.items() if amount},
        )

    def _answered(self, session_id: str, event: events.ReplyDone) -> None:
        self._replies.get(session_id, {}).pop(event.reply_id, None)
        write = self._log.warning if event.error else self._log.info
        said = {"assistant_said": event.text} if self._transcripts else {}
        write(
            "turn over",
            **_named(session_id, event.turn_id, event.reply_id),
            stage="reply",
            ms=round(event.latency_ms["first_sound"], 1) if "first_sound" in event.latency_ms else None,
            **{
                f"{stage}_ms": round(ms, 1)
                for stage, ms in event.latency_ms.items()
                if stage != "first_sound"
            },
            calls=len(event.calls),
            interrupted=event.interrupted,
            error=event.error,
            **said,
        )

    def _decided(self, session_id: str, event: events.Decision) -> None:
        self._log.debug(
            event.reason, session_id=session_id, stage="decision", kind=event.kind, at_s=round(event.at_s, 3)
        )


def _named(session_id: str, turn_id: str, reply_id: str = "") -> dict[str, str]:
    """Turns count from t1 in every session: only both names together are one turn's."""
    names = {"session_id": session_id, "turn_id": turn_id, "reply_id": reply_id}
    if turn_id:
        names["turn"] = f"{session_id}/{turn_id}"
    return {name: value for name, value in names.items() if value}
