"""From a provider's name to its adapter, and what is said when that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.vendor_servers import VendorWorld, open_vendor_servers

from antiphon.app.adapters import check_choices, operators_voice
from antiphon.app.vendors import (
    OPENAI_SHAPED,
    PATIENCE,
    PATIENCE_WITH_LOADING,
    endpoint_of,
    open_vendors,
)
from antiphon.errors import ProviderRejected, ProviderUnavailable, SettingsError
from antiphon.providers.base import LanguageOptions, Message
from antiphon.providers.elevenlabs import ElevenLabsHttp, ElevenLabsStreamInput
from antiphon.providers.http import HttpPool, Patience
from antiphon.settings import Settings, load_settings
from antiphon.settings.providers import parse_chain

KEY = "sk-test-0123456789"


def settings(**environ: str) -> Settings:
    return load_settings(environ, folder=Path("/nonexistent")).settings


async def refusal(kind: str, name: str, **environ: str) -> str:
    """Why a choice cannot be."""
    async with open_vendors(settings(**environ)) as vendors:
        build = {"asr": vendors.recognizer, "llm": vendors.language_model, "tts": vendors.synthesizer}[kind]
        with pytest.raises(SettingsError) as caught:
            await build(parse_chain(name)[0])
        return caught.value.message


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        (
            "llm",
            "openai:gpt-4o-mini",
            "ANTIPHON_LLM=openai:gpt-4o-mini needs a key: set ANTIPHON_OPENAI_API_KEY",
        ),
        ("asr", "openai", "OPENAI_API_KEY"),
        ("tts", "groq:orpheus", "GROQ_API_KEY"),
        ("llm", "ollama", "write ANTIPHON_LLM=ollama:MODEL"),
        ("asr", "ollama:whisper", "ollama is used for llm only"),
        ("llm", "speaches:x", "speaches is used for asr, tts only"),
        ("llm", "elevenlabs", "elevenlabs does not write replies"),
        ("asr", "anthropic", "anthropic does not recognise speech"),
    ],
)
async def test_what_cannot_be_is_said_before_anybody_calls(kind: str, name: str, says: str) -> None:
    assert says in await refusal(kind, name)


async def test_without_a_model_the_usual_one_is_asked() -> None:
    async with open_vendors(settings(OPENAI_API_KEY=KEY, GROQ_API_KEY=KEY)) as vendors:
        (choice,) = parse_chain("openai")
        assert (await vendors.recognizer(choice)).info.name == "openai:gpt-4o-mini-transcribe"
        assert (await vendors.language_model(choice)).info.name == "openai:gpt-4o-mini"
        assert (await vendors.synthesizer(choice)).info.name == "openai:gpt-4o-mini-tts"
        assert (await vendors.recognizer(parse_chain("groq")[0])).info.name == "groq:whisper-large-v3-turbo"
        # llama-3.3-70b-versatile ended on 2026-08-16.
        assert (await vendors.language_model(parse_chain("groq")[0])).info.name == "groq:openai/gpt-oss-120b"
        assert vendors.pool.opened == 0


NOBODY_ELSE = {"ANTIPHON_ASR": "scripted", "ANTIPHON_LLM": "scripted"}
KEYS = {"OPENAI_API_KEY": KEY, "ELEVENLABS_API_KEY": KEY, "DEEPGRAM_API_KEY": KEY}


@pytest.mark.parametrize(
    ("tts", "voice", "lists"),
    [
        (
            "openai",
            "marinn",
            "alloy, ash, coral, echo, fable, nova, onyx, sage, shimmer, ballad, cedar, marin, verse.",
        ),
        ("openai:tts-1", "marin", "alloy, ash, coral, echo, fable, nova, onyx, sage, shimmer."),
        ("openai:tts-1-hd,elevenlabs", "sarah", "alloy, ash"),
    ],
)
async def test_a_voice_that_would_refuse_every_caller_is_told_at_the_start(
    tts: str, voice: str, lists: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        await check_choices(settings(ANTIPHON_TTS=tts, ANTIPHON_VOICE=voice, **NOBODY_ELSE, **KEYS))
    assert caught.value.message.startswith(f"ANTIPHON_VOICE={voice!r}: openai:")
    assert lists in caught.value.message


@pytest.mark.parametrize(
    ("tts", "voice", "more"),
    [
        ("openai", "marin", {}),
        ("openai:gpt-4o-mini-tts-2025-12-15", "verse", {}),
        ("openai:tts-1", "", {}),
        ("openai:tts-2", "new", {}),
        ("elevenlabs,openai", "sarah", {}),
        ("elevenlabs", "an-id-of-your-own", {}),
        ("elevenlabs", "Sarah", {}),
        ("deepgram", "Thalia", {}),
        ("openai", "Marin", {}),
        ("deepgram", "thalia", {}),
        ("openai:kokoro", "af_heart", {"OPENAI_BASE_URL": "http://127.0.0.1:8880"}),
    ],
)
async def test_a_voice_that_can_be_is_let_be(tts: str, voice: str, more: dict[str, str]) -> None:
    await check_choices(settings(ANTIPHON_TTS=tts, ANTIPHON_VOICE=voice, **NOBODY_ELSE, **KEYS, **more))


@pytest.mark.parametrize("written", [str.lower, str.title])
@pytest.mark.parametrize("tts", ["openai", "elevenlabs", "deepgram"])
async def test_the_operators_voice_is_the_first_on_offer(tts: str, written: Callable[[str], str]) -> None:
    chosen = {"openai": "marin", "elevenlabs": "will", "deepgram": "zeus"}[tts]
    given = settings(ANTIPHON_VOICE=written(chosen), **KEYS)
    async with open_vendors(given) as vendors:
        voices = (await vendors.synthesizer(parse_chain(tts)[0])).info.voices
    assert voices[0] == operators_voice(given, voices) == chosen
    assert voices.count(chosen) == 1


@pytest.mark.parametrize(
    ("model", "adapter"), [("eleven_flash_v2_5", ElevenLabsStreamInput), ("eleven_v3", ElevenLabsHttp)]
)
async def test_a_model_without_websockets_is_asked_over_http(model: str, adapter: type) -> None:
    async with open_vendors(settings(**KEYS)) as vendors:
        assert isinstance(await vendors.synthesizer(parse_chain(f"elevenlabs:{model}")[0]), adapter)


async def test_patience_is_per_provider() -> None:
    async with open_vendors(settings(ANTIPHON_PROVIDER_TIMEOUTS="openai=1/2/3, ollama=4/5/6")) as vendors:
        assert vendors.patience("openai") == Patience(connect_s=1.0, first_byte_s=2.0, gap_s=3.0)
        assert vendors.patience("ollama").first_byte_s == 5.0
        assert vendors.patience("groq") == Patience()


@pytest.mark.parametrize(
    ("url", "patience"),
    [
        ("https://api.openai.com/v1", PATIENCE),
        ("https://eu.api.openai.com/v1", PATIENCE),
        ("https://me.openai.azure.com", PATIENCE),
        ("https://openrouter.ai/api/v1", PATIENCE),
        ("https://api.mistral.ai/v1", PATIENCE),
        ("https://notopenrouter.ai/v1", PATIENCE_WITH_LOADING),
        ("http://10.0.0.5:8080/v1", PATIENCE_WITH_LOADING),
    ],
)
async def test_who_keeps_models_loaded_is_not_given_a_minute_to_load_one(
    url: str, patience: Patience
) -> None:
    given = settings(OPENAI_API_KEY=KEY, OPENAI_BASE_URL=url)
    async with open_vendors(given) as vendors:
        assert endpoint_of(vendors, parse_chain("openai:x")[0], "llm").patience == patience


async def asked(name: str, pool: HttpPool, **environ: str) -> None:
    async with open_vendors(settings(**environ), pool) as vendors:
        model = await vendors.language_model(parse_chain(name)[0])
        async with model.reply([Message(role="user", content="Hi")], LanguageOptions()) as deltas:
            assert [delta async for delta in deltas]


@pytest.mark.real_time
async def test_a_key_goes_only_where_it_belongs() -> None:
    async with open_vendor_servers(VendorWorld()) as servers, HttpPool() as pool:
        url, heard = servers.url, servers.world
        await asked("openai:m", pool, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=url)
        assert heard.last("llm").headers["authorization"] == f"Bearer {KEY}"
        await asked("openai:m", pool, OPENAI_API_KEY=KEY, ANTIPHON_LLM_BASE_URL=url)
        assert "authorization" not in heard.last("llm").headers
        await asked("ollama:m", pool, OPENAI_API_KEY=KEY, ANTIPHON_OLLAMA_BASE_URL=url)
        assert "authorization" not in heard.last("llm").headers
        await asked(
            "openai:m", pool, OPENAI_API_KEY="sk-x", ANTIPHON_LLM_BASE_URL=url, ANTIPHON_LLM_API_KEY=KEY
        )
        assert heard.last("llm").headers["authorization"] == f"Bearer {KEY}"


OWN_KEY = {"ANTIPHON_LLM_API_KEY": "sk-or-v1-0123456789"}
ROUTER = {"ANTIPHON_LLM_BASE_URL": "https://openrouter.ai/api/v1"}
BEHIND_A_PROXY = {"ANTIPHON_OLLAMA_BASE_URL": "https://ollama.example/v1"}


@pytest.mark.parametrize(
    ("llm", "environ", "told"),
    [
        ("openai:x/y,ollama:llama3.2", ROUTER, ["openai"]),
        ("ollama:llama3.2,openai:x/y", ROUTER, ["openai"]),
        ("openai:x,ollama:y,vllm:z", {}, ["openai"]),
        ("ollama:llama3.2,anthropic,groq,local", BEHIND_A_PROXY, ["ollama"]),
        ("ollama:a,ollama:b", BEHIND_A_PROXY, ["ollama", "ollama"]),
        ("ollama:a", ROUTER, []),
        (
            "ollama:a,vllm:b",
            {**BEHIND_A_PROXY, "ANTIPHON_LLM_BASE_URL": "https://ollama.example"},
            ["ollama"],
        ),
    ],
)
async def test_a_key_for_one_server_is_shown_to_no_other_of_the_chain(
    llm: str, environ: dict[str, str], told: list[str]
) -> None:
    given = {"ANTIPHON_LLM": llm, **OWN_KEY, **environ, "OPENAI_API_KEY": KEY, "GROQ_API_KEY": KEY}
    loaded = settings(**given)
    async with open_vendors(loaded) as vendors:
        endpoints = [
            endpoint_of(vendors, choice, "llm") for choice in loaded.llm if choice.provider in OPENAI_SHAPED
        ]
    assert [
        endpoint.provider for endpoint in endpoints if endpoint.key == OWN_KEY["ANTIPHON_LLM_API_KEY"]
    ] == told
    assert all(endpoint.key != KEY or endpoint.provider in ("openai", "groq") for endpoint in endpoints)


async def test_a_key_that_may_be_for_several_servers_is_asked_about() -> None:
    message = await refusal("llm", "vllm:b", ANTIPHON_LLM="ollama:a,vllm:b", **OWN_KEY)
    assert "ANTIPHON_LLM_API_KEY may be meant for any of ollama, vllm: set ANTIPHON_LLM_BASE_URL" in message
    assert "sk-or" not in message


@pytest.mark.real_time
async def test_addresses_that_lead_nowhere_are_named_with_their_setting() -> None:
    async with open_vendor_servers(VendorWorld()) as servers, HttpPool() as pool:
        with pytest.raises(ProviderRejected) as wrong_path:
            await asked("ollama:m", pool, ANTIPHON_OLLAMA_BASE_URL=f"{servers.url}/api")
        assert wrong_path.value.cause == "not_an_api"
        assert "ANTIPHON_OLLAMA_BASE_URL" in wrong_path.value.message
        servers.world.fault_next("llm", "html")
        with pytest.raises(ProviderRejected) as page:
            await asked("openai:m", pool, ANTIPHON_LLM_BASE_URL=servers.url)
        assert "answers with a web page (200)" in page.value.message
        assert "ANTIPHON_LLM_BASE_URL" in page.value.message
        unused = f"http://127.0.0.1:{servers.port}"
    async with HttpPool() as pool:
        with pytest.raises(ProviderUnavailable) as gone:
            await asked("vllm:m", pool, ANTIPHON_VLLM_BASE_URL=unused)
        assert gone.value.cause == "unreachable"
        assert "ANTIPHON_VLLM_BASE_URL" in gone.value.message


@pytest.mark.real_time
async def test_warming_tells_who_is_away_and_warms_the_others() -> None:
    async with open_vendor_servers(VendorWorld()) as servers:
        chosen = settings(ANTIPHON_OLLAMA_BASE_URL=servers.url, ANTIPHON_VLLM_BASE_URL="http://127.0.0.1:9")
        async with open_vendors(chosen) as vendors:
            await vendors.language_model(parse_chain("vllm:m")[0])
            await vendors.language_model(parse_chain("ollama:m")[0])
            (problem,) = await vendors.warm()
            assert (problem.provider, problem.cause) == ("vllm:m", "unreachable")
            assert vendors.pool.opened_to(f"127.0.0.1:{servers.port}") > 0
