"""What is done with any adapter of a kind, and what all of them must leave behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from benchmarks.vendor_servers import Fault
from tests.providers.conformance.adapters import KEY, PATIENCE, SHORT, WAITED_FOR, Adapter, Bench

from antiphon.audio.coded_speech import speech_sound
from antiphon.errors import ProviderError, ProviderUnavailable
from antiphon.providers.base import (
    Delta,
    LanguageModel,
    LanguageOptions,
    Message,
    Recognizer,
    SpeechChunk,
    SpeechOptions,
    Synthesizer,
    Text,
    Transcript,
)

QUESTION = [
    Message(role="system", content="Answer in one sentence."),
    Message(role="user", content="What is the capital of France?"),
]


async def hear(recognizer: Recognizer, pcm: bytes | None = None) -> list[Transcript]:
    """All transcripts of a stretch of sound, sent as a microphone would."""
    sound = speech_sound("set a timer") if pcm is None else pcm
    async with recognizer.open(language="en", prompt="kitchen") as stream, asyncio.TaskGroup() as group:

        async def listen() -> list[Transcript]:
            return [transcript async for transcript in stream]

        listening = group.create_task(listen())
        for at in range(0, len(sound), 6_400):
            await stream.send(sound[at : at + 6_400])
        await stream.finish()
        return await listening


async def write(model: LanguageModel, options: LanguageOptions | None = None) -> list[Delta]:
    async with model.reply(QUESTION, options or LanguageOptions()) as deltas:
        return [delta async for delta in deltas]


def words(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


async def speak(voice: Synthesizer, text: str = "Hello there, friend.") -> list[SpeechChunk]:
    async with voice.speak(text, SpeechOptions()) as chunks:
        return [chunk async for chunk in chunks]


async def goes_wrong(adapter: Adapter, fault: Fault, ask: Callable[[Bench], Awaitable[object]]) -> None:
    """The fault gives its error, which names no key; the next request is answered; nothing is left under way."""
    async with adapter.open(SHORT if fault in WAITED_FOR else PATIENCE) as bench:
        bench.fault(fault)
        kind, cause = adapter.expected(fault)
        with pytest.raises(ProviderError) as caught:
            await unwrapped(ask(bench))
        error = caught.value
        assert (type(error), error.cause) == (kind, cause), error.message
        assert error.provider == bench.provider.info.name
        says_what_to_do(error, fault)
        await ask(bench)
        await settled(bench)


async def given_up(asking: Awaitable[object], *, after_s: float) -> None:
    """Asked, and cancelled unless it was answered by then."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(after_s):
            await asking


async def unwrapped(asking: Awaitable[object]) -> object:
    """The error itself, where the test's own task group wrapped it."""
    try:
        return await asking
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


def says_what_to_do(error: ProviderError, fault: Fault) -> None:
    message = error.message
    assert KEY not in message
    assert "sk-" not in message
    assert "\n" not in message
    assert len(message) < 500
    assert "secret" not in message, "part of an address that may be a token"
    if fault in ("bad_key", "quota"):
        assert "_API_KEY" in message
    if fault in ("unknown_model", "unknown_voice", "html", "redirect"):
        assert "ANTIPHON_" in message
    if fault == "rate_limit" and isinstance(error, ProviderUnavailable):
        assert error.retry_after_s == 1.0


async def settled(bench: Bench) -> None:
    """Every answer has ended on the vendor's side too."""
    world = bench.world
    if world is None:
        return
    async with asyncio.timeout(10):
        while world.under_way:
            world.settled.clear()
            await world.settled.wait()
