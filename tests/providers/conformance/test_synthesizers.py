"""What every voice must do."""

from __future__ import annotations

import asyncio

import pytest
from benchmarks.vendor_servers import Fault
from tests.providers.conformance.adapters import Adapter, of_kind, with_faults
from tests.providers.conformance.behaviour import given_up, goes_wrong, settled, speak

from antiphon.audio.coded_speech import coded_text
from antiphon.providers.base import SpeechChunk, SpeechOptions

pytestmark = pytest.mark.real_time

every = pytest.mark.parametrize("adapter", of_kind("tts"), ids=str)
with_servers = pytest.mark.parametrize("adapter", [a for a in of_kind("tts") if a.build], ids=str)

LONG = "one two three four five six seven eight nine ten " * 40


def sound(chunks: list[SpeechChunk]) -> bytes:
    assert all(chunk.pcm and len(chunk.pcm) % 2 == 0 for chunk in chunks), "whole samples, and never none"
    return b"".join(chunk.pcm for chunk in chunks)


@every
async def test_it_says_the_words(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        pcm = sound(await speak(bench.provider))
        assert coded_text(pcm, rate=bench.provider.info.sample_rate) == "Hello there, friend."


@every
async def test_it_speaks_for_many_at_once(adapter: Adapter) -> None:
    texts = ["One.", "And two.", "Three of them.", "Four of us all."]
    async with adapter.open() as bench:
        spoken = await asyncio.gather(*(speak(bench.provider, text) for text in texts))
        rate = bench.provider.info.sample_rate
        assert [coded_text(sound(chunks), rate=rate) for chunks in spoken] == texts


@every
async def test_it_may_be_left_at_any_time(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        if bench.world is not None:
            bench.world.real_time_factor = 0.5
        async with bench.provider.speak(LONG, SpeechOptions()):
            pass
        async with bench.provider.speak(LONG, SpeechOptions()) as chunks:
            assert (await anext(chunks)).pcm
        await settled(bench)
        if bench.world is not None:
            assert bench.world.left_early == 2, "the vendor was not told to stop"
        assert sound(await speak(bench.provider))


@every
async def test_a_cancelled_request_leaves_the_next_one_alone(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        if bench.world is not None:
            bench.world.tts_ms = 200
        for patience in (0.0, 0.001, 0.02):
            await given_up(speak(bench.provider), after_s=patience)
        if bench.world is not None:
            bench.world.tts_ms = 0
        assert sound(await speak(bench.provider))
        await settled(bench)


@with_servers
async def test_samples_in_two_halves_are_put_together(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        bench.fault("odd")
        pcm = sound(await speak(bench.provider))
        assert coded_text(pcm, rate=bench.provider.info.sample_rate) == "Hello there, friend."


@with_servers
async def test_sound_at_another_rate_is_as_long_as_it_should_be(adapter: Adapter) -> None:
    if "wrong_rate" in adapter.cannot:
        pytest.skip("this format names no rate")
    async with adapter.open() as bench:
        right = len(sound(await speak(bench.provider)))
        bench.fault("wrong_rate")
        assert len(sound(await speak(bench.provider))) == pytest.approx(right, rel=0.02)


@pytest.mark.parametrize(("adapter", "fault"), with_faults("tts"), ids=str)
async def test_what_goes_wrong_has_a_name(adapter: Adapter, fault: Fault) -> None:
    await goes_wrong(adapter, fault, lambda bench: speak(bench.provider))
