"""Tables, JSON and plots for the benchmarks.

The plots are SVG written by hand: no plotting library to install, and they follow the reader's light or dark
theme.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

WIDTH = 860
LABEL_WIDTH = 250
BAR_HEIGHT = 22
ROW_HEIGHT = 34
TOP = 78
"""Pixels; the plot's height follows from its rows."""

COLOURS = ("#8c95a4", "#3f7fd0", "#c9a227", "#7a5cc7", "#d9793a", "#2f9e77", "#c2476b")
"""One a part, told apart in light, in dark and by most colour-blind readers; the legend names them too."""

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1d2430; }
.small { font-size: 11px; fill: #5a6474; }
.title { font-size: 15px; font-weight: 600; }
.grid { stroke: #d5dae2; }
.mark { stroke: #1d2430; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e9ef; }
  .small { fill: #a6afbd; }
  .grid { stroke: #3a4250; }
  .mark { stroke: #e6e9ef; }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row of a plot, in the plot's unit."""

    label: str
    parts: Sequence[float]
    """Lengths from the left, in the order of the plot's legend."""
    mark: float | None = None
    """A second value, drawn as a tick (the 95th percentile)."""


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank: a value that was really measured. NaN when there is none."""
    if not values:
        return float("nan")
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        "",
    )
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": model or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that is aligned on the terminal too: first column left, the others, numbers, right."""
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    drawn = []
    for line in (lines[0], rule, *lines[1:]):
        cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        drawn.append(f"| {' | '.join(cells)} |\n")
    return "".join(drawn)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}\n\n{table(columns, rows)}")


def describe(where: Mapping[str, object], command: str) -> str:
    """A line for the documentation: what was run, on what, and when."""
    day = str(where["measured"])[:10]
    return f"`{command}` on {where['cores']} cores of {where['cpu']}, Python {where['python']}, {day}."


def write_section(document: Path, name: str, text: str) -> None:
    """Put ``text`` between ``<!-- NAME -->`` and ``<!-- /NAME -->`` in a Markdown file that has both."""
    before, found, rest = document.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, closed, after = rest.partition(f"<!-- /{name} -->")
    if not found or not closed:
        raise SystemExit(f"{document} has no place for {name}")
    document.write_text(f"{before}{found}\n{text.strip()}\n\n{closed}{after}", encoding="utf-8")


def write_json(path: Path, result: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_bars(
    path: Path, title: str, legend: Sequence[str], bars: Sequence[Bar], *, unit: str = "ms"
) -> None:
    """Horizontal stacked bars; the total stands at the end of each, the mark is a tick."""
    longest = max(max(sum(bar.parts), bar.mark or 0.0) for bar in bars)
    step = _step(longest)
    scale = (WIDTH - LABEL_WIDTH - 70) / (longest or 1.0)
    bottom = TOP + ROW_HEIGHT * len(bars)
    drawn = [_legend(legend), *_grid(longest, step, scale, bottom, unit)]
    for row, bar in enumerate(bars):
        drawn += _bar(bar, TOP + ROW_HEIGHT * row, scale)
    height = bottom + 28
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<text class="title" x="8" y="22">{escape(title)}</text>{"".join(drawn)}</svg>\n'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg, encoding="utf-8")


def _step(longest: float) -> float:
    """Grid spacing: 1, 2 or 5 times a power of ten, at most eight lines."""
    power = 1.0
    while longest / power > 80:
        power *= 10
    return next(power * times for times in (1, 2, 5, 10) if longest / (power * times) <= 8)


def _legend(names: Sequence[str]) -> str:
    x, drawn = 8.0, ""
    for place, name in enumerate(names):
        drawn += f'<rect x="{x:.0f}" y="38" width="11" height="11" rx="2" fill="{COLOURS[place]}"/>'
        drawn += f'<text class="small" x="{x + 15:.0f}" y="48">{escape(name)}</text>'
        x += 30 + 6.1 * len(name)
    return drawn


def _grid(longest: float, step: float, scale: float, bottom: float, unit: str) -> list[str]:
    lines = []
    for count in range(int(longest / step) + 1):
        x = LABEL_WIDTH + count * step * scale
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 10}" y2="{bottom}"/>')
        lines.append(
            f'<text class="small" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{count * step:g}</text>'
        )
    lines.append(
        f'<text class="small" x="{LABEL_WIDTH - 26}" y="{bottom + 15}" text-anchor="end">{unit}</text>'
    )
    return lines


def _bar(bar: Bar, y: float, scale: float) -> list[str]:
    drawn = [f'<text x="{LABEL_WIDTH - 10}" y="{y + 16}" text-anchor="end">{escape(bar.label)}</text>']
    x = float(LABEL_WIDTH)
    for place, part in enumerate(bar.parts):
        width = max(part, 0.0) * scale
        drawn.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{COLOURS[place]}"/>'
        )
        x += width
    if bar.mark is not None:
        at = LABEL_WIDTH + bar.mark * scale
        drawn.append(
            f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 3}" y2="{y + BAR_HEIGHT + 3}"/>'
        )
        x = max(x, at)
    drawn.append(f'<text x="{x + 8:.1f}" y="{y + 16}">{sum(bar.parts):.0f}</text>')
    return drawn
