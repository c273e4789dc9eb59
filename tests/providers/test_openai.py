"""What goes over the wire to OpenAI and to what speaks its formats."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from benchmarks.vendor_servers import VendorServers, VendorWorld, open_vendor_servers
from benchmarks.vendor_servers.serving import Speaking

from antiphon.audio.coded_speech import speech_sound
from antiphon.errors import ProviderRejected
from antiphon.providers.base import (
    Delta,
    Finished,
    LanguageOptions,
    Message,
    SpeechChunk,
    SpeechOptions,
    Text,
    Tool,
    ToolCall,
    Transcript,
)
from antiphon.providers.http import HttpPool
from antiphon.providers.openai import (
    Endpoint,
    OpenAILanguageModel,
    OpenAIRecognizer,
    OpenAISynthesizer,
)
from antiphon.telemetry.logs import configure_logs

pytestmark = pytest.mark.real_time

MESSAGES = [
    Message(role="system", content="Be brief."),
    Message(role="user", content="What is the capital of France?"),
    Message(role="assistant", content="", tool_calls=(ToolCall(id="c1", name="atlas", arguments="{}"),)),
    Message(role="tool", content="Paris", tool_call_id="c1"),
]


@asynccontextmanager
async def opened(**world: Any) -> AsyncIterator[tuple[VendorServers, HttpPool]]:
    async with open_vendor_servers(VendorWorld(**world)) as servers, HttpPool() as pool:
        yield servers, pool


class Official(Endpoint):
    """A local server taken for OpenAI itself."""

    @property
    def official(self) -> bool:
        return True


def at(servers: VendorServers, kind: type[Endpoint] = Endpoint, **more: Any) -> Endpoint:
    return kind(base_url=more.pop("base_url", servers.url + "/v1"), key="sk-test", **more)


async def hear(recognizer: OpenAIRecognizer, language: str | None = None, prompt: str = "") -> Transcript:
    async with recognizer.open(language=language, prompt=prompt) as stream:
        await stream.send(speech_sound("set a timer"))
        await stream.finish()
        (final,) = [transcript async for transcript in stream]
    return final


async def write(model: OpenAILanguageModel, **options: Any) -> list[Delta]:
    async with model.reply(MESSAGES, LanguageOptions(**options)) as deltas:
        return [delta async for delta in deltas]


async def speak(synthesizer: OpenAISynthesizer, **options: Any) -> list[SpeechChunk]:
    async with synthesizer.speak("Hello there.", SpeechOptions(**options)) as chunks:
        return [chunk async for chunk in chunks]


# ---- transcription --------------------------------------------------------------------------------------------


async def test_whisper_is_asked_for_the_language_too() -> None:
    async with opened() as (servers, pool):
        final = await hear(OpenAIRecognizer(pool, at(servers), "whisper-1"), "de", "Zürich")
        body = servers.world.last("asr").body
        assert {name: body[name] for name in ("model", "response_format", "language", "prompt")} == {
            "model": "whisper-1",
            "response_format": "verbose_json",
            "language": "de",
            "prompt": "Zürich",
        }
        assert servers.world.last("asr").headers["authorization"] == "Bearer sk-test"
        assert (final.text, final.language) == ("set a timer", "en")
        assert final.confidence == pytest.approx(0.82, abs=0.01)
        assert final.usage.audio_s == 1.0  # billed by the second begun


async def test_the_newer_models_give_text_and_tokens() -> None:
    async with opened() as (servers, pool):
        final = await hear(OpenAIRecognizer(pool, at(servers), "gpt-4o-transcribe"))
        assert servers.world.last("asr").body["response_format"] == "json"
        assert "language" not in servers.world.last("asr").body
        assert final.usage.audio_s == pytest.approx(0.72)
        assert (final.usage.input_tokens, final.usage.output_tokens) == (7, 3)


async def test_a_server_without_detailed_transcripts_is_asked_for_plain_ones_from_then_on() -> None:
    async with opened() as (servers, pool):
        recognizer = OpenAIRecognizer(pool, at(servers), "Systran/faster-whisper-small")
        servers.world.refuses = frozenset({"response_format"})
        assert (await hear(recognizer)).text == "set a timer"
        assert (await hear(recognizer)).text == "set a timer"
        assert [("response_format" in asked.body) for asked in servers.world.asked] == [True, False, False]


async def test_the_shortest_sound_is_filled_up() -> None:
    async with opened() as (servers, pool):
        recognizer = OpenAIRecognizer(pool, at(servers), "whisper-1")
        async with recognizer.open() as stream:
            await stream.send(bytes(320))
            await stream.finish()
            assert [transcript.final async for transcript in stream] == [True]
        assert servers.world.last("asr").body["file"] == 44 + 2 * 2_400


# ---- chat -----------------------------------------------------------------------------------------------------


async def test_what_openai_itself_is_asked() -> None:
    async with opened() as (servers, pool):
        model = OpenAILanguageModel(pool, at(servers, Official), "gpt-4o-mini")
        tool = Tool(name="atlas", description="Look it up.", parameters={"type": "object"})
        deltas = await write(model, cache_key="session-1", max_tokens=50, temperature=0.2, tools=(tool,))
        body = dict(servers.world.last("llm").body)
        assert list(body)[-2:] == ["tools", "messages"], "what changes comes last"
        assert body.pop("messages") == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is the capital of France?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "atlas", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "content": "Paris", "tool_call_id": "c1"},
        ]
        function = {"name": "atlas", "description": "Look it up.", "parameters": {"type": "object"}}
        assert body == {
            "model": "gpt-4o-mini",
            "stream": True,
            "stream_options": {"include_usage": True},
            "prompt_cache_key": "session-1",
            "temperature": 0.2,
            "max_completion_tokens": 50,
            "tools": [{"type": "function", "function": function}],
        }
        finished = deltas[-1]
        assert isinstance(finished, Finished)
        assert finished.model == "gpt-4o-mini-2024-07-18"
        assert finished.usage.cached_tokens == finished.usage.input_tokens // 2


async def test_other_servers_are_asked_for_less() -> None:
    async with opened() as (servers, pool):
        await write(OpenAILanguageModel(pool, at(servers), "llama3.2"), cache_key="session-1")
        assert set(servers.world.last("llm").body) == {
            "model", "stream", "stream_options", "temperature", "max_tokens", "messages"
        }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "effort"), [("gpt-5-mini", "minimal"), ("gpt-5.1", "none"), ("o4-mini", "low")]
)
async def test_models_that_think_are_told_to_be_quick(model: str, effort: str) -> None:
    async with opened() as (servers, pool):
        await write(OpenAILanguageModel(pool, at(servers, Official), model))
        body = servers.world.last("llm").body
        assert body["reasoning_effort"] == effort
        assert "temperature" not in body


@pytest.mark.parametrize(
    ("kind", "model", "room"),
    [
        (Official, "gpt-5.1", 0),
        (Official, "o4-mini", 256),
        (Endpoint, "openai/gpt-oss-120b", 256),
        (Endpoint, "gpt-oss:20b", 256),
        (Endpoint, "llama3.2", 0),
    ],
)
async def test_models_that_cannot_but_think_have_room_for_it(
    kind: type[Endpoint], model: str, room: int
) -> None:
    async with opened() as (servers, pool):
        await write(OpenAILanguageModel(pool, at(servers, kind), model), max_tokens=16)
        body = servers.world.last("llm").body
        assert (body.get("max_tokens") or body["max_completion_tokens"]) == 16 + room
        assert (body.get("reasoning_effort") == "low") is (room > 0)
        assert ("temperature" in body) is (kind is Endpoint)


async def test_fields_that_a_server_refuses_are_left_out_from_then_on() -> None:
    async with opened() as (servers, pool):
        model = OpenAILanguageModel(pool, at(servers), "strict")
        servers.world.refuses = frozenset({"stream_options", "temperature", "max_tokens"})
        deltas = await write(model)
        assert any(isinstance(delta, Text) for delta in deltas)
        assert len(servers.world.asked) == 4
        await write(model)
        assert len(servers.world.asked) == 5
        assert set(servers.world.last("llm").body) == {"model", "stream", "max_completion_tokens", "messages"}


async def test_a_request_that_is_refused_for_itself_is_not_sent_a_third_time() -> None:
    async with opened() as (servers, pool):
        model = OpenAILanguageModel(pool, at(servers), "any")
        servers.world.fault_next("llm", "invalid_request", "invalid_request")
        with pytest.raises(ProviderRejected) as caught:
            await write(model)
        assert caught.value.cause == "invalid_request"
        assert len(servers.world.asked) == 2
        await write(model)
        assert "temperature" in servers.world.last("llm").body, "it was not the fields"


async def test_a_server_that_loads_models_is_asked_before_the_first_turn() -> None:
    async with opened() as (servers, pool):
        await OpenAILanguageModel(pool, at(servers), "gpt-4o-mini").warm()
        assert not servers.world.asked, "who bills is not asked for nothing"
        await OpenAILanguageModel(pool, at(servers, loads_models=True), "llama3.2").warm()
        (asked,) = servers.world.asked
        assert asked.body["max_tokens"] == 1


# ---- speech ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        ("tts-1", {"speed": 1.2}),
        ("gpt-4o-mini-tts", {"instructions": "Speak German. Speak a little faster than usual."}),
        ("kokoro", {"speed": 1.2}),
    ],
)
async def test_how_voices_are_told_to_speak(model: str, extra: dict[str, object]) -> None:
    async with opened() as (servers, pool):
        await speak(OpenAISynthesizer(pool, at(servers), model), language="de", speed=1.2, voice="nova")
        assert (
            servers.world.last("tts").body
            == {
                "model": model,
                "voice": "nova",
                "input": "Hello there.",
                "response_format": "pcm",
            }
            | extra
        )


async def test_a_server_that_has_wav_only_is_asked_for_it() -> None:
    async with opened(rate=16_000) as (servers, pool):
        voice = OpenAISynthesizer(pool, at(servers), "orpheus")
        plain = sum(len(chunk.pcm) for chunk in await speak(voice))
        servers.world.refuses = frozenset({"response_format=pcm"})
        resampled = sum(len(chunk.pcm) for chunk in await speak(voice))
        assert servers.world.last("tts").body["response_format"] == "wav"
        assert resampled == pytest.approx(plain * 1.5, rel=0.02)


async def test_the_rate_of_raw_sound_may_be_set() -> None:
    async with opened(rate=16_000) as (servers, pool):
        plain = sum(len(c.pcm) for c in await speak(OpenAISynthesizer(pool, at(servers), "tts-1")))
        told = OpenAISynthesizer(pool, at(servers, pcm_rate=16_000), "tts-1")
        assert sum(len(c.pcm) for c in await speak(told)) == pytest.approx(plain * 1.5, rel=0.02)


# ---- Azure ----------------------------------------------------------------------------------------------------


async def test_azure_has_deployments_and_a_header_of_its_own() -> None:
    async with opened(key="sk-test") as (servers, pool):
        azure = at(servers, base_url=servers.url + "/openai", api_version="2024-10-21")
        await write(OpenAILanguageModel(pool, azure, "my-deployment"))
        asked = servers.world.last("llm")
        assert asked.path == "/openai/deployments/my-deployment/chat/completions"
        assert asked.query == {"api-version": "2024-10-21"}
        assert asked.headers["api-key"] == "sk-test"
        assert "authorization" not in asked.headers


VERSION = "2024-10-21"


@pytest.mark.parametrize(
    ("base_url", "version", "url"),
    [
        ("https://me.openai.azure.com/openai", "", "https://me.openai.azure.com/openai/v1"),
        ("https://me.openai.azure.com/openai/v1", VERSION, "https://me.openai.azure.com/openai/v1"),
        ("https://me.openai.azure.com/openai", VERSION, "https://me.openai.azure.com/openai/deployments/m"),
        (
            "https://me.cognitiveservices.azure.com/openai",
            "",
            "https://me.cognitiveservices.azure.com/openai/v1",
        ),
        ("https://me.services.ai.azure.com/models", VERSION, "https://me.services.ai.azure.com/models"),
        ("https://gateway.example/ai/openai", VERSION, "https://gateway.example/ai/openai/deployments/m"),
        (
            "https://gateway.example/openai/deployments/x",
            VERSION,
            "https://gateway.example/openai/deployments/x",
        ),
    ],
)
def test_where_azure_has_its_models(base_url: str, version: str, url: str) -> None:
    azure = Endpoint(base_url=base_url, key="sk-test", api_version=version)
    assert azure.url("m") == url
    assert azure.headers == {"api-key": "sk-test"}
    assert azure.params("m") == ({} if url.endswith("/v1") else {"api-version": VERSION})


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.openai.com/v1",
        "https://eu.api.openai.com/v1",
        "http://127.0.0.1:8080/v1",
        "https://api.groq.com/openai/v1",
        "https://openai.azure.com.example/v1",
    ],
)
def test_what_is_not_azure_is_told_no_version(base_url: str) -> None:
    endpoint = Endpoint(base_url=base_url, key="sk-test", api_version=VERSION)
    assert endpoint.url("m") == base_url
    assert endpoint.headers == {"Authorization": "Bearer sk-test"}
    assert endpoint.params("m") == {}


@pytest.mark.parametrize(
    ("host", "official"),
    [
        ("api.openai.com", True),
        ("eu.api.openai.com", True),
        ("openai.com", False),
        ("notapi.openai.com", False),
        ("api.openai.com.example", False),
    ],
)
def test_who_is_openai_itself(host: str, official: bool) -> None:
    assert Endpoint(base_url=f"https://{host}/v1").official is official


def test_keys_are_not_in_what_is_printed() -> None:
    assert "sk-test" not in repr(Endpoint(key="sk-test"))


# ---- logs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speaking", ["http", "http2"])
async def test_no_key_and_no_word_is_logged_however_much_is_logged(speaking: Speaking) -> None:
    written = io.StringIO()
    before = logging.getLogger().handlers, logging.getLogger().level
    configure_logs(level="debug", form="json", stream=written)
    try:
        async with open_vendor_servers(speaking=speaking) as servers, HttpPool(trust=servers.trust()) as pool:
            assert await write(OpenAILanguageModel(pool, at(servers), "gpt-4o-mini"))
            assert await speak(OpenAISynthesizer(pool, at(servers), "tts-1"))
    finally:
        logging.getLogger().handlers, logging.getLogger().level = before
    for private in ("sk-test", "capital", "Paris", "Hello"):
        assert private not in written.getvalue()
