"""``antiphon doctor``: is everything there that the settings need, and what to do about what is not."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from antiphon.cli.effective import effective_settings
from antiphon.cli.finding import Finding
from antiphon.cli.findings import examine, settings_finding
from antiphon.errors import SettingsError

MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "fail": ("✗", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
@click.option(
    "--thorough", is_flag=True, help="Hash every model file again, instead of trusting unchanged ones."
)
def doctor(as_json: bool, thorough: bool) -> None:
    """Check settings, models, providers, port, memory, processor and disk, and say what to do about each
    finding.

    The exit status is 1 when something would keep the server from answering.
    """
    try:
        loaded = effective_settings()
    except SettingsError as error:
        findings = [settings_finding(error)]
    else:
        findings = examine(loaded, thorough=thorough)
    if as_json:
        for finding in findings:
            click.echo(json.dumps(asdict(finding), ensure_ascii=False))
    else:
        show(Console(), findings)
    if any(finding.level == "fail" for finding in findings):
        raise SystemExit(1)


def show(console: Console, findings: list[Finding]) -> None:
    """A line a finding, and below it what to do."""
    table = Table.grid(padding=(0, 1))
    for finding in findings:
        mark, colour = MARKS[finding.level]
        table.add_row(Text(mark, style=colour), Text(finding.about, style="bold"), Text(finding.text))
        if finding.advice:
            table.add_row("", "", Text(f"→ {finding.advice}", style=colour))
    console.print(table)
    failed = sum(finding.level == "fail" for finding in findings)
    noted = sum(finding.level == "note" for finding in findings)
    console.print()
    if failed:
        console.print(
            Text(f"{failed} thing{'s' if failed > 1 else ''} to mend before it can answer.", style="red")
        )
    elif noted:
        console.print(Text("It will work; the notes above say what could be better.", style="yellow"))
    else:
        console.print(Text("All is well: antiphon serve", style="green"))
