"""The last day, minute by minute. Pure: time is an argument, in seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping

from antiphon.telemetry.tally import Tally, whole

KEEP_MINUTES = 24 * 60
"""What the operator page shows. A busy minute takes 6 KB: 9 MB in all, after a day."""

BLOCKS = (60, 5)
"""Minutes that are added up once: a day is then two dozen sums instead of 1440, each of which would take 0.05 ms of
the event loop that sends the sound."""

KEEP_BLOCKS = 2_000
"""A day has 312 of them; whoever asks about other times must not fill the memory."""


class Minutes:
    """Tallies by minute. A clock that jumps puts what follows into another minute, and loses nothing."""

    def __init__(self) -> None:
        self._fresh: dict[int, Tally] = {}
        """Not written down yet."""
        self._kept: dict[int, Tally] = {}
        self._blocks: dict[tuple[int, int], Tally] = {}
        """(first minute, how many) → their sum, until one of them changes."""

    def at(self, now: float) -> Tally:
        """The tally of the minute that ``now`` is in, to be added to."""
        minute = int(now // 60)
        self._changed(minute)
        tally = self._fresh.get(minute)
        if tally is None:
            tally = self._fresh[minute] = Tally()
            _forget_old(self._fresh)
        return tally

    def restore(self, minute: int, tally: Tally) -> None:
        """A minute from before the start, as a file kept it."""
        self._changed(minute)
        self._kept.setdefault(minute, Tally()).merge(tally)
        _forget_old(self._kept)

    def unwritten(self, now: float, *, stopping: bool = False) -> dict[int, Tally]:
        """Minutes that are over and not written down yet; the one at hand too, when ``stopping``."""
        current = int(now // 60)
        return {
            minute: self._fresh[minute] for minute in sorted(self._fresh) if stopping or minute != current
        }

    def written(self, minutes: Mapping[int, Tally]) -> None:
        """These were written down. What is added to such a minute later is another part of it, and is written
        by itself."""
        for minute, tally in minutes.items():
            if self._fresh.get(minute) is tally:
                del self._fresh[minute]
                self.restore(minute, tally)

    def steps(self, start: float, end: float, size: int) -> dict[int, Tally]:
        """From ``start`` to ``end``, in steps of ``size`` minutes (one of ``BLOCKS``): first minute → tally. Not to be
        changed: those that are over are kept for the next who asks."""
        first, last = _floor(int(start // 60), size), int(end // 60)
        return {minute: self._block(minute, size) for minute in range(first, last + 1, size)}

    def total(self, start: float, end: float) -> Tally:
        """Everything from ``start``'s minute to ``end``'s, made of the largest blocks that fit."""
        minute, last = int(start // 60), int(end // 60)
        parts: list[Tally] = []
        while minute <= last:
            size = next((size for size in BLOCKS if minute % size == 0 and minute + size - 1 <= last), 1)
            parts.append(self._block(minute, size) if size > 1 else self._minute(minute))
            minute += size
        return whole(parts)

    def _block(self, first: int, size: int) -> Tally:
        found = self._blocks.get((first, size))
        if found is None:
            smaller = BLOCKS[BLOCKS.index(size) + 1] if size != BLOCKS[-1] else 1
            parts = range(first, first + size, smaller)
            found = whole(self._block(at, smaller) if smaller > 1 else self._minute(at) for at in parts)
            self._blocks[first, size] = found
            while len(self._blocks) > KEEP_BLOCKS:
                del self._blocks[next(iter(self._blocks))]
        return found

    def _minute(self, minute: int) -> Tally:
        parts = [part for part in (self._kept.get(minute), self._fresh.get(minute)) if part is not None]
        return parts[0] if len(parts) == 1 else whole(parts)

    def _changed(self, minute: int) -> None:
        for size in BLOCKS:
            self._blocks.pop((_floor(minute, size), size), None)


def _floor(minute: int, size: int) -> int:
    return minute - minute % size


def _forget_old(minutes: dict[int, Tally]) -> None:
    while len(minutes) > KEEP_MINUTES:
        del minutes[min(minutes)]
