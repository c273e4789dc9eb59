"""From settings to an assistant that is loaded and warm: who hears, thinks and speaks, and what callers
can choose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Literal, assert_never, get_args

from antiphon.app.adapters import build_adapters, first_local, operators_voice
from antiphon.app.chains import Chains, watched
from antiphon.app.local import Spoken, chosen_profile, failed_kind, model_ref, open_models
from antiphon.app.vendors import open_vendors
from antiphon.conversation.config import DEFAULT_INSTRUCTIONS, ConversationConfig, Providers
from antiphon.errors import ModelError
from antiphon.inference.catalog import Kind
from antiphon.inference.kokoro import LANGUAGES as KOKORO_LANGUAGES
from antiphon.inference.vad import SileroDetector
from antiphon.providers.base import ProviderInfo, TurnModel, VoiceDetector
from antiphon.providers.scripted import ScriptedTurnModel, ScriptedVoiceDetector
from antiphon.sessions.offer import UNBILLED, Assistant, Offer, Voice
from antiphon.sessions.readiness import ModelProgress
from antiphon.settings import ProviderChoice, Settings
from antiphon.telemetry.logs import logger
from antiphon.turns.policy import TurnPolicy

Report = Callable[[ModelProgress], None]
Choices = dict[Spoken, tuple[ProviderChoice, ...]]
"""Who is still in question for each part, the preferred first."""
Noticing = Literal["local", "packaged", "scripted"]
"""How speech and the end of a turn are noticed: by models for both; speech by the network that this package carries,
ends by words and silence; or by loudness and the code that scripted callers speak in."""

COMMON_LANGUAGES = ("en", "es", "fr", "de", "it", "pt", "nl", "pl", "hi", "ja", "zh")
"""Shown when a recogniser knows dozens: those that the embedded voices speak, and a few more that it hears
well."""

NO_TURN_MODEL = (
    "onnxruntime, which runs the model that judges by the sound whether a turn is over, is not installed"
)

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
                chains, ear = await _open_providers(settings, choices, report, attempt)
                break
            except ModelError as error:
                await attempt.aclose()
                _drop_choice(settings, choices, error)
        stack.push_async_exit(attempt)
        await stack.enter_async_context(watched(chains))
        providers = Providers(
            recognizer=chains.recognizer,
            language_model=chains.language_model,
            synthesizer=chains.synthesizer,
            voice_detector=ear.detector,
            turn_model=ear.turn_model,
        )
        yield Assistant(
            providers=providers,
            offer=offer(providers),
            defaults=conversation_defaults(settings, providers),
            health=chains.health,
            depths=ear.depths,
        )


def first_choices(settings: Settings) -> Choices:
    """As the settings say."""
    return {"asr": settings.asr, "llm": settings.llm, "tts": settings.tts}


def local_refs(settings: Settings, choices: Choices) -> dict[Kind, str]:
    """The embedded models that are needed: kind → catalog id, path or Hugging Face id. Of each chain that is the
    first embedded one: as a fallback it is loaded, too, so that it is warm when it is needed."""
    profile, _ = chosen_profile(settings)
    refs: dict[Kind, str] = {}
    if noticing(settings, choices) == "local":
        refs["vad"] = profile.vad
        if settings.turns != "silence":  # plain silence needs no model to judge it
            refs["turn"] = profile.turn
    for kind, chain in choices.items():
        if (local := first_local(chain)) is not None:
            refs[kind] = model_ref(local, kind, profile)
    return refs


def embedded_ear() -> bool:
    """Whether what runs its models is installed."""
    return find_spec("onnxruntime") is not None


def noticing(
    settings: Settings, choices: Choices, *, installed: Callable[[], bool] = embedded_ear
) -> Noticing:
    """As the setting says; ``auto`` takes the best there is, for an installation that asks vendors only has no
    models."""
    if settings.ear != "auto":
        return settings.ear
    if all(chain[0].provider == "scripted" for chain in choices.values()):
        return "scripted"
    return "local" if installed() else "packaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ear:
    """Who notices speech and the end of a turn."""

    detector: VoiceDetector
    turn_model: TurnModel | None
    depths: Callable[[], Mapping[str, int]]
    """Queue of an embedded model → jobs waiting in it."""


async def _open_providers(
    settings: Settings, choices: Choices, report: Report, stack: AsyncExitStack
) -> tuple[Chains, Ear]:
    local = await stack.enter_async_context(open_models(settings, local_refs(settings, choices), report))
    # Without a vendor nothing is connected: an idle pool holds no socket.
    vendors = await stack.enter_async_context(open_vendors(settings))
    adapters = await build_adapters(settings, choices, local, vendors)
    for problem in await vendors.warm():
        log.warning("a provider does not answer yet", provider=problem.provider, problem=problem.message)
    match noticing(settings, choices):
        case "local":
            ear = Ear(detector=local.voice_detector(), turn_model=local.turn_model(), depths=local.depths)
        case "packaged":
            log.info("words and silence alone end a turn", reason=NO_TURN_MODEL)
            ear = _packaged_ear(stack.enter_context(SileroDetector()))
        case "scripted":
            ear = Ear(detector=ScriptedVoiceDetector(), turn_model=ScriptedTurnModel(), depths=local.depths)
        case never:
            assert_never(never)
    return Chains(settings, adapters), ear


def _packaged_ear(detector: SileroDetector) -> Ear:
    return Ear(detector=detector, turn_model=None, depths=lambda: {"voice_detection": detector.depth})


def _drop_choice(settings: Settings, choices: Choices, error: ModelError) -> None:
    """Go on without the choice whose model failed; raise the error when that was the only one."""
    kind = dispensable(settings, choices, error)
    if kind is None:
        raise error
    choices[kind] = others(choices[kind])
    log.warning(
        "going on without an embedded model",
        kind=kind,
        choices=[str(choice) for choice in choices[kind]],
        problem=error.message,
    )


def dispensable(settings: Settings, choices: Choices, error: ModelError) -> Spoken | None:
    """The part whose embedded model failed, when there is another choice for it."""
    failed = failed_kind(error, settings, local_refs(settings, choices))
    return next((kind for kind in get_args(Spoken) if kind == failed and others(choices[kind])), None)


def others(chain: tuple[ProviderChoice, ...]) -> tuple[ProviderChoice, ...]:
    """The choices beside the embedded model that is loaded."""
    return tuple(choice for choice in chain if choice is not first_local(chain))


def conversation_defaults(settings: Settings, providers: Providers) -> ConversationConfig:
    """The operator's choices."""
    hears, voices = providers.recognizer.info, providers.synthesizer.info.voices
    policy = TurnPolicy.of(
        settings.turns,
        speculation=settings.speculation,
        silence_s=settings.silence_ms / 1000,
        barge_in=settings.barge_in,
    )
    if not hears.streaming and hears.provider not in UNBILLED:
        # Each look at the words so far is a request for all of the sound, and billed.
        policy = replace(policy, interim_every_s=0.0)
    return ConversationConfig(
        language=settings.language,
        asr_prompt=settings.asr_prompt,
        # A fallback that took the place of embedded voices, which could not be loaded, need not know it.
        voice=operators_voice(settings, voices),
        speed=settings.speed,
        system_prompt=settings.instructions or DEFAULT_INSTRUCTIONS,
        policy=policy,
        max_reply_tokens=settings.reply_tokens,
        temperature=settings.temperature,
        context_tokens=settings.context_tokens,
        recorded=settings.recordings is not None,
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
