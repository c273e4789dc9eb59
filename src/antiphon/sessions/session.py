"""One live session: its name, its counts, and whether it is in the middle of a reply."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from antiphon.conversation import events
from antiphon.sessions.caller import Caller


@dataclass(slots=True)
class Counts:
    """What happened in a session so far; what its last log line says."""

    turns: int = 0
    replies: int = 0
    interrupted: int = 0
    failures: int = 0
    audio_in_s: float = 0.0
    """Seconds of microphone sound received."""
    audio_out_s: float = 0.0
    """Seconds of sound of replies whose sound was all sent."""


class Session:
    """Told every event of its conversation."""

    def __init__(self, *, id: str, caller: Caller | None = None) -> None:
        self.id = id
        self.caller = caller or Caller()
        self.ended = ""
        """Why it ended, as a short code; empty while it goes on."""
        self.counts = Counts()
        self._open_replies: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def observe(self, event: events.Event) -> None:
        """Count, and know whether a reply is under way."""
        match event:
            case events.TranscriptChanged(final=True):
                # An empty final transcript takes a turn back: it was noise or our own voice.
                self.counts.turns += bool(event.text)
            case events.ReplyStarted():
                self.counts.replies += 1
                self._open_replies.add(event.reply_id)
                self._idle.clear()
            case events.AudioDone():
                self.counts.audio_out_s += event.total_ms / 1000
            case events.ReplyDone():
                self.counts.interrupted += event.interrupted
                self._open_replies.discard(event.reply_id)
                if not self._open_replies:
                    self._idle.set()
            case events.Failed():
                self.counts.failures += 1
            case _:
                pass

    async def idle(self) -> None:
        """Returns when no reply is under way. Safe to cancel."""
        await self._idle.wait()
