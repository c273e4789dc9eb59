"""The composition root: settings → providers → server. The only place that chooses a vendor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from antiphon.conversation.config import DEFAULT_INSTRUCTIONS, ConversationConfig, Providers
from antiphon.errors import AntiphonError, SettingsError
from antiphon.providers.base import LanguageModel, Recognizer, Synthesizer, TurnModel, VoiceDetector
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedTurnModel,
    ScriptedVoiceDetector,
    repeat_user,
)
from antiphon.server.application import Application, FrontDoor
from antiphon.server.origins import is_loopback
from antiphon.server.voice import VoiceLimits
from antiphon.sessions.offer import Assistant, Offer, Voice
from antiphon.sessions.readiness import ModelProgress, Readiness
from antiphon.settings import ProviderChoice, Settings
from antiphon.telemetry.logs import logger
from antiphon.turns.policy import TurnPolicy

FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 60.0
"""Between attempts to load what could not be loaded: a full disk or a lost network is often mended
meanwhile."""

Report = Callable[[ModelProgress], None]

log = logger(__name__)


def build_application(settings: Settings) -> Application:
    """The server for these settings; it starts loading once it is served."""

    async def load(readiness: Readiness) -> None:
        await keep_loaded(settings, readiness)

    return Application(
        FrontDoor(
            max_sessions=settings.max_sessions,
            allowed_origins=settings.allowed_origins,
            loopback_only=is_loopback(settings.host),
            limits=VoiceLimits(
                max_message_bytes=settings.max_message_bytes,
                start_timeout_s=settings.start_timeout_s,
                idle_timeout_s=settings.idle_timeout_s,
                drain_grace_s=settings.drain_grace_s,
            ),
        ),
        load,
    )


async def keep_loaded(settings: Settings, readiness: Readiness) -> None:
    """Load, and keep loaded until cancelled; what fails is tried again after a while."""
    wait_s = FIRST_RETRY_S
    while True:
        readiness.begin()
        try:
            async with open_assistant(settings, readiness.report) as assistant:
                readiness.open(assistant)
                log.info("ready", **provider_names(assistant.providers))
                await asyncio.Event().wait()
        except AntiphonError as error:
            log.error("not ready", problem=error.message, retry_in_s=wait_s)
            readiness.fail(error)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, LONGEST_RETRY_S)


def provider_names(providers: Providers) -> dict[str, str]:
    """Who does what, as logs and ``antiphon doctor`` say it."""
    return {
        "asr": providers.recognizer.info.name,
        "llm": providers.language_model.info.name,
        "tts": providers.synthesizer.info.name,
        "ear": providers.voice_detector.info.name,
    }


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


@asynccontextmanager
async def open_assistant(settings: Settings, report: Report) -> AsyncIterator[Assistant]:
    """Everything that a conversation needs, loaded and warm; let go of on leaving. Raises AntiphonError."""
    async with AsyncExitStack():
        recognizer = scripted_recognizer(settings, settings.asr[0])
        language_model = scripted_language_model(settings, settings.llm[0])
        synthesizer = scripted_synthesizer(settings, settings.tts[0])
        detector, turn_model = ScriptedVoiceDetector(), ScriptedTurnModel()
        providers = Providers(
            recognizer=recognizer,
            language_model=language_model,
            synthesizer=synthesizer,
            voice_detector=detector,
            turn_model=turn_model,
        )
        yield Assistant(
            providers=providers,
            offer=offer(synthesizer, recognizer),
            defaults=conversation_defaults(settings),
        )


def offer(synthesizer: Synthesizer, recognizer: Recognizer) -> Offer:
    """What callers can choose from, as the providers say."""
    voices = tuple(Voice(id=name, name=name, language="") for name in synthesizer.info.voices)
    return Offer(
        voices=voices, default_voice=voices[0].id if voices else "", languages=recognizer.info.languages
    )


# ---- scripted ---------------------------------------------------------------------------------------------


def scripted_recognizer(settings: Settings, choice: ProviderChoice) -> Recognizer:
    """``scripted``, or ``scripted:streaming`` with interim transcripts."""
    _check_model(choice, ("batch", "streaming"))
    return ScriptedRecognizer(
        latency_s=settings.scripted_asr_ms / 1000,
        streaming=choice.model == "streaming",
        fallback=settings.scripted_transcript,
    )


def scripted_language_model(settings: Settings, choice: ProviderChoice) -> LanguageModel:
    """``scripted``."""
    _check_model(choice, ())
    return ScriptedLanguageModel(
        [settings.scripted_reply] if settings.scripted_reply else repeat_user,
        first_token_s=settings.scripted_llm_first_token_ms / 1000,
        tokens_per_s=settings.scripted_llm_tokens_per_s,
    )


def scripted_synthesizer(settings: Settings, choice: ProviderChoice) -> Synthesizer:
    """``scripted`` speaks in code that tests understand; ``scripted:hum`` is easier on the ear."""
    _check_model(choice, ("coded", "hum"))
    return ScriptedSynthesizer(
        first_chunk_s=settings.scripted_tts_ms / 1000, sound="hum" if choice.model == "hum" else "coded"
    )


def scripted_ear() -> tuple[VoiceDetector, TurnModel]:
    """Loud is speech, and what ends without a comma is over."""
    return ScriptedVoiceDetector(), ScriptedTurnModel()


def _check_model(choice: ProviderChoice, known: tuple[str, ...]) -> None:
    if choice.model and choice.model not in known:
        allowed = " or ".join(("scripted", *(f"scripted:{name}" for name in known)))
        raise SettingsError(f"there is no {choice}; use {allowed}")
