"""``antiphon ledger``: what was spent, on what and by whom; export, backup, deletion."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import date, datetime, timedelta
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from antiphon.cli.effective import effective_settings
from antiphon.cli.output_file import output_file
from antiphon.errors import SettingsError
from antiphon.settings import Settings
from antiphon.usage.books import GROUPS, Line
from antiphon.usage.calendar import Calendar, time_zone
from antiphon.usage.entry import COLUMNS, to_json
from antiphon.usage.money import dollars, shown
from antiphon.usage.sqlite_books import SqliteBooks

DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def ledger() -> None:
    """What was spent: totals, export, backup, deletion.

    The ledger is kept in the folder that ANTIPHON_DATA names, or, with replicas, in the store (ANTIPHON_STORE). It has
    numbers and names only, nothing that was said.
    """


@ledger.command()
@click.option("--day", type=DAY, help="This day only (2026-11-23).")
@click.option("--from", "first", type=DAY, help="From this day on; without it and --day: today.")
@click.option("--to", "last", type=DAY, help="Up to this day; without it: today.")
@click.option("--by", type=click.Choice(GROUPS), help="Costs by one thing, instead of everything by model.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def totals(
    day: datetime | None, first: datetime | None, last: datetime | None, by: str | None, as_json: bool
) -> None:
    """Show what was spent."""
    settings = effective_settings().settings
    days = _days(settings, day, first, last)
    lines, groups = asyncio.run(_totals(settings, days, by))
    if as_json:
        click.echo(json.dumps(_totals_json(days, lines, groups), ensure_ascii=False))
        return
    console = Console()
    title = str(days[0]) if days[0] == days[1] else f"{days[0]} to {days[1]}"
    console.print(_group_table(groups, by or "") if by else _line_table(lines))
    console.print(f"{title}: {shown(sum(line.micros for line in lines))}", style="bold")
    if missing := sum(line.unpriced for line in lines):
        console.print(
            f"{missing} calls have no price: the sum is without them (`antiphon prices`).", style="yellow"
        )


@ledger.command()
@click.option("--from", "first", type=DAY, help="From this day on; without it: the first there is.")
@click.option("--to", "last", type=DAY, help="Up to this day; without it: the last.")
@click.option(
    "--format", "form", type=click.Choice(["csv", "json"]), default="csv", help="json: one object a line."
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write; else the output."
)
def export(first: datetime | None, last: datetime | None, form: str, out: Path | None) -> None:
    """Write out every entry, one a provider call."""
    days = _in_order(first.date() if first else date.min, last.date() if last else date.max)
    settings = effective_settings().settings
    count = asyncio.run(_export(settings, days, form, out))
    if out is not None:
        click.echo(f"{count} entries in {out}", err=True)


@ledger.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def backup(path: Path) -> None:
    """Copy the ledger into one file, whole, while the server runs. To restore it, put it in the data folder as
    ledger.sqlite3 while no server runs."""
    settings = effective_settings().settings
    if settings.store != "memory":
        raise SettingsError(
            "With ANTIPHON_STORE the ledger is in the store: back that up, or use `ledger export`."
        )
    books = SqliteBooks(settings.data)
    try:
        asyncio.run(books.backup(path))
    finally:
        books.close()
    click.echo(f"Copied to {path}")


@ledger.command()
@click.option(
    "--before", type=DAY, help="Entries of days before this; without it: those past ANTIPHON_LEDGER_DAYS."
)
@click.confirmation_option(prompt="Delete entries of the ledger for good?")
def prune(before: datetime | None) -> None:
    """Delete old entries. The server does it by itself each day, after ANTIPHON_LEDGER_DAYS days."""
    settings = effective_settings().settings
    if before is None and not settings.ledger_days:
        raise SettingsError("ANTIPHON_LEDGER_DAYS is 0: entries are kept for ever; say --before DAY.")
    limit = before.date() if before else _today(settings) - timedelta(days=settings.ledger_days)
    click.echo(f"{asyncio.run(_prune(settings, limit))} entries from before {limit} deleted")


def _today(settings: Settings) -> date:
    return Calendar(time_zone(settings.time_zone), wall=time.time, steady=time.monotonic).today()


def _days(
    settings: Settings, day: datetime | None, first: datetime | None, last: datetime | None
) -> tuple[date, date]:
    if day is not None:
        return day.date(), day.date()
    today = _today(settings)
    end = last.date() if last else today
    return _in_order(first.date() if first else end, end)


def _in_order(first: date, last: date) -> tuple[date, date]:
    if first > last:
        raise click.UsageError(f"--from {first} is after the last day, {last} (--to; today when left out).")
    return first, last


async def _totals(
    settings: Settings, days: tuple[date, date], by: str | None
) -> tuple[tuple[Line, ...], Mapping[str, int]]:
    from antiphon.app.usage import open_books

    async with open_books(settings) as books:
        return await books.lines(*days), (await books.by(by, *days) if by else {})


async def _export(settings: Settings, days: tuple[date, date], form: str, out: Path | None) -> int:
    from antiphon.app.usage import open_books

    count = 0
    with nullcontext(sys.stdout) if out is None else output_file(out) as file:
        table = csv.DictWriter(file, [*COLUMNS, "cost_usd"])
        if form == "csv":
            table.writeheader()
        async with open_books(settings) as books:
            async for entry in books.entries(*days):
                count += 1
                if form == "csv":
                    table.writerow({name: _cell(value) for name, value in to_json(entry).items()})
                else:
                    file.write(json.dumps(to_json(entry), ensure_ascii=False) + "\n")
    return count


def _cell(value: object) -> object:
    """A spreadsheet takes a text that begins so for a formula, and names come from elsewhere."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


async def _prune(settings: Settings, before: date) -> int:
    from antiphon.app.usage import open_books

    async with open_books(settings) as books:
        return await books.prune(before)


def _line_table(lines: tuple[Line, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    table.add_column("model", overflow="fold")
    for column in ("calls", "minutes", "tokens in", "cached", "out", "letters", "cost"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in lines:
        cost = shown(line.micros) if not line.unpriced else f"{shown(line.micros)} + {line.unpriced} unpriced"
        table.add_row(
            line.kind,
            f"{line.provider}:{line.model}",
            f"{line.calls:,}",
            f"{line.audio_ms / 60_000:.1f}" if line.audio_ms else "",
            *(
                f"{value:,}" if value else ""
                for value in (line.input_tokens, line.cached_tokens, line.output_tokens)
            ),
            f"{line.characters:,}" if line.characters else "",
            cost,
        )
    return table


def _group_table(groups: Mapping[str, int], by: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(by)
    table.add_column("cost", justify="right")
    for name, micros in groups.items():
        table.add_row(name or "-", shown(micros))
    return table


def _totals_json(
    days: tuple[date, date], lines: tuple[Line, ...], groups: Mapping[str, int]
) -> dict[str, object]:
    return {
        "from": str(days[0]),
        "to": str(days[1]),
        "cost_usd": dollars(sum(line.micros for line in lines)),
        "unpriced_calls": sum(line.unpriced for line in lines),
        "lines": [
            {name: getattr(line, name) for name in Line.__slots__} | {"cost_usd": dollars(line.micros)}
            for line in lines
        ],
        "groups": {name: dollars(micros) for name, micros in groups.items()},
    }
