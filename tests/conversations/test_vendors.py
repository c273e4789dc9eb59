"""Conversations over real sockets with recognisers and voices that stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from benchmarks.vendor_servers.deepgram_sockets import KEY as DEEPGRAM_KEY
from benchmarks.vendor_servers.deepgram_sockets import DeepgramSockets, deepgram_sockets
from benchmarks.vendor_servers.elevenlabs_sockets import KEY as ELEVENLABS_KEY
from benchmarks.vendor_servers.elevenlabs_sockets import ElevenLabsSockets, elevenlabs_sockets
from tests.conversations.scenario import Talk, talk

from antiphon.conversation import events
from antiphon.providers import deepgram, elevenlabs
from antiphon.providers.deepgram import DeepgramRecognizer
from antiphon.providers.elevenlabs import ElevenLabsStreamInput

pytestmark = pytest.mark.real_time

STORY = "Once upon a time there was a miller. He had three sons and a mill. " * 3


@asynccontextmanager
async def nova() -> AsyncIterator[tuple[DeepgramRecognizer, DeepgramSockets]]:
    async with deepgram_sockets() as vendor:
        account = deepgram.Account(api_key=DEEPGRAM_KEY, base_url=vendor.url)
        async with deepgram.open_recognizer(account) as recognizer:
            await recognizer.warm()
            yield recognizer, vendor


@asynccontextmanager
async def flash() -> AsyncIterator[tuple[ElevenLabsStreamInput, ElevenLabsSockets]]:
    async with elevenlabs_sockets() as vendor:
        account = elevenlabs.Account(api_key=ELEVENLABS_KEY, base_url=vendor.url)
        async with elevenlabs.open_stream_input(account) as voice:
            await voice.warm()
            yield voice, vendor


async def until(conversation: Talk, so: Callable[[], object]) -> None:
    """Let the conversation go on until something is so, frame by frame."""
    async with asyncio.timeout(20):
        while not so():
            await conversation.until(conversation.now + 0.02)


async def answered(conversation: Talk, replies: int) -> None:
    await until(conversation, lambda: len(conversation.all(events.ReplyDone)) >= replies)


async def test_words_are_shown_while_they_are_said_and_every_turn_uses_the_same_socket() -> None:
    async with nova() as (recognizer, vendor):
        replies = {"France": "Paris.", "Spain": "Madrid."}
        async with talk(replies, recognizer=recognizer) as conversation:
            conversation.user.says("what is the capital of France", from_=0.3, to=1.8)
            await answered(conversation, 1)
            at = conversation.now
            conversation.user.says("and what is the capital of Spain", from_=at + 0.3, to=at + 1.8)
            await answered(conversation, 2)
            assert conversation.turns() == [
                "what is the capital of France",
                "and what is the capital of Spain",
            ]
            await until(conversation, lambda: conversation.heard() == "Paris. Madrid.")
            shown = [event.text for event in conversation.all(events.TranscriptChanged) if not event.final]
            assert len([text for text in shown if "what is the capital of France".startswith(text)]) >= 3
            done = conversation.all(events.ReplyDone)
            calls = [call for reply in done for call in reply.calls if call.kind == "asr"]
            assert {call.transport for call in calls} == {"stream"}
            assert sum(call.usage.audio_s for call in calls) == pytest.approx(vendor.heard_s, abs=0.1)
        assert vendor.accepted == 1


async def test_a_socket_that_breaks_while_somebody_speaks_costs_no_words() -> None:
    async with nova() as (recognizer, vendor):
        vendor.faults.append("cut")
        async with talk({"France": "Paris."}, recognizer=recognizer) as conversation:
            conversation.user.says("what is the capital of France", from_=0.3, to=1.8)
            await answered(conversation, 1)
            assert conversation.turns() == ["what is the capital of France"]
            assert conversation.all(events.Failed) == []


async def test_words_that_cannot_be_had_are_told_of() -> None:
    async with nova() as (recognizer, vendor):
        vendor.faults.extend(["cut", "cut"])
        async with talk({"France": "Paris."}, recognizer=recognizer) as conversation:
            conversation.user.says("what is the capital of France", from_=0.3, to=1.3)
            await until(conversation, lambda: conversation.all(events.Failed))
            assert conversation.all(events.Failed)[0].code == "provider_unavailable"
            at = conversation.now
            conversation.user.says("what is the capital of France", from_=at + 0.5, to=at + 1.5)
            await until(conversation, lambda: conversation.heard().endswith("Paris."))


async def test_a_reply_cut_short_is_remembered_to_the_word() -> None:
    async with flash() as (voice, vendor), talk({"story": STORY}, synthesizer=voice) as conversation:
        vendor.world.real_time_factor = 0.8
        conversation.user.says("tell me a story", from_=0.3, to=1.2)
        await until(conversation, lambda: len(conversation.heard().split()) >= 9)
        at = conversation.now
        conversation.user.says("stop it please", from_=at + 0.1, to=at + 0.8)
        await until(conversation, lambda: conversation.all(events.Interrupted))
        cut = conversation.all(events.Interrupted)[0]
        heard = conversation.heard("r1")
        assert STORY.startswith(heard)
        assert abs(len(cut.heard_text.split()) - len(heard.split())) <= 1  # a report is up to 100 ms old
        assert STORY.startswith(cut.heard_text)
        await vendor.until(lambda: vendor.closed)
        await answered(conversation, 1)
        # What was said later was not asked for, and the next reply needs no new socket.
        assert sum(len(spoken.text) for spoken in vendor.spoken) < len(STORY)
        assert vendor.accepted == 1
