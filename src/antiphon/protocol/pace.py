"""How fast sound may arrive: not faster than it was spoken, but for what a network held back."""

from __future__ import annotations

BURST_S = 10.0
"""Seconds of sound that may come at once: what a phone sends after a tunnel."""

DRIFT = 1.05
"""Microphone clocks are up to a few per cent off."""


class AudioPace:
    """A bucket that fills with time and is emptied by sound. Time is an argument."""

    def __init__(self, rate: int, *, now: float) -> None:
        """``rate`` in Hz; ``now`` in seconds on the caller's clock."""
        self._bytes_per_s = rate * 2
        self._room_s = BURST_S
        self._then = now

    def admit(self, size: int, *, now: float) -> bool:
        """Whether ``size`` bytes of sound may pass now; when not, they count for nothing."""
        self._room_s = min(BURST_S, self._room_s + (now - self._then) * DRIFT)
        self._then = now
        seconds = size / self._bytes_per_s
        if seconds > self._room_s:
            return False
        self._room_s -= seconds
        return True
