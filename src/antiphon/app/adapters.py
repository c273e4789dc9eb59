"""From the names in the settings to whom they mean: embedded, scripted, or a vendor's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from antiphon.app.local import LocalModels, Spoken
from antiphon.app.scripted import scripted_language_model, scripted_recognizer, scripted_synthesizer
from antiphon.app.vendors import Vendors, open_vendors
from antiphon.errors import SettingsError
from antiphon.providers.base import LanguageModel, Recognizer, Synthesizer
from antiphon.settings import ProviderChoice, Settings

OWN = frozenset({"local", "scripted"})
"""Those that need no connection."""

Choices = Mapping[Spoken, Sequence[ProviderChoice]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """Whom the settings name, in their order."""

    recognizers: Sequence[Recognizer]
    language_models: Sequence[LanguageModel]
    synthesizers: Sequence[Synthesizer]


def first_local(chain: Sequence[ProviderChoice]) -> ProviderChoice | None:
    """The embedded one of a chain that is loaded; those after it are there for when it cannot be."""
    return next((choice for choice in chain if choice.provider == "local"), None)


def links(chain: Sequence[ProviderChoice]) -> list[ProviderChoice]:
    """Those of a chain that are asked: of the embedded ones only the one that is loaded."""
    return [choice for choice in chain if choice.provider != "local" or choice is first_local(chain)]


def asks_vendors(choices: Choices) -> bool:
    """Whether anybody outside this process is asked."""
    return any(choice.provider not in OWN for chain in choices.values() for choice in chain)


async def build_adapters(
    settings: Settings, choices: Choices, local: LocalModels, vendors: Vendors
) -> Adapters:
    """All of them; nothing is connected yet. Raises SettingsError for those that cannot be: no key, no such role, no
    such voice."""
    return Adapters(
        recognizers=[await _recognizer(settings, choice, local, vendors) for choice in links(choices["asr"])],
        language_models=[
            await _language_model(settings, choice, local, vendors) for choice in links(choices["llm"])
        ],
        synthesizers=[
            await _synthesizer(settings, choice, local, vendors) for choice in links(choices["tts"])
        ],
    )


async def check_choices(settings: Settings) -> None:
    """Raises SettingsError for vendors that cannot be asked as the settings are: a key that is missing, a part that
    they do not do, a voice that they do not have. Nothing is sent."""
    chains: Choices = {"asr": settings.asr, "llm": settings.llm, "tts": settings.tts}
    if not asks_vendors(chains):
        return
    async with open_vendors(settings) as vendors:
        for choice in chains["asr"]:
            if choice.provider not in OWN:
                await vendors.recognizer(choice)
        for choice in chains["llm"]:
            if choice.provider not in OWN:
                await vendors.language_model(choice)
        for choice in chains["tts"]:
            if choice.provider not in OWN:
                check_voice(settings, choice, await vendors.synthesizer(choice))


def check_voice(settings: Settings, choice: ProviderChoice, speaker: Synthesizer) -> None:
    """Callers who do not choose are answered in the operator's voice by whoever is preferred, who must have it: raises
    SettingsError. Fallbacks speak in their own when they do not know it, and of some vendors any name may be one."""
    known = speaker.info.voices
    if choice == settings.tts[0] and settings.voice and not operators_voice(settings, known):
        raise SettingsError(
            f"ANTIPHON_VOICE={settings.voice!r}: {speaker.info.name} has no such voice; it has {', '.join(known)}."
        )


def operators_voice(settings: Settings, known: Sequence[str]) -> str:
    """``ANTIPHON_VOICE`` as the voices that are ``known`` have it: ``sarah`` for ``Sarah``. Empty when they do not."""
    named = (settings.voice, *(name for name in known if name.lower() == settings.voice.lower()))
    return settings.voice if not known else next((name for name in named if name in known), "")


async def _recognizer(
    settings: Settings, choice: ProviderChoice, local: LocalModels, vendors: Vendors
) -> Recognizer:
    match choice.provider:
        case "local":
            return local.recognizer()
        case "scripted":
            return scripted_recognizer(settings, choice)
        case _:
            return await vendors.recognizer(choice)


async def _language_model(
    settings: Settings, choice: ProviderChoice, local: LocalModels, vendors: Vendors
) -> LanguageModel:
    match choice.provider:
        case "local":
            return local.language_model()
        case "scripted":
            return scripted_language_model(settings, choice)
        case _:
            return await vendors.language_model(choice)


async def _synthesizer(
    settings: Settings, choice: ProviderChoice, local: LocalModels, vendors: Vendors
) -> Synthesizer:
    match choice.provider:
        case "local":
            speaker = local.synthesizer()
        case "scripted":
            speaker = scripted_synthesizer(settings, choice)
        case _:
            speaker = await vendors.synthesizer(choice)
    check_voice(settings, choice, speaker)
    return speaker
