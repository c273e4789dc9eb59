"""One live session: its name, its counts, and whether it is in the middle of a reply."""

from __future__ import annotations

import asyncio
import math
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
    cost_usd: float | None = 0.0
    """What its provider calls came to; None when the price of one is not known."""

    def charge(self, micro_usd: int | None) -> None:
        """One call more, in millionths of a US dollar; None: of unknown price."""
        if micro_usd is None or self.cost_usd is None:
            self.cost_usd = None
        else:
            self.cost_usd = round(self.cost_usd + micro_usd / 1_000_000, 6)


class Session:
    """Told every event of its conversation."""

    def __init__(
        self, *, id: str, caller: Caller | None = None, since: float = 0.0, counts: Counts | None = None
    ) -> None:
        self.id = id
        self.since = since
        """When it began, in seconds since 1970."""
        self.caller = caller or Caller()
        self.ended = ""
        """Why it ended, as a short code; empty while it goes on."""
        self.end_message = ""
        """Why it is to end, for the caller; empty while it may go on."""
        self.away_since = math.inf
        """When its caller's connection was lost, which is waited for, on the loop's clock; infinite: it is there."""
        self.counts = counts or Counts()
        self._told_to_end = asyncio.Event()
        self._open_replies: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def away(self) -> bool:
        """Whether its caller's connection was lost, and is waited for."""
        return self.away_since < math.inf

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

    def end(self, message: str) -> None:
        """Somebody outside wants it over, now; ``message`` tells the caller why. Of several the first counts."""
        if not self._told_to_end.is_set():
            self.end_message = message
            self._told_to_end.set()

    async def told_to_end(self) -> None:
        """Returns when somebody wants it over. Safe to cancel."""
        await self._told_to_end.wait()

    @property
    def replying(self) -> bool:
        """Whether a reply is under way."""
        return not self._idle.is_set()

    async def idle(self) -> None:
        """Returns when no reply is under way. Safe to cancel."""
        await self._idle.wait()
