"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from html import escape

from antiphon import __version__
from antiphon.cli.report_rows import cost, milliseconds, signs_named, stage_name, used, why, within
from antiphon.telemetry.report import ProviderRow, Report, StageRow

STYLE = """
:root { color-scheme: light dark; }
body { max-width: 900px; margin: 40px auto; padding: 0 20px; background: light-dark(#faf6f0, #161210);
  color: light-dark(#231b15, #f5ece3); font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 24px; } h2 { margin-top: 36px; font-size: 17px; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 7px 12px 7px 0; border-top: 1px solid light-dark(#e6dcd0, #3a312a); text-align: left;
  font-weight: 400; white-space: nowrap; }
thead th { border: 0; color: light-dark(#655a50, #b8aa9d); font-size: 13px; }
.number { text-align: right; } .why { white-space: normal; min-width: 120px; }
.sideways { overflow-x: auto; } td.bars { width: 45%; }
.late td, .bad { color: light-dark(#a3243b, #ff8d9c); font-weight: 600; }
.first th, .first td { border-top-width: 2px; font-weight: 600; }
svg { display: block; width: 100%; height: 18px; }
.budget { fill: light-dark(#e6dcd0, #3a312a); } .spent { fill: light-dark(#f0763f, #e8663a); }
.far { fill: light-dark(#8a6a4f, #c9a98d); }
p { color: light-dark(#655a50, #b8aa9d); }
@media (max-width: 640px) {
  body { margin: 20px auto; padding: 0 16px; }
  th, td { padding-right: 8px; font-size: 14px; }
  tbody th { white-space: normal; }
  .bars { display: none; }
}
"""


def report_html(report: Report, day: date) -> str:
    """The whole page."""
    title = f"Antiphon, {day.isoformat()}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _facts(report),
        "<h2>Where the time goes</h2>",
        '<p>Last word to first sound. <span class="bars">Grey: the budget. The bar: what half of the turns took. '
        "The line: what nineteen in twenty took.</span></p>",
        _stage_table(report) if report.first_sound.turns else "<p>No turn was answered aloud.</p>",
        "<h2>Providers</h2>",
        _provider_table(report.providers) if report.providers else "<p>None was asked.</p>",
        _counts("Errors told to callers", _spaced(report.errors)),
        _counts("Callers not let in", _spaced(report.refused)),
        _counts("Turn taking", signs_named(report.signs)),
        f"<p>Antiphon {escape(__version__)}</p>",
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(filter(None, parts))
    head += f"<title>{escape(title)}</title><style>{STYLE}</style>"
    body = f"<body>\n<main>\n{body}\n</main>\n</body>"
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n{body}\n</html>\n'


def _facts(report: Report) -> str:
    wasted = f", ${report.wasted_usd:.4f} of it for answers thrown away" if report.wasted_usd else ""
    unpriced = (
        f"<br><span class=bad>{report.unpriced} requests without a price</span>" if report.unpriced else ""
    )
    return (
        f"<p>{report.turns} turns in {report.sessions} conversations, at most {report.most_sessions} at once. "
        f"{report.interrupted} were cut short, {report.failed} failed. "
        f"${report.cost_usd:.4f}{wasted}.{unpriced}</p>"
    )


def _stage_table(report: Report) -> str:
    most = max([row.p95_ms or 0.0 for row in report.stages] + [row.budget_ms or 0.0 for row in report.stages])
    rows = [_stage_row(row, most) for row in report.stages]
    first = report.first_sound
    rows.append(_stage_row(first, max(first.p95_ms or 0.0, first.budget_ms or 0.0), "first"))
    return _table(
        "Where the time goes", ("stage", "against the budget", "typical", "95 %", "budget", "within"), rows
    )


def _stage_row(row: StageRow, most: float, kind: str = "") -> str:
    bars = _bar("budget", 3, 12, row.budget_ms, most) + _bar("far", 8, 2, row.p95_ms, most)
    bars += _bar("spent", 6, 6, row.typical_ms, most)
    cells = (row.typical_ms, row.p95_ms, row.budget_ms)
    return (
        f'<tr class="{kind} {"late" if row.late else ""}"><th>{escape(stage_name(row))}</th>'
        f'<td class=bars><svg viewBox="0 0 100 18" preserveAspectRatio="none" aria-hidden="true">{bars}</svg></td>'
        + "".join(f"<td class=number>{milliseconds(ms)}</td>" for ms in cells)
        + f"<td class=number>{within(row)}</td></tr>"
    )


def _bar(kind: str, y: int, height: int, ms: float | None, most: float) -> str:
    width = 0.0 if ms is None or not most else 100 * ms / most
    return f'<rect class="{kind}" x="0" y="{y}" width="{width:.2f}" height="{height}"/>' if width else ""


def _provider_table(providers: Iterable[ProviderRow]) -> str:
    rows = []
    for row in providers:
        cells = (row.calls, row.failed, milliseconds(row.first_ms), used(row), cost(row))
        rows.append(
            f"<tr><th>{escape(row.kind)} {escape(row.provider)}</th>"
            + "".join(f"<td class=number>{cell}</td>" for cell in cells)
            + f"<td class=why>{escape(why(row))}</td></tr>"
        )
    head = ("provider", "requests", "failed", "first result", "used", "cost", "why")
    return _table("Providers", head, rows)


def _table(title: str, head: Iterable[str], rows: Iterable[str]) -> str:
    kinds = {"stage": "", "against the budget": "bars", "provider": "", "why": ""}
    cells = "".join(f'<th class="{kinds.get(name, "number")}">{name}</th>' for name in head)
    return (
        f'<div class="sideways" tabindex="0" role="group" aria-label="{title}">'
        f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _spaced(counts: Mapping[str, int]) -> dict[str, int]:
    return {name.replace("_", " "): count for name, count in counts.items()}


def _counts(title: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    rows = [f"<tr><th>{escape(name)}</th><td class=number>{n}</td></tr>" for name, n in counts.items()]
    return f"<h2>{title}</h2><table><tbody>{''.join(rows)}</tbody></table>"
