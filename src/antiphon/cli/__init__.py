"""The command line. Each command is a file, loaded when it is asked for: ``antiphon settings`` need not
wait for the web server to be imported."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import click

from antiphon import __version__
from antiphon.errors import AntiphonError

# Before numpy is first imported: our arrays are a few seconds of sound, and OpenBLAS's idle threads spin, which took
# a third of a short turn's processor time from the models.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

COMMANDS = {
    "serve": "antiphon.cli.serve:serve",
    "call": "antiphon.cli.call:call",
    "load": "antiphon.cli.load:load",
    "sessions": "antiphon.cli.sessions:sessions",
    "key": "antiphon.cli.key:key",
    "replay": "antiphon.cli.replay:replay_flight",
    "models": "antiphon.cli.models:models",
    "report": "antiphon.cli.report:report",
    "settings": "antiphon.cli.settings:settings",
    "prices": "antiphon.cli.prices:prices",
    "ledger": "antiphon.cli.ledger:ledger",
    "doctor": "antiphon.cli.doctor:doctor",
    "verify": "antiphon.cli.verify:verify",
}
"""Command → where it is."""


class Commands(click.Group):
    """The commands, and the edge where an error of ours becomes one line for people."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AntiphonError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="antiphon")
def main() -> None:
    """Antiphon: a voice assistant server. You speak, it answers in under a second, you can cut it short."""
