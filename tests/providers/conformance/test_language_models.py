"""What every language model must do."""

from __future__ import annotations

import asyncio

import pytest
from benchmarks.vendor_servers import Fault
from tests.providers.conformance.adapters import REPLY, Adapter, of_kind, with_faults
from tests.providers.conformance.behaviour import QUESTION, given_up, goes_wrong, settled, words, write

from antiphon.providers.base import Finished, LanguageOptions, Text

pytestmark = pytest.mark.real_time

every = pytest.mark.parametrize("adapter", of_kind("llm"), ids=str)
with_servers = pytest.mark.parametrize("adapter", [a for a in of_kind("llm") if a.build], ids=str)


@every
async def test_it_writes_and_finishes_once(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        deltas = await write(bench.provider)
        assert words(deltas) == REPLY
        assert all(delta.text for delta in deltas if isinstance(delta, Text))
        finished = [delta for delta in deltas if isinstance(delta, Finished)]
        assert finished == deltas[-1:]
        assert finished[0].reason == "stop"
        usage = finished[0].usage
        assert usage.output_tokens > 0
        assert usage.input_tokens > 0
        assert 0 <= usage.cached_tokens <= usage.input_tokens


@every
async def test_it_stops_at_its_limit(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        deltas = await write(bench.provider, LanguageOptions(max_tokens=2))
        assert isinstance(deltas[-1], Finished)
        assert deltas[-1].reason == "length"
        assert REPLY.startswith(words(deltas).strip())
        assert len(words(deltas)) < len(REPLY)


@every
async def test_it_writes_for_many_at_once(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        replies = await asyncio.gather(*(write(bench.provider) for _ in range(6)))
        assert [words(reply) for reply in replies] == [REPLY] * 6


@every
async def test_it_may_be_left_at_any_time(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        if bench.world is not None:
            bench.world.tokens_per_s = 20.0
        async with bench.provider.reply(QUESTION, LanguageOptions()):
            pass
        async with bench.provider.reply(QUESTION, LanguageOptions()) as deltas:
            assert isinstance(await anext(deltas), Text)
        await settled(bench)
        if bench.world is not None:
            assert bench.world.left_early == 2, "the vendor was not told to stop"
            bench.world.tokens_per_s = 10_000.0
        assert words(await write(bench.provider)) == REPLY


@every
async def test_a_cancelled_request_leaves_the_next_one_alone(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        if bench.world is not None:
            bench.world.llm_ms = 200
        for patience in (0.0, 0.001, 0.02):
            await given_up(write(bench.provider), after_s=patience)
        if bench.world is not None:
            bench.world.llm_ms = 0
        assert words(await write(bench.provider)) == REPLY
        await settled(bench)


@every
async def test_prefilling_harms_nothing(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        await bench.provider.prefill(QUESTION, LanguageOptions(cache_key="session"))
        assert words(await write(bench.provider, LanguageOptions(cache_key="session"))) == REPLY


@with_servers
async def test_letters_in_two_halves_are_put_together(adapter: Adapter) -> None:
    async with adapter.open() as bench:
        bench.fault("odd")
        assert words(await write(bench.provider)) == REPLY


@pytest.mark.parametrize(("adapter", "fault"), with_faults("llm"), ids=str)
async def test_what_goes_wrong_has_a_name(adapter: Adapter, fault: Fault) -> None:
    await goes_wrong(adapter, fault, lambda bench: write(bench.provider))
