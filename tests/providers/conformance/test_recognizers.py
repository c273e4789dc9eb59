"""What every recogniser must do."""

from __future__ import annotations

import asyncio

import pytest
from benchmarks.vendor_servers import Fault
from tests.providers.conformance.adapters import Adapter, of_kind, with_faults
from tests.providers.conformance.behaviour import given_up, goes_wrong, hear, settled

from antiphon.audio.coded_speech import speech_sound

pytestmark = pytest.mark.real_time

every = pytest.mark.parametrize("adapter", of_kind("asr"), ids=str)


@every
async def test_it_gives_the_words_in_one_final_transcript(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        transcripts = await hear(bench.provider)
        assert transcripts[-1].text == "set a timer"
        assert [transcript.final for transcript in transcripts].count(True) == 1
        assert transcripts[-1].final
        assert transcripts[-1].usage.audio_s == pytest.approx(0.72, abs=0.4)


@every
async def test_no_sound_at_all_gives_one_empty_transcript(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        assert [t.text for t in await hear(bench.provider, b"")] == [""]


@every
async def test_it_hears_many_at_once(adapter: Adapter) -> None:
    sayings = ["set a timer", "what time is it", "stop", "tell me a story about Lyon"]
    async with adapter.open() as bench:
        heard = await asyncio.gather(*(hear(bench.provider, speech_sound(said)) for said in sayings))
        assert [transcripts[-1].text for transcripts in heard] == sayings


@every
async def test_it_may_be_left_at_any_time(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        async with bench.provider.open():
            pass
        async with bench.provider.open() as stream:
            await stream.send(speech_sound("never mind"))
        async with bench.provider.open() as stream:
            await stream.send(speech_sound("never mind"))
            await stream.finish()
        assert (await hear(bench.provider))[-1].text == "set a timer"
        await settled(bench)


@every
async def test_a_cancelled_request_leaves_the_next_one_alone(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        if bench.world is not None:
            bench.world.asr_ms = 200
        for patience in (0.0, 0.001, 0.02):
            await given_up(hear(bench.provider), after_s=patience)
        if bench.world is not None:
            bench.world.asr_ms = 0
        assert (await hear(bench.provider))[-1].text == "set a timer"
        await settled(bench)


@pytest.mark.parametrize(("adapter", "fault"), with_faults("asr"), ids=str)
async def test_what_goes_wrong_has_a_name(adapter: Adapter, fault: Fault) -> None:
    await goes_wrong(adapter, fault, lambda bench: hear(bench.provider))


@pytest.mark.parametrize("adapter", [a for a in of_kind("asr") if a.build], ids=str)
@pytest.mark.parametrize("fault", ["odd", "empty"])
async def test_pieces_and_silence_are_no_errors(adapter: Adapter, fault: Fault) -> None:
    async with adapter.open() as bench:
        bench.fault(fault)
        assert (await hear(bench.provider))[-1].text == ("set a timer" if fault == "odd" else "")
