"""``antiphon settings``: what is in effect, and where it came from."""

from __future__ import annotations

import json

import click
from rich import box
from rich.console import Console
from rich.table import Table

from antiphon.cli.effective import effective_settings
from antiphon.settings import LoadedSettings
from antiphon.settings.reference import environment_name, group_of, help_of, shown_values, unit_of


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object: setting → value, source, unit.")
@click.option("--long", is_flag=True, help="With the line of help of each.")
def settings(as_json: bool, long: bool) -> None:
    """Show the settings in effect and where each came from; keys and tokens are hidden.

    A setting comes from the command line, the environment (ANTIPHON_PORT), .env, antiphon.toml (or the
    file that ANTIPHON_CONFIG names), or its default; the first that has it wins.
    """
    loaded = effective_settings()
    if as_json:
        click.echo(json.dumps(_objects(loaded), ensure_ascii=False, indent=2))
    else:
        Console().print(_table(loaded, long=long))


def _objects(loaded: LoadedSettings) -> dict[str, dict[str, str]]:
    shown = shown_values(loaded.settings)
    return {
        name: {"value": shown[name], "unit": unit_of(name), "source": loaded.sources[name]} for name in shown
    }


def _table(loaded: LoadedSettings, *, long: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", style="dim")
    if long:
        table.add_column("what it does", overflow="fold")
    group = ""
    for name, value in shown_values(loaded.settings).items():
        if group_of(name) != group:
            group = group_of(name)
            table.add_section()
        source = loaded.sources[name]
        unit = unit_of(name)
        row = [environment_name(name), f"{value} {unit}".strip(), source]
        table.add_row(*row, *([help_of(name)] if long else []), style="" if source == "default" else "bold")
    return table
