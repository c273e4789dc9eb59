"""``antiphon report``: a day in figures: stages against the budget, providers and their cost, sessions, errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import click
import httpx2 as httpx
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from antiphon.cli.effective import effective_settings
from antiphon.cli.output_file import output_file
from antiphon.cli.report_html import report_html
from antiphon.cli.report_rows import cost, milliseconds, signs_named, stage_name, used, why, within
from antiphon.errors import AntiphonError
from antiphon.settings import Settings
from antiphon.telemetry.day_files import DayFiles
from antiphon.telemetry.observability import FOLDER
from antiphon.telemetry.report import Report, StageRow
from antiphon.telemetry.tally import UNREADABLE, Tally, whole
from antiphon.usage.calendar import time_zone

ANSWER_S = 10.0
"""How long a server may take to answer."""


class ReportError(AntiphonError):
    """There is nothing to report, or the server does not say."""

    code = "no_report"


@click.command()
@click.option("--day", help="2026-11-23, `today` or `yesterday`; today when left out.")
@click.option("--url", help="A running server, asked for its day so far with ANTIPHON_OPERATOR_TOKEN.")
@click.option(
    "--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="Write a page here."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def report(day: str | None, url: str | None, html_file: Path | None, as_json: bool) -> None:
    """Show a day: latency by stage, providers and what they cost, sessions, errors.

    It reads what the server writes into ANTIPHON_DATA once a minute; --url asks a running server instead.
    """
    settings = effective_settings().settings
    zone = time_zone(settings.time_zone)
    if url is not None:
        shown, tally = _asked(url, day, settings)
    else:
        shown, tally = _stored(_which(day, zone), settings, zone)
    found = Report.of(tally)
    if html_file is not None:
        with output_file(html_file) as file:
            file.write(report_html(found, shown))
    if as_json:
        click.echo(json.dumps({"day": shown.isoformat(), **found.to_json()}, ensure_ascii=False, indent=2))
    elif html_file is not None:
        click.echo(f"written to {html_file}")
    else:
        show(Console(), found, shown)


def _which(day: str | None, zone: tzinfo) -> date:
    today = datetime.now(zone).date()
    match day:
        case None | "today":
            return today
        case "yesterday":
            return today - timedelta(days=1)
        case _:
            try:
                return date.fromisoformat(day)
            except ValueError:
                raise click.BadParameter(f"{day!r} is no day; write it as {today.isoformat()}") from None


def _stored(day: date, settings: Settings, zone: tzinfo) -> tuple[date, Tally]:
    files = DayFiles(settings.data / FOLDER, zone=zone)
    try:
        minutes = list(files.read(day))
        days = files.days()
    except OSError as error:
        raise ReportError(f"{files.folder} cannot be read: {error.strerror or error}") from error
    if not minutes:
        there = f"there are {_days(days)}" if days else "there is no day yet"
        raise ReportError(
            f"nothing is known of {day.isoformat()} in {files.folder}: {there}. A server writes it once a minute, "
            "unless ANTIPHON_REPORT_DAYS is 0; --url asks one that runs."
        )
    return day, whole(tally for _, tally in minutes)


def _days(days: tuple[date, ...]) -> str:
    return days[0].isoformat() if len(days) == 1 else f"{days[0].isoformat()} to {days[-1].isoformat()}"


def _asked(url: str, day: str | None, settings: Settings) -> tuple[date, Tally]:
    token = settings.operator_token.get_secret_value()
    if not token:
        raise ReportError("ANTIPHON_OPERATOR_TOKEN is not set; the server tells nobody else")
    wanted = {} if day in (None, "today") else {"day": str(day)}
    try:
        answer = httpx.get(
            f"{url.rstrip('/')}/api/operator/report",
            params=wanted,
            headers={"Authorization": f"Bearer {token}"},
            timeout=ANSWER_S,
        )
        body: Any = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise ReportError(f"{url} does not answer as an Antiphon server: {error}") from error
    if answer.status_code != 200:
        raise ReportError(f"{url} says: {_problem(body) or f'status {answer.status_code}'}")
    try:
        return date.fromisoformat(body["day"]), Tally.from_json(body["tally"])
    except UNREADABLE as error:
        raise ReportError(f"{url} does not answer as an Antiphon server: {error!r}") from error


def _problem(body: Any) -> str:
    """Our own message, or what another server may call its error."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("message", "") if isinstance(error, dict) else error or "")


# ---- in a terminal


def show(console: Console, report: Report, day: date) -> None:
    """The report as tables."""
    console.print(Text(f"{day:%A}, {day.isoformat()}", style="bold"))
    console.print(Text(summary(report)))
    if report.first_sound.turns:
        console.print(_stages(report))
    if report.providers:
        console.print(_providers(report))
    _show_counts(console, "Turn taking", signs_named(report.signs))
    _show_counts(console, "Errors told to callers", report.errors)
    _show_counts(console, "Callers not let in", report.refused)


def summary(report: Report) -> str:
    """The day in a line."""
    parts = [
        f"{report.turns} turns in {report.sessions} conversations, at most {report.most_sessions} at once",
        f"{report.interrupted} cut short",
        f"{report.failed} failed",
        f"${report.cost_usd:.4f}"
        + (f", ${report.wasted_usd:.4f} of it thrown away" if report.wasted_usd else ""),
    ]
    if report.unpriced:
        parts.append(f"{report.unpriced} requests without a price")
    return " · ".join(parts)


def _stages(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Where the time goes", title_justify="left")
    table.add_column("stage")
    for name in ("budget", "typical", "95 %", "within budget", "turns"):
        table.add_column(name, justify="right")
    for row in report.stages:
        table.add_row(*_stage_cells(row), style="red" if row.late else "")
    table.add_section()
    table.add_row(*_stage_cells(report.first_sound), style="bold red" if report.first_sound.late else "bold")
    return table


def _stage_cells(row: StageRow) -> tuple[str, ...]:
    return (
        stage_name(row),
        milliseconds(row.budget_ms),
        milliseconds(row.typical_ms),
        milliseconds(row.p95_ms),
        within(row),
        str(row.turns),
    )


def _providers(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Providers", title_justify="left")
    table.add_column("provider", overflow="fold")
    for name in ("requests", "failed", "first result", "used", "cost"):
        table.add_column(name, justify="right")
    table.add_column("why", overflow="fold")
    for row in report.providers:
        table.add_row(
            f"{row.kind} {row.provider}",
            str(row.calls),
            str(row.failed),
            milliseconds(row.first_ms),
            used(row),
            cost(row),
            why(row),
        )
    return table


def _show_counts(console: Console, title: str, counts: Mapping[str, int]) -> None:
    if counts:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        console.print(Text(f"{title}: ", style="italic").append(listed, style="not italic"))
