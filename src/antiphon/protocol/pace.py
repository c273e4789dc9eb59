"""How fast sound and messages may arrive: not faster than is spoken, but for what a network held back."""

from __future__ import annotations

from typing import Protocol

BURST_S = 10.0
"""Seconds of sound that may come at once: what a phone sends after a tunnel."""

DRIFT = 1.05
"""Microphone clocks are up to a few per cent off."""


class AudioPace:
    """A bucket that fills with time and is emptied by sound. Time is an argument."""

    def __init__(self, rate: int, *, now: float) -> None:
        """``rate`` in Hz; ``now`` in seconds on the caller's clock."""
        self._bytes_per_s = rate * 2
        self.room_s = BURST_S
        """Seconds of sound that may come at once, as of the last time some came."""
        self._then = now

    def admit(self, size: int, *, now: float) -> bool:
        """Whether ``size`` bytes of sound may pass now; when not, they count for nothing."""
        self.room_s = min(BURST_S, self.room_s + (now - self._then) * DRIFT)
        self._then = now
        seconds = size / self._bytes_per_s
        if seconds > self.room_s:
            return False
        self.room_s -= seconds
        return True


class Pace(Protocol):
    """Messages of any kind, and how many may come."""

    def admit(self, size: int, *, now: float) -> float:
        """One message of ``size`` bytes: how long to wait before it might pass, in seconds; 0: it passes."""


class MessagePace:
    """Messages of any kind, their number and their bytes, as one connection may send them. Time is an argument."""

    def __init__(self, *, messages_per_s: float, bytes_per_s: float) -> None:
        """Ten seconds' worth of both may come at once."""
        self._rates = (messages_per_s, bytes_per_s)
        self._room = (messages_per_s * BURST_S, bytes_per_s * BURST_S)
        self._then: float | None = None

    def admit(self, size: int, *, now: float) -> float:
        """One message of ``size`` bytes: how long to wait before it might pass, in seconds; 0: it passes. One that
        does not pass counts for nothing."""
        gone_s = 0.0 if self._then is None else now - self._then
        self._then = now
        messages, most_bytes = (
            min(rate * BURST_S, room + gone_s * rate)
            for rate, room in zip(self._rates, self._room, strict=True)
        )
        self._room = (messages, most_bytes)
        wait_s = max((1 - messages) / self._rates[0], (size - most_bytes) / self._rates[1])
        if wait_s > 0:
            return wait_s
        self._room = (messages - 1, most_bytes - size)
        return 0.0
