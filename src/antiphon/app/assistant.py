"""From settings to an assistant that is loaded and warm: who hears, thinks and speaks, and what callers
can choose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import get_args

from antiphon.app.local import Spoken, chosen_profile, failed_kind, model_ref, open_models
from antiphon.app.scripted import (
    scripted_language_model,
    scripted_recognizer,
    scripted_synthesizer,
)
from antiphon.conversation.config import DEFAULT_INSTRUCTIONS, ConversationConfig, Providers
from antiphon.errors import ModelError
from antiphon.inference.catalog import Kind
from antiphon.inference.kokoro import LANGUAGES as KOKORO_LANGUAGES
from antiphon.providers.base import ProviderInfo
from antiphon.providers.scripted import ScriptedTurnModel, ScriptedVoiceDetector
from antiphon.sessions.offer import Assistant, Offer, Voice
from antiphon.sessions.readiness import ModelProgress
from antiphon.settings import ProviderChoice, Settings
from antiphon.telemetry.logs import logger
from antiphon.turns.policy import TurnPolicy

Report = Callable[[ModelProgress], None]
Choices = dict[Spoken, tuple[ProviderChoice, ...]]
"""Who is still in question for each part, the preferred first."""

COMMON_LANGUAGES = ("en", "es", "fr", "de", "it", "pt", "nl", "pl", "hi", "ja", "zh")
"""Shown when a recogniser knows dozens: those that the embedded voices speak, and a few more that it hears
well."""

log = logger(__name__)


@asynccontextmanager
async def open_assistant(settings: Settings, report: Report) -> AsyncIterator[Assistant]:
    """Everything that a conversation needs, loaded and warm; let go of on leaving. Raises AntiphonError.

    When a model cannot be loaded and its setting names another, that one is used.
    """
    choices = first_choices(settings)
    async with AsyncExitStack() as stack:
        while True:
            attempt = AsyncExitStack()
            try:
                providers = await _open_providers(settings, choices, report, attempt)
                break
            except ModelError as error:
                await attempt.aclose()
                _drop_choice(settings, choices, error)
        stack.push_async_exit(attempt)
        yield Assistant(providers=providers, offer=offer(providers), defaults=conversation_defaults(settings))


def first_choices(settings: Settings) -> Choices:
    """As the settings say."""
    return {"asr": settings.asr, "llm": settings.llm, "tts": settings.tts}


def local_refs(settings: Settings, choices: Choices) -> dict[Kind, str]:
    """The embedded models that the preferred choices need: kind → catalog id, path or Hugging Face id."""
    profile, _ = chosen_profile(settings)
    refs: dict[Kind, str] = {}
    if not hears_by_script(settings, choices):
        refs["vad"] = profile.vad
        if settings.turns != "silence":  # plain silence needs no model to judge it
            refs["turn"] = profile.turn
    for kind, chain in choices.items():
        if chain[0].provider == "local":
            refs[kind] = model_ref(chain[0], kind, profile)
    return refs


def hears_by_script(settings: Settings, choices: Choices) -> bool:
    """Whether a loudness threshold notices speech, and no model."""
    if settings.ear == "auto":
        return all(chain[0].provider == "scripted" for chain in choices.values())
    return settings.ear == "scripted"


async def _open_providers(
    settings: Settings, choices: Choices, report: Report, stack: AsyncExitStack
) -> Providers:
    refs = local_refs(settings, choices)
    local = await stack.enter_async_context(open_models(settings, refs, report))
    asr, llm, tts = choices["asr"][0], choices["llm"][0], choices["tts"][0]
    by_script = hears_by_script(settings, choices)
    return Providers(
        recognizer=local.recognizer() if "asr" in refs else scripted_recognizer(settings, asr),
        language_model=local.language_model() if "llm" in refs else scripted_language_model(settings, llm),
        synthesizer=local.synthesizer() if "tts" in refs else scripted_synthesizer(settings, tts),
        voice_detector=ScriptedVoiceDetector() if by_script else local.voice_detector(),
        turn_model=ScriptedTurnModel() if by_script else local.turn_model(),
    )


def _drop_choice(settings: Settings, choices: Choices, error: ModelError) -> None:
    """Go on to the next choice of whose model failed; raise the error when there is none."""
    failed = failed_kind(error, settings, local_refs(settings, choices))
    for kind in get_args(Spoken):
        if kind == failed and len(choices[kind]) > 1:
            choices[kind] = choices[kind][1:]
            log.warning(
                "using the next choice", kind=kind, choice=str(choices[kind][0]), problem=error.message
            )
            return
    raise error


def conversation_defaults(settings: Settings) -> ConversationConfig:
    """The operator's choices."""
    return ConversationConfig(
        language=settings.language,
        voice=settings.voice,
        speed=settings.speed,
        system_prompt=settings.instructions or DEFAULT_INSTRUCTIONS,
        policy=TurnPolicy.of(
            settings.turns,
            speculation=settings.speculation,
            silence_s=settings.silence_ms / 1000,
            barge_in=settings.barge_in,
        ),
        max_reply_tokens=settings.reply_tokens,
        temperature=settings.temperature,
        context_tokens=settings.context_tokens,
    )


def offer(providers: Providers) -> Offer:
    """What callers can choose from, as the providers say."""
    speaker = providers.synthesizer.info
    return Offer(
        voices=tuple(voice(name, speaker) for name in speaker.voices),
        default_voice=speaker.voices[0] if speaker.voices else "",
        languages=providers.recognizer.info.languages or COMMON_LANGUAGES,
        any_language=not providers.recognizer.info.languages,
    )


def voice(name: str, speaker: ProviderInfo) -> Voice:
    """A voice as people are shown it. Kokoro's names tell language and sex: ``bf_emma`` is British and
    female."""
    prefix, separator, given = name.partition("_")
    if speaker.model.startswith("kokoro") and separator and prefix[:1] in KOKORO_LANGUAGES:
        language, accent = KOKORO_LANGUAGES[prefix[0]]
        sex = {"f": "female", "m": "male"}.get(prefix[1:2], "")
        return Voice(
            id=name, name=f"{given.title()} ({', '.join(filter(None, (accent, sex)))})", language=language
        )
    language = speaker.languages[0] if len(speaker.languages) == 1 else ""
    return Voice(id=name, name=name.replace("_", " ").title(), language=language)
