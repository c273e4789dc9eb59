"""What is reported of each request, which is what the ledger bills: all that went out, and nothing that did not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from tests.providers.resilience.chains import ear, ears, model, models, voice, voices

from antiphon.audio.coded_speech import silence
from antiphon.providers.base import LanguageOptions, Message
from antiphon.providers.metering import Attempt, counting
from antiphon.providers.resilience.probing import PROBE_TIMEOUT_S, probe

QUESTION = (Message(role="user", content="Tell me a story."),)


@pytest.mark.parametrize(
    ("chain", "billed"),
    [
        (lambda **more: ears(ear(**more)), lambda usage: usage.audio_s),
        (lambda **more: ears(ear(streaming=True, **more)), lambda usage: usage.audio_s),
        (lambda **more: models(model(**more)), lambda usage: usage.input_tokens and usage.output_tokens),
        (lambda **more: voices(voice(**more)), lambda usage: usage.characters),
    ],
    ids=["recording", "stream", "model", "voice"],
)
async def test_a_probe_is_told_as_any_other_request(chain: Any, billed: Any) -> None:
    told: list[Attempt] = []
    with counting(told.append):
        provider = chain()
        await probe(provider, provider.chain.preferred)
        provider = chain(faults=["stall"])
        await probe(provider, provider.chain.preferred)
        assert provider.chain.preferred.counts.failures == {"timeout": 1}
    assert [attempt.outcome for attempt in told] == ["ok", "cancelled"]
    assert billed(told[0].usage) > 0
    assert told[1].ended_s - told[1].began_s == pytest.approx(PROBE_TIMEOUT_S)


async def test_how_quick_a_probe_is_says_nothing_about_answers() -> None:
    chain = models(model(first_token_s=0.1))
    await probe(chain, chain.chain.preferred)
    assert chain.chain.preferred.usual.median() is None


async def test_words_said_again_at_a_seam_are_left_out_and_counted() -> None:
    told: list[Attempt] = []
    with counting(told.append), suppress(TimeoutError):
        async with asyncio.timeout(0.95):  # it broke off at 0.44, and is still repeating what was said
            async with models(model(faults=["cut"], breaks_after=8)).reply(
                QUESTION, LanguageOptions()
            ) as deltas:
                async for _ in deltas:
                    pass
    assert [attempt.outcome for attempt in told] == ["unavailable", "cancelled"]
    assert told[1].usage.output_tokens >= 4


async def test_why_a_reply_ended_is_told_of_those_that_did() -> None:
    told: list[Attempt] = []
    with counting(told.append):
        async with models(model(faults=["cut"], breaks_after=8)).reply(QUESTION, LanguageOptions()) as deltas:
            async for _ in deltas:
                pass
    assert [attempt.finish_reason for attempt in told] == ["", "stop"]


@pytest.mark.parametrize(("streaming", "seconds"), [(False, 0.0), (True, 0.5)], ids=["recording", "stream"])
async def test_a_recording_that_is_given_up_before_it_is_whole_was_not_sent(
    streaming: bool, seconds: float
) -> None:
    told: list[Attempt] = []
    chain = ears(ear(streaming=streaming))
    with counting(told.append):
        async with chain.open() as stream:
            reading = asyncio.ensure_future(anext(aiter(stream)))
            await stream.send(silence(0.5))
            await asyncio.sleep(0.1)
            reading.cancel()
            await asyncio.wait([reading])
    assert [attempt.usage.audio_s for attempt in told] == [seconds]


async def test_sound_is_added_up_without_rounding() -> None:
    told: list[Attempt] = []
    chain = ears(ear(streaming=True, faults=["cut"]))
    piece = bytes(2 * 441)
    with counting(told.append):
        async with chain.open() as stream:
            reading = asyncio.ensure_future(anext(aiter(stream)))
            for _ in range(1_000):
                await stream.send(piece)
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            reading.cancel()
            await asyncio.wait([reading])
    assert told[0].usage.audio_s == 441_000 / 16_000
