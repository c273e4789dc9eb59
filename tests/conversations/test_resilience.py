"""Many callers while providers fail at random, and a provider that dies: through the engine, on virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from benchmarks.fault_run import Outcome, hold_calls
from tests.conversations.scenario import talk

from antiphon.app.chains import stock_phrases
from antiphon.conversation import events
from antiphon.conversation.apology import apology
from antiphon.conversation.config import Providers
from antiphon.providers.base import Message, Synthesizer
from antiphon.providers.resilience import (
    Chain,
    ResilientLanguageModel,
    ResilientRecognizer,
    ResilientSynthesizer,
)
from antiphon.providers.scripted import (
    Fault,
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedTurnModel,
    ScriptedVoiceDetector,
)
from antiphon.providers.speech_cache import CachingSynthesizer, SpeechCache

FAILURES: tuple[Fault, ...] = ("fail", "cut", "empty")
"""For a recogniser without the last: no words are an answer, to a cough."""


def answers(messages: Sequence[Message]) -> str:
    return "It is a number that people like very much."


def at_random(
    seed: int, *, failing: float, stalling: float, failures: Sequence[Fault] = FAILURES
) -> Iterator[Fault | None]:
    """Faults for some thousands of requests."""
    dice = random.Random(seed)
    for _ in range(20_000 if failing or stalling else 0):
        at = dice.random()
        if at < failing:
            yield dice.choice(failures)
        else:
            yield "stall" if at < failing + stalling else None


def unsteady(failing: float, stalling: float, *, embedded: bool = True) -> tuple[Providers, list[Any]]:
    """Vendors that fail at random, with embedded fallbacks that do not."""

    def faults(seed: int, failures: Sequence[Fault] = FAILURES) -> Iterator[Fault | None]:
        return at_random(seed, failing=failing, stalling=stalling, failures=failures)

    hear: list[Any] = [ScriptedRecognizer(latency_s=0.3, faults=faults(1, FAILURES[:2]), provider="vendor")]
    write: list[Any] = [
        ScriptedLanguageModel(answers, first_token_s=0.3, faults=faults(2), provider="vendor", breaks_after=3)
    ]
    speak: list[Any] = [ScriptedSynthesizer(first_chunk_s=0.2, faults=faults(3), provider="vendor")]
    if embedded:
        hear.append(ScriptedRecognizer(latency_s=0.3, provider="local"))
        write.append(ScriptedLanguageModel(answers, first_token_s=0.3, provider="local"))
        speak.append(ScriptedSynthesizer(first_chunk_s=0.2, provider="local"))
    providers = Providers(
        recognizer=ResilientRecognizer(Chain(hear, kind="asr")),
        language_model=ResilientLanguageModel(Chain(write, kind="llm")),
        synthesizer=ResilientSynthesizer(Chain(speak, kind="tts")),
        voice_detector=ScriptedVoiceDetector(),
        turn_model=ScriptedTurnModel(),
    )
    return providers, [*hear, *write, *speak]


def told(outcome: Outcome) -> str:
    """What went wrong, when a figure is missed."""
    bad = [turn for turn in outcome.turns if not turn.answered or turn.silence_s > 4.0]
    return "\n".join(
        f"{turn.silence_s:.1f} s silent, error {turn.error!r}, text {turn.text!r}, "
        f"{[(call.provider, call.outcome, round(call.total_ms)) for call in turn.calls]}"
        for turn in bad[:5]
    )


@pytest.mark.timeout(120)
async def test_with_fallbacks_nobody_notices_that_a_tenth_fails_and_a_twentieth_stalls() -> None:
    before = len(asyncio.all_tasks())
    providers, adapters = unsteady(failing=0.1, stalling=0.05)
    outcome = await hold_calls(providers, sessions=10, turns=100)
    assert outcome.answered >= 0.995, told(outcome)
    assert outcome.silent_for_more_than(4.0) == 0, told(outcome)
    assert outcome.lost == 0
    assert len(asyncio.all_tasks()) == before
    assert all(call.ended != "open" for adapter in adapters for call in adapter.calls)
    assert any(call.outcome == "timeout" for turn in outcome.turns for call in turn.calls), "faults were met"


async def test_a_vendor_that_is_gone_is_replaced_and_taken_up_again() -> None:
    providers, adapters = unsteady(failing=0.0, stalling=0.0)
    vendor = adapters[2]
    vendor.faults.add(*["stall"] * 4)
    outcome = await hold_calls(providers, sessions=2, turns=16)
    assert outcome.answered == 1.0, told(outcome)
    assert outcome.silent_for_more_than(4.0) == 0, told(outcome)
    model = "language-model"
    who = [turn.providers & {f"vendor:{model}", f"local:{model}"} for turn in outcome.turns]
    assert {f"local:{model}"} in who
    assert who[-1] == {f"vendor:{model}"}


async def test_every_request_is_counted_once() -> None:
    providers, adapters = unsteady(failing=0.2, stalling=0.05)
    outcome = await hold_calls(providers, sessions=4, turns=24)
    counted = [call for turn in outcome.turns for call in turn.calls]
    for kind, (vendor, local) in zip(
        ("asr", "llm", "tts"), (adapters[0:2], adapters[2:4], adapters[4:6]), strict=True
    ):
        # Requests made after a caller's last reply are told of to nobody's reply.
        asked = len(vendor.calls) + len(local.calls)
        assert abs(asked - sum(call.kind == kind for call in counted)) <= 4, kind


async def test_a_reply_that_breaks_off_is_heard_whole() -> None:
    model = ResilientLanguageModel(
        Chain(
            [
                ScriptedLanguageModel(answers, first_token_s=0.15, faults=["cut", "hush"], breaks_after=4),
                ScriptedLanguageModel(answers, first_token_s=0.15, provider="local"),
            ],
            kind="llm",
        )
    )
    async with talk(language_model=model) as conversation:
        conversation.user.says("what is the number seven", from_=0.5, to=2.0)
        await conversation.until(10.0)
        assert conversation.heard() == "It is a number that people like very much."
        assert conversation.all(events.Failed) == []


@pytest.mark.parametrize("fault", ["fail", "stall", "cut", "hush"])
async def test_a_streaming_recogniser_that_fails_is_replaced_by_a_batch_one(fault: Fault) -> None:
    streaming = ScriptedRecognizer(latency_s=0.12, streaming=True, faults=[fault, fault])
    batch = ScriptedRecognizer(latency_s=0.3, provider="local")
    hearing = ResilientRecognizer(Chain([streaming, batch], kind="asr"))
    async with talk({"France": "It is Paris.", "Spain": "It is Madrid."}, recognizer=hearing) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        conversation.user.says("and the one of Spain", from_=9.0, to=10.0)
        await conversation.until(16.0)
        assert conversation.turns() == ["what is the capital of France", "and the one of Spain"]
        assert conversation.heard() == "It is Paris. It is Madrid."
        assert conversation.sounds_from() - 2.0 < 4.0
        assert conversation.all(events.Failed) == []


async def test_when_no_voice_can_speak_the_apology_that_was_made_ahead_is_heard() -> None:
    voice = ScriptedSynthesizer(first_chunk_s=0.1)
    chain: Chain[Synthesizer] = Chain([voice], kind="tts")
    speaking = CachingSynthesizer(
        ResilientSynthesizer(chain), cache=SpeechCache(max_bytes=4_000_000), stock=stock_phrases
    )
    async with asyncio.TaskGroup() as group:
        preparing = group.create_task(speaking.prepare())
        async with talk({"France": "It is Paris."}, synthesizer=speaking) as conversation:
            conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
            await conversation.until(12.0)
            for _ in range(50):
                voice.faults.add("fail")
            conversation.user.says("and what about France now", from_=12.5, to=14.0)
            await conversation.until(22.0)
            assert conversation.heard("r1") == "It is Paris."
            assert conversation.heard().endswith(apology("en"))
            assert [event.code for event in conversation.all(events.Failed)] == ["provider_unavailable"]
        preparing.cancel()


async def test_what_hearing_took_is_not_there_for_writing_and_speaking() -> None:
    """Everybody stalls once, which fills two steps: the caller waits, but not for three times the budget of one."""

    def stalls(count: int) -> Iterator[Fault]:
        return iter(["stall"] * count)

    hear = [ScriptedRecognizer(latency_s=0.3, faults=stalls(1), provider=name) for name in ("one", "two")]
    write = [
        ScriptedLanguageModel(answers, first_token_s=0.3, faults=stalls(1), provider=name)
        for name in ("one", "two")
    ]
    speak = [
        ScriptedSynthesizer(first_chunk_s=0.2, faults=stalls(1), provider=name) for name in ("one", "two")
    ]
    providers = Providers(
        recognizer=ResilientRecognizer(Chain(hear, kind="asr")),
        language_model=ResilientLanguageModel(Chain(write, kind="llm")),
        synthesizer=ResilientSynthesizer(Chain(speak, kind="tts")),
        voice_detector=ScriptedVoiceDetector(),
        turn_model=ScriptedTurnModel(),
    )
    outcome = await hold_calls(providers, sessions=1, turns=1)
    assert outcome.answered == 1.0, told(outcome)
    assert sum(call.outcome == "timeout" for call in outcome.turns[0].calls) == 4
    assert outcome.longest_silence_s < 5.0
