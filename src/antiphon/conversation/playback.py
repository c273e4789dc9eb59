"""How far the listener is in a reply, and how much sound may be sent ahead of that. Pure: ``now`` is an argument."""

from __future__ import annotations

AHEAD_MS = 1_000.0
"""Sound sent ahead of the listener, at most: enough to ride out a bad second of network, little to throw away."""

TRUST_MS = 1_000.0
"""How long the last report is extrapolated: clients report several times a second."""


class Playback:
    """The listener's position in one reply, by its reports, or by the clock while there are none. Times in ms of
    sound, ``now`` in seconds."""

    def __init__(self) -> None:
        self.sent_ms = 0.0
        self._reported_ms = 0.0
        self._reported_at: float | None = None
        self._has_reports = False
        self._held = False

    def send(self, ms: float, now: float) -> None:
        """``ms`` more were sent."""
        if self._reported_at is None:
            self._reported_at = now
        elif not self._has_reports and self.position(now) >= self.sent_ms:
            # Played out before more came: the clock stood still meanwhile.
            self._reported_ms, self._reported_at = self.sent_ms, now
        self.sent_ms += ms

    def skip(self, ms: float) -> None:
        """``ms`` were sent and heard before, by someone else."""
        self.sent_ms = self._reported_ms = ms

    def report(self, ms: float, now: float) -> None:
        """The client has played ``ms``. Reports beyond what was sent, or backwards, are taken as far as they can be."""
        ms = min(max(ms, self._reported_ms if self._has_reports else 0.0), self.sent_ms)
        self._reported_ms, self._reported_at, self._has_reports = ms, now, True

    def hold(self, now: float) -> None:
        """The client pauses here."""
        self._reported_ms, self._reported_at, self._held = self.position(now), now, True

    def resume(self, now: float) -> None:
        """The client goes on."""
        self._reported_at, self._held = now if self._reported_at is not None else None, False

    def place(self, ms: float, now: float) -> None:
        """The client is here, as it says after a break: further back, even, than it was thought to be."""
        self._reported_ms = min(max(ms, 0.0), self.sent_ms)
        self._reported_at = now if self._reported_at is not None else None

    def position(self, now: float) -> float:
        """Milliseconds of the reply heard by ``now``."""
        if self._reported_at is None:
            return self._reported_ms
        elapsed = 0.0 if self._held else (now - self._reported_at) * 1_000.0
        if self._has_reports:
            elapsed = min(elapsed, TRUST_MS)
        return min(self.sent_ms, self._reported_ms + elapsed)

    def wait_s(self, now: float) -> float:
        """Seconds until more may be sent; 0 when it may be now."""
        over = self.sent_ms - self.position(now) - AHEAD_MS
        return max(0.0, over / 1_000.0)
