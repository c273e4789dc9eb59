"""``antiphon verify``: does a deployment work, looked at from where its users are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from antiphon.cli.deployment import Address, address, is_the_end, way_findings
from antiphon.cli.deployment_call import Answer, Trial, call_findings
from antiphon.cli.deployment_page import page_findings
from antiphon.cli.finding import Finding
from antiphon.cli.waterfall import waterfall
from antiphon.load.tickets import Credentials

MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "fail": ("✗", "red")}


@click.command()
@click.argument("url")
@click.option(
    "--password",
    # The server's own setting, too: in its container, or in the shell of whoever set it up, it is there already.
    envvar=["ANTIPHON_VERIFY_PASSWORD", "ANTIPHON_PASSWORD"],
    default="",
    help="Where the server asks for one.",
)
@click.option("--api-key", envvar="ANTIPHON_VERIFY_API_KEY", default="", help="Where your backend has one.")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False),
    help="Certificates to trust instead of this machine's: of an authority of your own.",
)
@click.option("--insecure", is_flag=True, help="Go on in spite of a certificate that nobody vouches for.")
@click.option("--http-port", type=int, default=80, show_default=True, help="Where plain HTTP is answered.")
@click.option(
    "--no-turn", is_flag=True, help="Do not speak (a turn costs a tenth of a cent), nor try to resume."
)
@click.option(
    "--watch",
    type=click.FloatRange(0, 3600),
    default=0.0,
    metavar="SECONDS",
    help="At the end, hold a call for so long, as while you deploy, and tell what became of it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def verify(
    url: str,
    password: str,
    api_key: str,
    ca: str | None,
    insecure: bool,
    http_port: int,
    no_turn: bool,
    watch: float,
    as_json: bool,
) -> None:
    """Walk the chain to the deployment at URL as a user would, and say of each link whether it holds and how to
    mend it: name, port, certificate, HTTP/2, redirect, headers, health, closed doors, WebSocket, ticket, a spoken
    turn with its waterfall, a lost connection.

    The exit status is 1 when a link is broken.
    """
    if no_turn and watch:
        raise click.UsageError(
            "--watch needs a turn: a conversation without a word in it is not kept for anybody."
        )
    at = address(url, insecure=insecure, ca=ca)
    trial = Trial(
        at=at, credentials=Credentials(password=password, bearer=api_key), speak=not no_turn, watch_s=watch
    )
    console = Console()
    failed = asyncio.run(_walk(trial, at, http_port, console, as_json=as_json))
    if not as_json:
        console.print()
        if failed:
            console.print(Text(f"{failed} broken link{'s' if failed > 1 else ''}.", style="red"))
        else:
            console.print(Text(f"{at.url} works.", style="green"))
    if failed:
        raise SystemExit(1)


async def _walk(trial: Trial, at: Address, http_port: int, console: Console, *, as_json: bool) -> int:
    """Tell each finding as it comes; how many were failures."""
    failed = 0
    async for finding, answer in _findings(trial, at, http_port):
        failed += finding.level == "fail"
        _tell(finding, answer, console, as_json=as_json)
    return failed


async def _findings(
    trial: Trial, at: Address, http_port: int
) -> AsyncIterator[tuple[Finding, Answer | None]]:
    async for finding in way_findings(at, http_port=http_port):
        yield finding, None
        if is_the_end(finding):
            return
    async for finding in page_findings(at):
        yield finding, None
    async for found in call_findings(trial):
        yield found


def _tell(finding: Finding, answer: Answer | None, console: Console, *, as_json: bool) -> None:
    if as_json:
        stages = {}
        if answer is not None and answer.done is not None:
            stages = {"first_sound_ms": answer.first_sound_ms, "latency_ms": dict(answer.done.latency_ms)}
        click.echo(json.dumps({**asdict(finding), **stages}, ensure_ascii=False))
        return
    mark, colour = MARKS[finding.level]
    row = Table.grid(padding=(0, 1))
    row.add_column(min_width=1)
    row.add_column(min_width=12)
    row.add_column(overflow="fold")
    row.add_row(Text(mark, style=colour), Text(finding.about, style="bold"), Text(finding.text))
    if finding.advice:
        row.add_row("", "", Text(f"→ {finding.advice}", style=colour))
    console.print(row)
    if answer is not None and answer.done is not None:
        console.print(waterfall(answer.done, first_sound_ms=answer.first_sound_ms, columns=console.width))
