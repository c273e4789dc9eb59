"""Where the time of an answer went, drawn in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from antiphon.protocol.server_messages import ResponseDone, Stage

WIDTH = 48
"""Columns of the bars, where the terminal has them."""

BESIDE = 60
"""Columns that names, figures and words take beside the bars."""

COLOURS = {
    "capture": "bright_black",
    "asr": "cyan",
    "llm": "magenta",
    "clause": "blue",
    "tts": "green",
    "hold": "yellow",
}
WORDS = {
    "capture": "waiting for the end of the words",
    "asr": "speech to text",
    "llm": "language model, first word",
    "clause": "language model, first clause",
    "tts": "voice, first sound",
    "hold": "held until the turn was sure",
    "heard": "last word to first sound, here",
}


def waterfall(done: ResponseDone, *, first_sound_ms: float | None, columns: int) -> Table:
    """The stages of an answer as bars from the end of speech to the first sound, and below them the
    caller's own figure. ``columns`` is the width of the terminal."""
    width = max(min(WIDTH, columns - BESIDE), 8)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=9)
    table.add_column(justify="right", no_wrap=True, min_width=7)
    table.add_column(no_wrap=True, width=width)
    table.add_column(style="dim", no_wrap=True, overflow="crop")
    rows = list(done.stages)
    if first_sound_ms is not None:
        rows.append(Stage(name="heard", start_ms=0.0, end_ms=first_sound_ms))
    begin, end = span(rows)
    for stage in rows:
        length = f"{stage.end_ms - stage.start_ms:.0f} ms"
        table.add_row("  " + stage.name, length, bar(stage, begin, end, width), WORDS.get(stage.name, ""))
    return table


def span(stages: Sequence[Stage]) -> tuple[float, float]:
    """From where to where the drawing goes, in ms; never empty."""
    begin = min([stage.start_ms for stage in stages] + [0.0])
    return begin, max([stage.end_ms for stage in stages] + [begin + 1.0])


def bar(stage: Stage, begin: float, end: float, width: int) -> Text:
    """One stage on the line from ``begin`` to ``end``; at least one column, so that short ones are seen."""
    scale = width / (end - begin)
    left = min(round((stage.start_ms - begin) * scale), width - 1)
    long = max(round((stage.end_ms - stage.start_ms) * scale), 1)
    text = Text(" " * left)
    text.append("━" * min(long, width - left), style=COLOURS.get(stage.name, "bold"))
    return text
