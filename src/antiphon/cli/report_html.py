"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from html import escape

from antiphon import __version__
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
.number { text-align: right; } .wide { width: 45%; } .why { white-space: normal; }
.late td, .bad { color: light-dark(#a3243b, #ff8d9c); font-weight: 600; }
.first th, .first td { border-top-width: 2px; font-weight: 600; }
svg { display: block; width: 100%; height: 18px; }
.budget { fill: light-dark(#e6dcd0, #3a312a); } .spent { fill: light-dark(#f0763f, #e8663a); }
.far { fill: light-dark(#8a6a4f, #c9a98d); }
p { color: light-dark(#655a50, #b8aa9d); }
"""


def report_html(report: Report, day: date, *, stages: Mapping[str, str]) -> str:
    """The whole page. ``stages``: stage → its name for people."""
    title = f"Antiphon, {day.isoformat()}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _facts(report),
        "<h2>Where the time goes</h2>",
        "<p>Last word to first sound. Grey: the budget. The bar: what half of the turns took. "
        "The line: what nineteen in twenty took.</p>",
        _stage_table(report, stages) if report.first_sound.turns else "<p>No turn was answered aloud.</p>",
        "<h2>Providers</h2>",
        _provider_table(report.providers) if report.providers else "<p>None was asked.</p>",
        _counts("Errors told to callers", report.errors),
        _counts("Callers not let in", report.refused),
        _counts("Turn taking", report.signs),
        f"<p>Antiphon {escape(__version__)}</p>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(filter(None, parts))
    head += f"<style>{STYLE}</style>"
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


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


def _stage_table(report: Report, names: Mapping[str, str]) -> str:
    most = max([row.p95_ms or 0.0 for row in report.stages] + [row.budget_ms or 0.0 for row in report.stages])
    rows = [_stage_row(row, names, most) for row in report.stages]
    first = report.first_sound
    rows.append(_stage_row(first, names, max(first.p95_ms or 0.0, first.budget_ms or 0.0), "first"))
    return _table(("stage", "", "typical", "95 %", "budget", "within"), rows)


def _stage_row(row: StageRow, names: Mapping[str, str], most: float, kind: str = "") -> str:
    bars = _bar("budget", 3, 12, row.budget_ms, most) + _bar("far", 8, 2, row.p95_ms, most)
    bars += _bar("spent", 6, 6, row.typical_ms, most)
    cells = (row.typical_ms, row.p95_ms, row.budget_ms)
    within = "–" if row.within is None else f"{row.within:.0%}"
    return (
        f'<tr class="{kind} {"late" if row.late else ""}"><th>{escape(names.get(row.stage, row.stage))}</th>'
        f'<td class=wide><svg viewBox="0 0 100 18" preserveAspectRatio="none" aria-hidden="true">{bars}</svg></td>'
        + "".join(f"<td class=number>{'–' if ms is None else f'{ms:.0f} ms'}</td>" for ms in cells)
        + f"<td class=number>{within}</td></tr>"
    )


def _bar(kind: str, y: int, height: int, ms: float | None, most: float) -> str:
    width = 0.0 if ms is None or not most else 100 * ms / most
    return f'<rect class="{kind}" x="0" y="{y}" width="{width:.2f}" height="{height}"/>' if width else ""


def _provider_table(providers: Iterable[ProviderRow]) -> str:
    rows = []
    for row in providers:
        why = ", ".join(f"{escape(cause)} {count}" for cause, count in row.errors.items())
        cost = "unknown" if row.unpriced else f"${row.cost_usd:.4f}"
        first = "–" if row.first_ms is None else f"{row.first_ms:.0f} ms"
        rows.append(
            f"<tr><th>{row.kind} {escape(row.provider)}</th><td class=number>{row.calls}</td>"
            f"<td class=number>{row.failed}</td><td class=number>{first}</td><td class=number>{cost}</td>"
            f"<td class=why>{why}</td></tr>"
        )
    return _table(("provider", "requests", "failed", "first result", "cost", "why"), rows)


def _table(head: Iterable[str], rows: Iterable[str]) -> str:
    numbers = {"typical", "95 %", "budget", "within", "requests", "failed", "first result", "cost"}
    cells = "".join(f"<th{' class=number' if name in numbers else ''}>{name}</th>" for name in head)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _counts(title: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    rows = [
        f"<tr><th>{escape(name.replace('_', ' '))}</th><td class=number>{n}</td></tr>"
        for name, n in counts.items()
    ]
    return f"<h2>{title}</h2><table><tbody>{''.join(rows)}</tbody></table>"
