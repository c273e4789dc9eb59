"""A pull as it goes: bars on a terminal, a line now and then in a log."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from antiphon.inference.pull import PullProgress, Stage, megabytes

WORDS: dict[Stage, str] = {
    "waiting": "another pull is running",
    "fetching": "fetching",
    "checking": "checking",
    "ready": "ready",
}
"""Stage → what people are told."""

LINE_EVERY = 0.1
"""Share of a model after which a log that is no terminal gets another line."""


class PullDisplay:
    """Shows ``PullProgress`` reports on a console, which may be a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("{task.fields[stage]}"),
        )
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, tuple[Stage, float]] = {}

    def __enter__(self) -> PullDisplay:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, progress: PullProgress) -> None:
        """Take a report."""
        if self._console.is_terminal:
            self._move_bar(progress)
        else:
            self._write_line(progress)

    def _move_bar(self, progress: PullProgress) -> None:
        task = self._tasks.get(progress.model_id)
        if task is None:
            task = self._bars.add_task(progress.model_id, total=progress.model_total, stage="")
            self._tasks[progress.model_id] = task
        self._bars.update(task, completed=progress.model_done, stage=WORDS[progress.stage])

    def _write_line(self, progress: PullProgress) -> None:
        share = progress.model_done / max(1, progress.model_total)
        stage, told_share = self._told.get(progress.model_id, ("", -1.0))
        if progress.stage == stage and share < told_share + LINE_EVERY:
            return
        self._told[progress.model_id] = (progress.stage, share)
        size = f"{megabytes(progress.model_done)} of {megabytes(progress.model_total)}"
        self._console.print(f"{progress.model_id}: {WORDS[progress.stage]}, {size}")
