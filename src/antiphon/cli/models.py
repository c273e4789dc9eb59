"""``antiphon models``: what embedded models there are, fetching them, checking them, where they lie."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence

import click
from rich import box
from rich.console import Console
from rich.table import Table

from antiphon.app.local import model_store
from antiphon.cli.effective import effective_settings
from antiphon.cli.fetching import PullDisplay
from antiphon.errors import ModelError
from antiphon.inference.catalog import CatalogModel
from antiphon.inference.download import PackageClients
from antiphon.inference.profiles import (
    PROFILES,
    ProfileName,
    available_cores,
    available_memory,
    choose_profile,
)
from antiphon.inference.pull import Pull, PullPlan, megabytes, plan_pull
from antiphon.inference.store import ModelStore

STATES = {"ready": "green", "damaged": "red", "not here": "dim"}
"""State of a model → how it is shown."""

WIDE = 110
"""Columns of a terminal in which the models' titles have room too."""


@click.group()
def models() -> None:
    """Embedded models: list them, fetch them, check them, see where they lie.

    They are kept in the folder that ANTIPHON_MODELS names. An ID may leave out its kind: whisper-base.
    """


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model.")
def list_models(as_json: bool) -> None:
    """Show every model: what it is, its licence, its size, whether it is here."""
    store = _store()
    states = {model: _state(store, model) for model in store.catalog.models}
    if as_json:
        for model, state in states.items():
            click.echo(json.dumps(_facts(store, model, state), ensure_ascii=False))
        return
    console = Console()
    console.print(_table(states, wide=console.width >= WIDE))
    console.print(
        "Bold: what this machine's profile uses. `antiphon models pull` fetches those.", style="dim"
    )


def _table(states: Mapping[CatalogModel, str], *, wide: bool) -> Table:
    chosen = PROFILES[_profile("auto")[0]].models
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("id", no_wrap=True)
    if wide:
        table.add_column("what")
    for column in ("languages", "licence"):
        table.add_column(column)
    for column in ("fetch", "disk"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("here", no_wrap=True)
    for model, state in states.items():
        name = f"[bold]{model.id}[/]" if model.id in chosen else model.id
        title = [model.title] if wide else []
        sizes = megabytes(model.fetch_bytes), megabytes(model.disk_bytes)
        shown = f"[{STATES[state]}]{state}[/]"
        table.add_row(name, *title, _languages(model), model.licence, *sizes, shown)
    return table


@models.command()
@click.argument("ids", metavar="[ID]…", nargs=-1)
@click.option(
    "--profile",
    type=click.Choice(["auto", *PROFILES]),
    help="Fetch a profile's models. Without this and without IDs: those of the profile in effect.",
)
@click.option("--all", "everything", is_flag=True, help="Fetch every model of the catalog.")
def pull(ids: Sequence[str], profile: str | None, everything: bool) -> None:
    """Fetch models, check them, put them in place.

    What a stopped pull has fetched is kept: run it again and it goes on.
    """
    store = _store()
    console = Console(stderr=True)
    refs = _wanted(store, ids, profile, everything, console)
    plan = plan_pull(store, refs)
    _announce(plan, store, console)
    if plan.models:
        with PullDisplay(console) as display:
            job = Pull(store, PackageClients.of_this_machine(), report=display.show)
            asyncio.run(job.run(refs))
        console.print(f"Ready: {', '.join(model.id for model in plan.models)}", style="green")


@models.command()
@click.argument("ids", metavar="[ID]…", nargs=-1)
def verify(ids: Sequence[str]) -> None:
    """Hash the files of the models given, or of all that are here, and compare with the catalog.

    Ends with status 1 when one is missing or not as it should be.
    """
    store = _store()
    given = [store.catalog.find(ref) for ref in ids]
    chosen = given or [model for model in store.catalog.models if store.place(model).is_dir()]
    if not chosen:
        click.echo(f"No models in {store.root}. `antiphon models pull` fetches them.")
    failed = False
    for model in chosen:
        try:
            store.verify(model)
            click.echo(f"{model.id}: right")
        except ModelError as error:
            failed = True
            click.echo(error.message, err=True)
    if failed:
        raise click.exceptions.Exit(1)


@models.command()
@click.argument("model_id", metavar="[ID]", default="")
def path(model_id: str) -> None:
    """Print the folder of a model, or without ID the folder of all of them."""
    store = _store()
    click.echo(store.resolve(model_id).folder if model_id else store.root)


def _store() -> ModelStore:
    return model_store(effective_settings().settings)


def _profile(wanted: str) -> tuple[ProfileName, str]:
    for name in PROFILES:
        if name == wanted:
            return name, "as asked"
    loaded = effective_settings().settings
    if loaded.profile != "auto":
        return loaded.profile, "set by ANTIPHON_PROFILE"
    return choose_profile(available_memory(), loaded.threads or available_cores())


def _wanted(
    store: ModelStore, ids: Sequence[str], profile: str | None, everything: bool, console: Console
) -> list[str]:
    if everything:
        return [model.id for model in store.catalog.models]
    refs = [store.catalog.find(ref).id for ref in ids]
    if profile is not None or not refs:
        name, why = _profile(profile or "auto")
        console.print(f"Profile {name}: {why}.")
        refs += PROFILES[name].models
    return refs


def _announce(plan: PullPlan, store: ModelStore, console: Console) -> None:
    for model in plan.present:
        console.print(f"{model.id}: already here", style="dim")
    if plan.models:
        ids = ", ".join(model.id for model in plan.models)
        console.print(f"Fetching {ids} into {store.root}", soft_wrap=True)
        room = f"{megabytes(plan.need_bytes)} of disk on the way, {megabytes(plan.free_bytes)} free"
        console.print(f"{megabytes(plan.fetch_bytes)} to download; {room}.")


def _state(store: ModelStore, model: CatalogModel) -> str:
    problems = store.problems(model)
    if not problems:
        return "ready"
    return "not here" if problems == ["not pulled"] else "damaged"


def _languages(model: CatalogModel) -> str:
    """One or two by name, else how many."""
    if "*" in model.languages:
        return "many"
    return " ".join(model.languages) if len(model.languages) < 3 else str(len(model.languages))


def _facts(store: ModelStore, model: CatalogModel, state: str) -> dict[str, object]:
    return {
        "id": model.id,
        "title": model.title,
        "kind": model.kind,
        "languages": list(model.languages),
        "licence": model.licence,
        "source": model.source,
        "fetch_bytes": model.fetch_bytes,
        "disk_bytes": model.disk_bytes,
        "state": state,
        "folder": str(store.place(model)),
    }
