"""A loudspeaker without sound: plays what arrives as a real one would, and tells how far it is. Time is an
argument."""

from __future__ import annotations

from typing import Literal

BUFFER_S = 0.06
"""Sound gathered before playback begins: what the page's jitter buffer holds."""


class Loudspeaker:
    """One client's playback: starts after a short buffer, waits when it runs dry, can be held and flushed."""

    def __init__(self, rate: int) -> None:
        """``rate`` of the sound in Hz."""
        self.reply_id = ""
        self._rate = rate
        self._waiting_s = 0.0
        """Sound that has arrived and was not played."""
        self._played_s = 0.0
        """Of this reply."""
        self._starts_at: float | None = None
        """When playback goes on, None while there is nothing to play."""
        self._held = False
        self._then = 0.0
        self._dry_at: float | None = None
        """When this reply's sound ran out, None while it has not."""

    def begin(self, reply_id: str, *, from_ms: float = 0.0) -> None:
        """The sound that follows is another reply's, or this one's again from ``from_ms`` on."""
        self.reply_id = reply_id
        self._waiting_s = 0.0
        self._played_s = from_ms / 1000
        self._starts_at = self._dry_at = None
        self._held = False

    def receive(self, size: int, *, now: float) -> float:
        """``size`` bytes of PCM s16le mono. Gives the seconds for which the listener heard nothing because
        they came late, 0 when they came in time."""
        self._advance(now)
        gap_s = 0.0
        if self._starts_at is None:
            self._starts_at = now + BUFFER_S
            if self._dry_at is not None and not self._held:
                gap_s = self._starts_at - self._dry_at
            self._dry_at = None
        self._waiting_s += size / 2 / self._rate
        return gap_s

    def control(self, action: Literal["duck", "hold", "resume"], *, now: float) -> None:
        """What ``playback`` asks for; to duck changes only the loudness."""
        self._advance(now)
        if action != "duck":
            self._held = action == "hold"

    def flush(self, *, now: float) -> None:
        """Drop what was not played."""
        self._advance(now)
        self._waiting_s = 0.0
        self._starts_at = self._dry_at = None

    def forgive(self) -> None:
        """The line was broken: that no sound came meanwhile is no fault of its sender."""
        self._dry_at = None

    def played_ms(self, *, now: float) -> float:
        """How much of the reply has been heard."""
        self._advance(now)
        return self._played_s * 1000

    def _advance(self, now: float) -> None:
        begin = self._then if self._starts_at is None else max(self._then, self._starts_at)
        self._then = now
        if self._held or self._starts_at is None or now <= begin:
            return
        step = min(now - begin, self._waiting_s)
        self._played_s += step
        self._waiting_s -= step
        if self._waiting_s <= 1e-9:
            self._waiting_s = 0.0
            self._starts_at = None
            self._dry_at = begin + step
