"""What is logged of strangers' attempts: a line for each, but not without end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from structlog.stdlib import BoundLogger

from antiphon.sessions.address_limits import address_group
from antiphon.sessions.rates import Rate, Rates

LINES = Rate(count=20, per_s=60.0)
"""Lines about one address. More would say nothing new, and let a stranger fill the disk; the counters go on."""

LONGEST = 200
"""Letters of what a stranger wrote itself: an origin is shorter."""


class Telling:
    """Lines about refusals."""

    def __init__(self, log: BoundLogger, *, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now = now
        self._told = Rates()

    def warning(self, event: str, *, address: str, **said: Any) -> None:
        """A line, unless there were many about that address. ``said`` is cut short."""
        self._tell(self._log.warning, event, address, said)

    def info(self, event: str, *, address: str, **said: Any) -> None:
        """The same, of what is nobody's fault."""
        self._tell(self._log.info, event, address, said)

    def _tell(self, line: Callable[..., Any], event: str, address: str, said: Mapping[str, Any]) -> None:
        if not self._told.spend(address_group(address), LINES, now=self._now()):
            line(event, address=address, **{name: cut(value) for name, value in said.items()})


def cut(value: Any) -> Any:
    """A text as it may be logged, when a stranger wrote it."""
    if isinstance(value, str) and len(value) > LONGEST:
        return value[:LONGEST] + "…"
    return value
