"""``antiphon replay``: what other turn-taking settings would have made of a saved session."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from antiphon.errors import AntiphonError
from antiphon.turns.events import Note
from antiphon.turns.policy import Preset, Speculation, TurnPolicy
from antiphon.turns.replay import Difference, Flight, NotAFlight, compare, flight_from, replay


class FlightError(AntiphonError):
    """The file cannot be replayed."""

    code = "bad_flight"


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--turns", type=click.Choice(["quick", "balanced", "patient", "silence"]), help="Another preset."
)
@click.option(
    "--silence-ms", type=click.IntRange(100, 5000), help="With `silence`: the silence that ends a turn."
)
@click.option("--speculation", type=click.Choice(["off", "asr", "llm", "tts"]), help="How far to work ahead.")
@click.option("--barge-in/--no-barge-in", default=None, help="Whether speech over a reply can stop it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a decision.")
def replay_flight(
    file: Path,
    turns: Preset | None,
    silence_ms: int | None,
    speculation: Speculation | None,
    barge_in: bool | None,
    as_json: bool,
) -> None:
    """Play a saved session (ANTIPHON_RECORDINGS) through the turn machine again, with other settings, and
    show each decision then and now.

    The user speaks as recorded, whatever the assistant does: what would have been said to another one
    nobody knows.
    """
    flight = _read(file)
    policy = other_policy(flight, turns, silence_ms, speculation, barge_in)
    differences = compare(flight.decisions, replay(flight, policy))
    if as_json:
        for difference in differences:
            click.echo(json.dumps(_object(difference), ensure_ascii=False))
    else:
        Console().print(_table(differences))


def other_policy(
    flight: Flight,
    turns: Preset | None,
    silence_ms: int | None,
    speculation: Speculation | None,
    barge_in: bool | None,
) -> TurnPolicy:
    """The recorded policy with what was given in its place."""
    recorded = flight.policy
    silence_s = recorded.silence_s if silence_ms is None else silence_ms / 1000
    policy = recorded
    if turns is not None or silence_ms is not None:
        preset = TurnPolicy.of(turns or recorded.preset, silence_s=silence_s)
        policy = replace(
            recorded,
            preset=preset.preset,
            sure_wait_s=preset.sure_wait_s,
            unsure_wait_s=preset.unsure_wait_s,
            silence_s=preset.silence_s,
        )
    if speculation is not None:
        policy = replace(policy, speculation=speculation)
    return policy if barge_in is None else replace(policy, barge_in=barge_in)


def _read(file: Path) -> Flight:
    try:
        return flight_from(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise FlightError(f"{file} cannot be read: {error.strerror or error}") from error
    except NotAFlight as error:
        raise FlightError(f"{file} is {error}") from error
    except ValueError as error:
        raise FlightError(f"{file} is not a flight recording: it is not JSON") from error


def _table(differences: tuple[Difference, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("then", no_wrap=True)
    table.add_column("why")
    table.add_column("now", no_wrap=True)
    table.add_column("why")
    for pair in differences:
        table.add_row(*_cells(pair.before), *_cells(pair.after), style=_style(pair))
    return table


def _cells(note: Note | None) -> tuple[str, str]:
    return ("-", "") if note is None else (f"{note.at:7.2f} s {note.kind}", note.reason)


def _style(pair: Difference) -> str:
    if pair.before is None or pair.after is None:
        return "bold yellow"
    return "" if abs(pair.before.at - pair.after.at) > SAME_S else "dim"


SAME_S = 0.05
"""Decisions nearer than this are the same one."""


def _object(pair: Difference) -> dict[str, object]:
    return {"then": _note(pair.before), "now": _note(pair.after)}


def _note(note: Note | None) -> dict[str, object] | None:
    if note is None:
        return None
    return {
        "at_s": round(note.at, 3),
        "kind": note.kind,
        "reason": note.reason,
        "details": dict(note.details),
    }
