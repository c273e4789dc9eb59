"""``antiphon load``: many callers at once, and what they met with."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import click
import uvloop
from rich.console import Console

from antiphon.cli.load_report import show_load
from antiphon.load.link import place
from antiphon.load.mix import Mix
from antiphon.load.report import Report
from antiphon.load.run import Load, LoadPlan
from antiphon.load.tickets import Credentials

SECONDS_A_MINUTE = 60.0


@click.command()
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Server to call.")
@click.option(
    "--callers", type=click.IntRange(1, 4000), default=10, show_default=True, help="How many at once."
)
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="For how long."
)
@click.option(
    "--ramp",
    type=click.FloatRange(0),
    default=2.0,
    show_default=True,
    help="Seconds over which they come in.",
)
@click.option(
    "--mix",
    default="talk=60,pause=15,interrupt=15,drop=5,leave=5",
    show_default=True,
    help="What they do, with weights: talk, pause inside a turn, interrupt, drop the connection and resume, "
    "leave and call anew.",
)
@click.option(
    "--speech",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of WAV files to say. Without it, numbered coded speech, which only a server with scripted "
    "providers understands.",
)
@click.option(
    "--packet-ms", type=click.IntRange(20, 60), default=40, show_default=True, help="Sound a message, ms."
)
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same callers.")
@click.option("--language", default="", help="Language spoken: ISO 639-1, or auto.")
@click.option("--password", envvar="ANTIPHON_LOAD_PASSWORD", default="", help="Password to get tickets with.")
@click.option(
    "--api-key",
    envvar="ANTIPHON_LOAD_API_KEY",
    default="",
    help="API key, or token of the identity provider, to get tickets with.",
)
@click.option("--origin", default="", help="Origin to send, as a browser would.")
@click.option("--from-address", default="", help="Address of this machine to call from.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False), help="Certificates to trust, for https.")
@click.option("--insecure", is_flag=True, help="Trust any certificate, for https.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def load(
    url: str,
    callers: int,
    minutes: float,
    ramp: float,
    mix: str,
    speech: Path | None,
    packet_ms: int,
    seed: int,
    language: str,
    password: str,
    api_key: str,
    origin: str,
    from_address: str,
    ca: str | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Hold many conversations with a server in real time, and report what they met with: time to the first
    sound, gaps in the sound, lost and doubled turns, reconnections.

    The exit status is 1 when a turn or a conversation was lost, a turn taken twice, or a caller kept away to the
    end; Ctrl-C ends the run early, with its report.
    """
    plan = LoadPlan(
        where=place(url, insecure=insecure, ca=ca, origin=origin, local_address=from_address),
        callers=callers,
        duration_s=minutes * SECONDS_A_MINUTE,
        ramp_s=ramp,
        mix=Mix.parse(mix),
        speech=speech,
        packet_ms=packet_ms,
        seed=seed,
        start={"language": language} if language else {},
        credentials=Credentials(password=password, bearer=api_key),
    )
    came_to = uvloop.run(_run(plan))
    if as_json:
        click.echo(json.dumps(came_to.as_object()))
    else:
        show_load(Console(), came_to)
    sys.exit(0 if came_to.sound else 1)


async def _run(plan: LoadPlan) -> Report:
    load = Load(plan)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, load.stop)
    return await load.run()
