"""A voice that the vendor does not have: who speaks instead, and how often the vendor is asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from benchmarks.vendor_servers import VendorServers, VendorWorld, open_vendor_servers
from benchmarks.vendor_servers.elevenlabs_sockets import VOICE, elevenlabs_sockets

from antiphon.errors import ProviderError, ProviderRejected
from antiphon.providers import deepgram, elevenlabs
from antiphon.providers.base import SpeechOptions, Synthesizer
from antiphon.providers.http import HttpPool
from antiphon.providers.openai import Endpoint, OpenAISynthesizer
from antiphon.providers.refused_voices import BELIEVED_S, MOST, RefusedVoices
from antiphon.providers.resilience import Chain, ResilientSynthesizer

KEY = "sk-test-0123456789"


def ask(voices: RefusedVoices, voice: str, *, refused: str = "") -> None:
    try:
        with voices.noticing(voice):
            if refused:
                raise ProviderRejected("no", provider="v:m", cause=refused)
    except ProviderError:
        pass


async def test_a_refused_voice_is_asked_for_once_a_minute() -> None:
    voices = RefusedVoices()
    assert voices.first_else("hers", "ours", "stock") == "hers"
    ask(voices, "hers", refused="unknown_voice")
    assert voices.first_else("hers", "ours", "stock") == "ours"
    ask(voices, "ours", refused="unknown_voice")
    ask(voices, "stock", refused="unknown_voice")
    assert voices.first_else("hers", "", "ours", "stock") == "stock", "somebody must be asked for"
    await asyncio.sleep(BELIEVED_S)
    assert voices.first_else("hers", "ours", "stock") == "hers"


async def test_only_voices_are_remembered_and_not_without_end() -> None:
    voices = RefusedVoices()
    ask(voices, "a", refused="overloaded")
    ask(voices, "a")
    assert voices.first_else("a", "b") == "a"
    for number in range(MOST + 1):
        ask(voices, f"v{number}", refused="unknown_voice")
    assert voices.first_else("v0", "b") == "v0"
    assert voices.first_else("v1", "b") == "b"


# ---- adapters, through the chain ------------------------------------------------------------------------------


@asynccontextmanager
async def servers() -> AsyncIterator[tuple[VendorServers, HttpPool]]:
    async with open_vendor_servers(VendorWorld(key=KEY)) as opened, HttpPool() as pool:
        yield opened, pool


async def say(adapter: Synthesizer, voice: str = "") -> ResilientSynthesizer:
    """A clause, in the voice asked for or in another."""
    voices = ResilientSynthesizer(Chain([adapter], kind="tts"))
    async with voices.speak("Hello there.", SpeechOptions(voice=voice)) as chunks:
        assert [chunk async for chunk in chunks]
    return voices


@pytest.mark.real_time
async def test_an_operators_voice_that_is_mistyped_costs_one_request() -> None:
    async with servers() as (opened, pool):
        account = elevenlabs.Account(api_key=KEY, base_url=opened.url, voice="no-such")
        adapter = elevenlabs.ElevenLabsHttp(account, pool)
        voices = await say(adapter, "no-such")
        assert voices.chain.preferred.counts.failures == {"unknown_voice": 1}, "the operator sees it"
        await say(adapter)
        asked = [asked.path.split("/")[3] for asked in opened.world.asked]
        assert asked == ["no-such", VOICE, VOICE]


@pytest.mark.real_time
async def test_a_callers_voice_and_then_the_operators_may_be_refused() -> None:
    async with servers() as (opened, pool):
        adapter = elevenlabs.ElevenLabsHttp(
            elevenlabs.Account(api_key=KEY, base_url=opened.url, voice="no-such"), pool
        )
        opened.world.fault_next("tts", "unknown_voice")
        await say(adapter, "will")
        asked = [asked.path.split("/")[3] for asked in opened.world.asked]
        assert asked == [elevenlabs_id("will"), "no-such", VOICE]


def elevenlabs_id(name: str) -> str:
    return elevenlabs.Account(api_key=KEY).voice_ids(name)[0]


@pytest.mark.real_time
async def test_so_it_is_over_sockets_and_none_is_opened_for_it_again() -> None:
    async with elevenlabs_sockets(VendorWorld(key=KEY)) as vendor:
        account = elevenlabs.Account(api_key=KEY, base_url=vendor.url, voice="sara")
        async with elevenlabs.open_stream_input(account) as adapter:
            await say(adapter, "sara")
            await say(adapter, "sara")
            assert vendor.accepted == 2
            assert not adapter._standby._opening


@pytest.mark.real_time
async def test_with_deepgram_a_voice_is_a_model() -> None:
    async with servers() as (opened, pool):
        account = deepgram.Account(api_key=KEY, base_url=opened.url)
        adapter = deepgram.DeepgramVoice(account, pool, voice="no-such")
        with pytest.raises(ProviderRejected, match="ANTIPHON_VOICE") as raised:
            async with adapter.speak("Hello.", SpeechOptions()):
                pass
        assert raised.value.cause == "unknown_voice"
        await say(adapter)
        assert opened.world.last("tts").query["model"] == "aura-2-thalia-en"
        unknown = deepgram.DeepgramVoice(account, pool, model="no-such")
        with pytest.raises(ProviderRejected) as raised:
            await say(unknown)
        assert raised.value.cause == "unknown_model"


@pytest.mark.real_time
async def test_servers_in_openais_place_are_asked_for_a_name_they_do_not_have_once() -> None:
    async with servers() as (opened, pool):
        adapter = OpenAISynthesizer(pool, Endpoint(base_url=opened.url + "/v1", key=KEY), "kokoro")
        await say(adapter, "no-such")
        await say(adapter, "no-such")
        assert [asked.body["voice"] for asked in opened.world.asked] == ["no-such", "alloy", "alloy"]
