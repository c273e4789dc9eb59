"""How far the models are, in the log: each stage once, a download at every fifth of it."""

from __future__ import annotations

from collections.abc import Callable

from antiphon.sessions.readiness import ModelProgress
from antiphon.telemetry.logs import logger

STEPS = 5
"""Lines a download: enough to see that it moves."""

log = logger(__name__)


class ProgressLog:
    """Passes reports on, and writes those that say something new."""

    def __init__(self, report: Callable[[ModelProgress], None]) -> None:
        self._report = report
        self._written: dict[str, tuple[str, int]] = {}

    def __call__(self, progress: ModelProgress) -> None:
        self._report(progress)
        share = progress.done_bytes * STEPS // progress.total_bytes if progress.total_bytes else 0
        step = (progress.stage, share if progress.stage == "downloading" else 0)
        if self._written.get(progress.id) == step or progress.stage == "queued":
            return
        self._written[progress.id] = step
        if progress.stage == "downloading":
            log.info("downloading", model=progress.id, percent=share * 100 // STEPS)
        else:
            log.info(progress.stage, model=progress.id)
