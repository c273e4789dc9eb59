"""Draws the turn machine's table into docs/design/turn-taking.md: a diagram and the table itself.

python scripts/draw_turns.py           write
python scripts/draw_turns.py --check   exit 1 when the page differs
"""

from __future__ import annotations

import sys
from pathlib import Path

from antiphon.turns.context import State
from antiphon.turns.machine import TABLE, Row

PAGE = Path(__file__).parent.parent / "docs" / "design" / "turn-taking.md"
BEGIN, END = "<!-- begin: drawn by scripts/draw_turns.py -->", "<!-- end -->"


def name(state: State) -> str:
    return state.value.replace(" ", "_")


def events(row: Row) -> list[str]:
    kinds = row.on if isinstance(row.on, tuple) else (row.on,)
    return [kind.__name__ for kind in kinds]


def words(function: object) -> str:
    return "" if function is None else str(getattr(function, "__name__", function)).replace("_", " ")


def diagram() -> list[str]:
    """A Mermaid state diagram of the rows that change the state, one arrow for each pair of states."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for row in TABLE:
        if row.at is row.to:
            continue
        label = words(row.do) or "/".join(events(row))
        labels = arrows.setdefault((row.at, row.to), [])
        if label not in labels:
            labels.append(label)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {name(State.QUIET)}"]
    lines += [f"    {name(a)} --> {name(b)}: {', '.join(labels)}" for (a, b), labels in arrows.items()]
    return [*lines, "```"]


def table() -> list[str]:
    """Every row, in the order in which they are tried."""
    lines = ["| state | event | when | does | next |", "|---|---|---|---|---|"]
    for row in TABLE:
        to = row.to.value if row.to is not row.at else "(stays)"
        cells = (row.at.value, ", ".join(events(row)), words(row.when), words(row.do) or "nothing", to)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def drawn(page: str) -> str:
    """The page with the part between the marks drawn anew."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return "\n".join([before + BEGIN, "", *diagram(), "", *table(), "", END]) + after


def main() -> int:
    page = PAGE.read_text()
    new = drawn(page)
    if "--check" in sys.argv:
        if page != new:
            print("docs/design/turn-taking.md is not what the table says: run python scripts/draw_turns.py")
        return int(page != new)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
