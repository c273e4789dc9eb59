"""The last day, minute by minute. Pure: time is an argument, in seconds since 1970."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from antiphon.telemetry.tally import Tally, whole

KEEP_MINUTES = 24 * 60
"""What the operator page shows. A minute with a few turns takes 2 KB: 3 MB in all."""


class Minutes:
    """Tallies by minute. A clock that jumps puts what follows into another minute, and loses nothing."""

    def __init__(self) -> None:
        self._fresh: dict[int, Tally] = {}
        """Not written down yet."""
        self._kept: dict[int, Tally] = {}

    def at(self, now: float) -> Tally:
        """The tally of the minute that ``now`` is in, to be added to."""
        minute = int(now // 60)
        tally = self._fresh.get(minute)
        if tally is None:
            tally = self._fresh[minute] = Tally()
            _forget_old(self._fresh)
        return tally

    def restore(self, minute: int, tally: Tally) -> None:
        """A minute from before the start, as a file kept it."""
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

    def since(self, start: float) -> dict[int, Tally]:
        """Minutes from ``start`` on, oldest first."""
        first = int(start // 60)
        found: dict[int, Tally] = {}
        for minute in sorted({*self._kept, *self._fresh}):
            if minute >= first:
                parts = (self._kept.get(minute), self._fresh.get(minute))
                found[minute] = whole(part for part in parts if part is not None)
        return found

    def total(self, start: float) -> Tally:
        """Everything from ``start`` on."""
        return whole(self.since(start).values())


def _forget_old(minutes: dict[int, Tally]) -> None:
    while len(minutes) > KEEP_MINUTES:
        del minutes[min(minutes)]


def in_steps(minutes: Iterable[tuple[int, Tally]], step: int) -> dict[int, Tally]:
    """Minutes gathered into steps of ``step`` minutes: first minute of the step → its tally."""
    steps: dict[int, Tally] = {}
    for minute, tally in minutes:
        steps.setdefault(minute - minute % step, Tally()).merge(tally)
    return steps
