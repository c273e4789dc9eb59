"""The scripted providers that settings ask for: no models, set times, for tests and benchmarks."""

from __future__ import annotations

from antiphon.errors import SettingsError
from antiphon.providers.base import LanguageModel, Recognizer, Synthesizer
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    repeat_user,
)
from antiphon.settings import ProviderChoice, Settings

MODELS = {"asr": ("batch", "streaming"), "llm": (), "tts": ("coded", "hum")}
"""What may follow ``scripted:``; the first is meant when nothing does."""


PROMPTS_KEPT = 4
"""That the language model remembers having been sent: nobody asks a server."""


def check_scripted(settings: Settings) -> None:
    """Raises SettingsError for a scripted model that there is not."""
    for kind, known in MODELS.items():
        chain: tuple[ProviderChoice, ...] = getattr(settings, kind)
        for choice in chain:
            if choice.provider == "scripted" and choice.model and choice.model not in known:
                allowed = " or ".join(("scripted", *(f"scripted:{name}" for name in known)))
                raise SettingsError(
                    f"ANTIPHON_{kind.upper()} names {choice}, which there is not; use {allowed}."
                )


def scripted_recognizer(settings: Settings, choice: ProviderChoice) -> Recognizer:
    """``scripted``, or ``scripted:streaming`` with interim transcripts."""
    return ScriptedRecognizer(
        latency_s=settings.scripted_asr_ms / 1000,
        streaming=choice.model == "streaming",
        fallback=settings.scripted_transcript,
    )


def scripted_language_model(settings: Settings, choice: ProviderChoice) -> LanguageModel:
    """``scripted``."""
    return ScriptedLanguageModel(
        [settings.scripted_reply] if settings.scripted_reply else repeat_user,
        first_token_s=settings.scripted_llm_first_token_ms / 1000,
        tokens_per_s=settings.scripted_llm_tokens_per_s,
        kept=PROMPTS_KEPT,
    )


def scripted_synthesizer(settings: Settings, choice: ProviderChoice) -> Synthesizer:
    """``scripted`` speaks in code that tests understand; ``scripted:hum`` is easier on the ear."""
    return ScriptedSynthesizer(
        first_chunk_s=settings.scripted_tts_ms / 1000, sound="hum" if choice.model == "hum" else "coded"
    )
