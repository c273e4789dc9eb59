"""``antiphon prices``: what providers charge, as the server reckons it; which prices are old or missing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from typing import get_args

import click
from rich import box
from rich.console import Console
from rich.table import Table

from antiphon.cli.effective import effective_settings
from antiphon.providers.metering import Kind
from antiphon.settings import Settings
from antiphon.usage.calendar import Calendar, time_zone
from antiphon.usage.price_row import Meter, PriceRow
from antiphon.usage.prices import PriceBook

STATES = {"ok": "green", "old": "yellow", "retired": "red"}
"""State of a price → how it is shown."""

MINIMUM_OF: Mapping[Meter, str] = {"audio": "s", "characters": "characters"}
"""Meter → what a minimum is told in; the others count tokens."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a price.")
@click.option(
    "--check",
    is_flag=True,
    help="Only what is wrong for the models in the settings; status 1 when a price is missing, retired or old.",
)
@click.option("--provider", help="Only this provider's.")
def prices(as_json: bool, check: bool, provider: str | None) -> None:
    """Show what providers charge: shipped prices, and your own (ANTIPHON_PRICES) before them.

    A price is old when it was last verified more than 180 days ago. A file that cannot be used is named with its row
    and what to do.
    """
    from antiphon.app.usage import prices_of

    settings = effective_settings().settings
    book = prices_of(settings)
    today = Calendar(time_zone(settings.time_zone), wall=time.time, steady=time.monotonic).today()
    if check:
        _check(book, settings, today)
        return
    rows = [row for row in book.rows if provider in (None, row.provider)]
    if as_json:
        for row in rows:
            click.echo(json.dumps(_facts(row, book, today), ensure_ascii=False))
        return
    console = Console()
    console.print(_table(rows, book, today))
    console.print(
        f"US dollars. Yours win: {settings.prices or 'ANTIPHON_PRICES names no file'}.", style="dim"
    )


def _table(rows: list[PriceRow], book: PriceBook, today: date) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("price", justify="right", no_wrap=True)
    table.add_column("for", no_wrap=True)
    table.add_column("verified")
    for row in rows:
        state = state_of(row, book, today)
        notes = [str(row.verified or ""), "old" if state == "old" else ""]
        if row.retired is not None:
            notes.append(f"{'retired' if state == 'retired' else 'ends'} {row.retired}")
        table.add_row(
            row.name,
            "" if row.unit == "free" else f"{row.price.normalize():f}",
            unit_text(row),
            f"[{STATES[state]}]{', '.join(filter(None, dict.fromkeys(notes)))}[/]",
        )
    return table


def unit_text(row: PriceRow) -> str:
    """``minute``, ``1M input tokens``, with the transport and the minimum."""
    words = [row.unit.replace("million", "1M").replace("_", " ")]
    if row.transport != "any":
        words.append(f"({row.transport})")
    text = " ".join(words)
    return f"{text}, at least {row.minimum:f} {MINIMUM_OF.get(row.meter, 'tokens')}" if row.minimum else text


def state_of(row: PriceRow, book: PriceBook, today: date) -> str:
    """``ok``, ``old`` or ``retired``."""
    stale = book.stale(today, [row])
    if not stale:
        return "ok"
    return "retired" if row.is_over(today) else "old"


def _facts(row: PriceRow, book: PriceBook, today: date) -> dict[str, object]:
    return {
        "provider": row.provider,
        "model": row.model,
        "aliases": list(row.aliases),
        "transport": row.transport,
        "unit": row.unit,
        "price_usd": None if row.unit == "free" else float(row.price),
        "minimum": float(row.minimum),
        "step": float(row.step),
        "source": row.source,
        "verified": row.verified and row.verified.isoformat(),
        "retired": row.retired and row.retired.isoformat(),
        "file": row.file,
        "row": row.number,
        "state": state_of(row, book, today),
    }


def _check(book: PriceBook, settings: Settings, today: date) -> None:
    kinds: tuple[Kind, ...] = get_args(Kind)
    problems = [problem for kind in kinds for problem in _check_kind(book, settings, kind, today)]
    for line in dict.fromkeys([*problems, *_doubts(book, settings)]):
        click.echo(line, err=True)
    if problems:
        raise click.exceptions.Exit(1)
    click.echo("Every model in the settings has a price that is up to date.")


def _doubts(book: PriceBook, settings: Settings) -> Iterator[str]:
    """Own rows for a model that is nearly called as one that there is. Only the operator knows whether it is one."""
    kinds: tuple[Kind, ...] = get_args(Kind)
    chosen = {choice for kind in kinds for choice in getattr(settings, kind)}
    shipped = [row for row in book.shipped if not row.model.endswith("*")]
    for row in book.own:
        names = {choice.model for choice in chosen if choice.provider == row.provider}
        if row.model.endswith("*") or any(map(row.nearness, names)) or any(map(row.meets, shipped)):
            continue
        names |= {other.model for other in shipped if other.provider == row.provider}
        # Other digits are another model: gpt-5.1 is no mistake for gpt-5.
        alike = {name.casefold(): name for name in names if _digits(name) == _digits(row.model)}
        for near in get_close_matches(row.model.casefold(), alike, n=1, cutoff=0.8):
            yield f"{row.place}: it prices no model that is known here; if {alike[near]!r} is meant, write that."


def _digits(name: str) -> str:
    return "".join(filter(str.isdigit, name))


def _check_kind(book: PriceBook, settings: Settings, kind: Kind, today: date) -> list[str]:
    problems: list[str] = []
    for choice in getattr(settings, kind):
        name = str(choice)
        if choice.model and not book.knows(name, kind, today):
            problems.append(f"ANTIPHON_{kind.upper()}: {name} has no price; add a row to your price file.")
        rows = {row for way in ("batch", "stream") for row in book.tariff(name, way, today).values()}
        problems += [
            f"{found.row.place}: {found.problem}; look it up again." for found in book.stale(today, rows)
        ]
    return problems
