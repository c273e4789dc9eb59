"""From settings to an assistant: who is chosen, what happens when that one cannot start."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from antiphon.app import FIRST_RETRY_S, build_application, keep_loaded
from antiphon.app.adapters import links
from antiphon.app.assistant import (
    Noticing,
    conversation_defaults,
    first_choices,
    local_refs,
    noticing,
    offer,
    open_assistant,
    voice,
)
from antiphon.app.chains import stock_phrases
from antiphon.app.local import PULL_STAGES, check_memory
from antiphon.app.progress import ProgressLog
from antiphon.conversation.apology import apology
from antiphon.conversation.config import DEFAULT_INSTRUCTIONS, Providers
from antiphon.conversation.speakable import speakable
from antiphon.errors import ModelError, SettingsError
from antiphon.inference.catalog import Kind
from antiphon.inference.profiles import PROFILES
from antiphon.inference.store import ModelStore
from antiphon.providers.base import ProviderInfo
from antiphon.providers.resilience import ResilientLanguageModel, ResilientRecognizer
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedVoiceDetector,
)
from antiphon.providers.speech_cache import CachingSynthesizer
from antiphon.sessions.offer import Voice
from antiphon.sessions.readiness import ModelProgress, Readiness
from antiphon.settings import Settings, load_settings
from antiphon.telemetry.logs import configure_logs


def settings(**values: str) -> Settings:
    """All scripted, but for what is given."""
    scripted = dict.fromkeys(("asr", "llm", "tts"), "scripted")
    return load_settings({}, folder=Path("/nonexistent"), overrides=scripted | values).settings


def ignore(_: ModelProgress) -> None:
    pass


async def test_scripted_providers_follow_their_settings() -> None:
    wishes = settings(
        asr="scripted:streaming",
        tts="scripted:hum",
        scripted_asr_ms="120",
        scripted_llm_first_token_ms="50",
        scripted_llm_tokens_per_s="10",
        scripted_tts_ms="70",
        turns="patient",
        language="fr",
        instructions="Be brief.",
        asr_prompt="Antiphon, Lyon",
    )
    async with open_assistant(wishes, ignore) as assistant:
        recognizer, model, synthesizer = (links[0] for links in chains(assistant.providers))
        assert isinstance(recognizer, ScriptedRecognizer)
        assert isinstance(model, ScriptedLanguageModel)
        assert isinstance(synthesizer, ScriptedSynthesizer)
        assert (recognizer.latency_s, recognizer.info.streaming) == (0.12, True)
        assert (model.first_token_s, model.tokens_per_s) == (0.05, 10)
        assert synthesizer.first_chunk_s == 0.07
        assert isinstance(assistant.providers.voice_detector, ScriptedVoiceDetector)
        assert assistant.defaults.policy.preset == "patient"
        assert (assistant.defaults.language, assistant.defaults.system_prompt) == ("fr", "Be brief.")
        assert assistant.defaults.asr_prompt == "Antiphon, Lyon"


def chains(providers: Providers) -> tuple[list[Any], list[Any], list[Any]]:
    """Who hears, writes and speaks, in the order in which they are asked."""
    assert isinstance(providers.recognizer, ResilientRecognizer)
    assert isinstance(providers.language_model, ResilientLanguageModel)
    assert isinstance(providers.synthesizer, CachingSynthesizer)
    resilient = (providers.recognizer, providers.language_model, providers.synthesizer.voices)
    hear, write, speak = ([link.adapter for link in wrapped.chain.links] for wrapped in resilient)
    return hear, write, speak


async def test_a_chain_asks_in_the_order_of_the_setting() -> None:
    wishes = settings(asr="scripted:streaming,scripted:batch", tts="scripted:hum,scripted:coded")
    async with open_assistant(wishes, ignore) as assistant:
        hear, write, speak = chains(assistant.providers)
        assert [recognizer.info.streaming for recognizer in hear] == [True, False]
        assert (len(write), len(speak)) == (1, 2)
        assert [(state.kind, state.position) for state in assistant.health()] == [
            ("asr", 0),
            ("asr", 1),
            ("llm", 0),
            ("tts", 0),
            ("tts", 1),
        ]


async def test_patience_follows_the_settings() -> None:
    wishes = settings(
        stall_llm_ms="700", stall_gap_ms="900", hedge="true", retry_budget_s="3", breaker_failures="2"
    )
    async with open_assistant(wishes, ignore) as assistant:
        assert isinstance(assistant.providers.language_model, ResilientLanguageModel)
        limits = assistant.providers.language_model.chain.limits
        assert (limits.late_s, limits.gap_s, limits.budget_s, limits.hedge) == (0.7, 0.9, 3.0, True)
        assert isinstance(assistant.providers.recognizer, ResilientRecognizer)
        assert not assistant.providers.recognizer.chain.limits.hedge


def test_what_must_be_at_hand_is_what_the_voice_will_be_given() -> None:
    for language in ("en", "de", "fi"):
        phrases = stock_phrases(language)
        assert speakable(apology(language), language) in phrases
        assert apology(language) in phrases


async def test_without_instructions_the_built_in_ones_hold() -> None:
    async with open_assistant(settings(), ignore) as assistant:
        assert assistant.defaults.system_prompt == DEFAULT_INSTRUCTIONS


def test_a_scripted_model_that_there_is_not_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"ANTIPHON_ASR names scripted:psychic.*scripted:streaming"):
        build_application(settings(asr="scripted:psychic"))


async def test_the_next_choice_is_used_when_a_model_cannot_be_loaded(tmp_path: Path) -> None:
    wishes = settings(llm=f"local:{tmp_path}/gone.gguf,scripted", ear="scripted", models=str(tmp_path))
    async with open_assistant(wishes, ignore) as assistant:
        assert assistant.providers.language_model.info.name == "scripted:language-model"


async def test_without_another_choice_the_reason_is_told(tmp_path: Path) -> None:
    wishes = settings(llm=f"local:{tmp_path}/gone.gguf", ear="scripted", models=str(tmp_path))
    with pytest.raises(ModelError, match=r"no file or folder .*gone\.gguf"):
        async with open_assistant(wishes, ignore):
            pass


async def test_what_cannot_be_loaded_is_told_and_tried_again(tmp_path: Path) -> None:
    model = tmp_path / "late.gguf"
    wishes = settings(llm=f"local:{model}", ear="scripted", models=str(tmp_path))
    readiness = Readiness()
    loading = asyncio.ensure_future(keep_loaded(wishes, readiness))
    await asyncio.sleep(FIRST_RETRY_S / 2)
    assert "There is no file" in told(readiness)
    assert [(seen.stage, "late.gguf" in seen.message) for seen in readiness.models] == [("failed", True)]
    model.write_bytes(b"not a model")
    await asyncio.sleep(FIRST_RETRY_S)
    assert "is not a GGUF file" in told(readiness)
    loading.cancel()


def told(readiness: Readiness) -> str:
    return "" if readiness.failure is None else readiness.failure.message


def test_local_models_are_those_of_the_profile_or_those_named() -> None:
    wishes = settings(asr="local", llm="local:llm/smollm2-135m", tts="local", profile="fast")
    assert local_refs(wishes, first_choices(wishes)) == {
        "vad": "vad/silero-6",
        "turn": "turn/smart-turn-3.2",
        "asr": "asr/whisper-base",
        "llm": "llm/smollm2-135m",
        "tts": "tts/piper-en_US-joe",
    }


def test_an_embedded_fallback_is_loaded_too_and_only_the_first_of_a_kind() -> None:
    wishes = settings(llm="scripted,local:smollm2-135m,local:qwen2.5-coder-1.5b", ear="scripted")
    assert local_refs(wishes, first_choices(wishes)) == {"llm": "smollm2-135m"}
    assert [str(choice) for choice in links(wishes.llm)] == ["scripted", "local:smollm2-135m"]


async def test_a_fallback_that_cannot_be_loaded_is_done_without(tmp_path: Path) -> None:
    wishes = settings(llm=f"scripted,local:{tmp_path}/gone.gguf", ear="scripted", models=str(tmp_path))
    async with open_assistant(wishes, ignore) as assistant:
        assert [model.info.provider for model in chains(assistant.providers)[1]] == ["scripted"]


def test_models_that_cannot_fit_into_memory_are_refused_before_they_are_loaded(tmp_path: Path) -> None:
    store, profile = ModelStore(tmp_path), PROFILES["fast"]
    refs: dict[Kind, str] = {"vad": profile.vad, "asr": profile.asr, "llm": profile.llm, "tts": profile.tts}
    check_memory(store, refs, free=900_000_000)
    with pytest.raises(ModelError) as refused:
        check_memory(store, refs, free=300_000_000)
    assert "300" in refused.value.message
    assert "ANTIPHON_PROFILE" in refused.value.message
    check_memory(store, {}, free=0)


def test_plain_silence_needs_no_turn_model() -> None:
    wishes = settings(ear="local", turns="silence")
    assert set(local_refs(wishes, first_choices(wishes))) == {"vad"}


@pytest.mark.parametrize(
    ("values", "installed", "by"),
    [
        ({}, True, "scripted"),
        ({"ear": "local"}, False, "local"),
        ({"llm": "local"}, True, "local"),
        ({"llm": "local", "ear": "scripted"}, True, "scripted"),
        ({"llm": "openai"}, True, "local"),
        ({"llm": "openai"}, False, "packaged"),
        ({}, False, "scripted"),
    ],
)
def test_who_notices_speech(values: dict[str, str], installed: bool, by: Noticing) -> None:
    wishes = settings(**values)
    assert noticing(wishes, first_choices(wishes), installed=lambda: installed) == by


def test_voices_are_named_for_people() -> None:
    kokoro = ProviderInfo(provider="local", model="kokoro-82m-int8")
    assert voice("bf_emma", kokoro) == Voice(id="bf_emma", name="Emma (en-GB-x-rp, female)", language="en")
    piper = ProviderInfo(provider="local", model="piper-en_US-joe", languages=("en",))
    assert voice("joe", piper) == Voice(id="joe", name="Joe", language="en")


async def test_a_voice_that_there_is_not_keeps_the_server_from_being_ready() -> None:
    with pytest.raises(SettingsError, match=r"ANTIPHON_VOICE='nobody': .* it has scripted"):
        async with open_assistant(settings(voice="nobody"), ignore):
            pass
    async with open_assistant(settings(voice="scripted"), ignore) as assistant:
        assert assistant.defaults.voice == "scripted"


def test_a_fallback_in_the_place_of_embedded_voices_speaks_in_its_own() -> None:
    assert conversation_defaults(settings(voice="af_heart"), SCRIPTED).voice == ""
    passed_on = Providers(
        recognizer=SCRIPTED.recognizer,
        language_model=SCRIPTED.language_model,
        synthesizer=ScriptedSynthesizer(voices=()),
        voice_detector=SCRIPTED.voice_detector,
    )
    assert conversation_defaults(settings(voice="af_heart"), passed_on).voice == "af_heart"


SCRIPTED = Providers(
    recognizer=ScriptedRecognizer(),
    language_model=ScriptedLanguageModel(),
    synthesizer=ScriptedSynthesizer(),
    voice_detector=ScriptedVoiceDetector(),
)


def test_a_recogniser_of_dozens_offers_the_common_ones_and_takes_the_others() -> None:
    offered = offer(SCRIPTED)
    assert offered.languages[0] == "en"
    assert offered.check_language("sw") == "sw"


def test_progress_is_passed_on_and_written_when_it_says_something_new() -> None:
    log = io.StringIO()
    configure_logs(form="json", stream=log)
    passed: list[ModelProgress] = []
    progress = ProgressLog(passed.append)
    for done in range(0, 101, 5):
        progress(ModelProgress(id="m", stage="downloading", done_bytes=done, total_bytes=100))
    progress(ModelProgress(id="m", stage="warm"))
    assert len(passed) == 22
    assert len(log.getvalue().splitlines()) == 7  # 0, 20, 40, 60, 80, 100 per cent, warm


def test_every_stage_of_a_pull_has_its_place() -> None:
    assert set(PULL_STAGES) == {"waiting", "fetching", "checking", "ready"}
