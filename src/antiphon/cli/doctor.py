"""``antiphon doctor``: is everything there that the settings need, and what to do about what is not."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from antiphon.cli.effective import effective_settings
from antiphon.cli.finding import Finding
from antiphon.cli.findings import examine, settings_finding
from antiphon.cli.provider_checks import check_providers
from antiphon.errors import SettingsError

MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "fail": ("✗", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
@click.option(
    "--thorough", is_flag=True, help="Hash every model file again, instead of trusting unchanged ones."
)
@click.option(
    "--providers",
    is_flag=True,
    help="Instead: make one small real call to each chosen provider, and time it.",
)
def doctor(as_json: bool, thorough: bool, providers: bool) -> None:
    """Check settings, models, providers, port, memory, processor and disk, and say what to do about each
    finding.

    With --providers everybody named in asr, llm and tts is asked for something small, fallbacks too: how long the
    connection, the first result and all of it take, which model answered, and what is wrong where it did not. That
    costs a fraction of a cent with vendors.

    The exit status is 1 when something would keep the server from answering.
    """
    answers = False
    try:
        loaded = effective_settings()
        settings = loaded.settings
    except SettingsError as error:
        findings = [settings_finding(error)]
        told = [asdict(finding) for finding in findings]
    else:
        if providers:
            checks = asyncio.run(check_providers(settings))
            findings, told = [check.finding for check in checks], [check.as_json() for check in checks]
            answered = {check.kind for check in checks if check.outcome == "ok"}
            # A setting that cannot be stops the start, whoever else there is.
            answers = all(check.kind in answered and check.outcome != "bad_setting" for check in checks)
        else:
            findings = examine(loaded, thorough=thorough)
            told = [asdict(finding) for finding in findings]
    if as_json:
        for line in told:
            click.echo(json.dumps(line, ensure_ascii=False))
    else:
        show(Console(), findings, answers=answers)
    if any(finding.level == "fail" for finding in findings):
        raise SystemExit(1)


def show(console: Console, findings: list[Finding], *, answers: bool = False) -> None:
    """A line a finding, and below it what to do. ``answers``: in spite of what is to mend."""
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
        rest = "; fallbacks answer meanwhile." if answers else " before it can answer."
        console.print(Text(f"{failed} thing{'s' if failed > 1 else ''} to mend{rest}", style="red"))
    elif noted:
        console.print(Text("It will work; the notes above say what could be better.", style="yellow"))
    else:
        console.print(Text("All is well: antiphon serve", style="green"))
