"""Deepgram hears, Claude writes, ElevenLabs speaks: chosen by settings, with all that stands around them, over real
sockets."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from benchmarks.vendor_servers import VendorWorld, open_vendor_servers
from benchmarks.vendor_servers.deepgram_sockets import deepgram_sockets
from benchmarks.vendor_servers.elevenlabs_sockets import elevenlabs_sockets
from tests.conversations.scenario import RATE_OUT, Talk, talk
from tests.conversations.test_vendors import until

from antiphon.app.assistant import open_assistant
from antiphon.conversation import events
from antiphon.settings import load_settings

KEYS = {"ELEVENLABS_API_KEY": "key-one", "DEEPGRAM_API_KEY": "key-two", "ANTHROPIC_API_KEY": "key-three"}

TURNS = 5


def answered(conversation: Talk, turns: int) -> bool:
    """Whether so many replies were heard to their end."""
    done = len(conversation.all(events.ReplyDone))
    return done >= turns and conversation.heard().count("the city of light.") >= turns


@pytest.mark.real_time
async def test_turn_after_turn_over_the_same_connections(tmp_path: Path) -> None:
    world = VendorWorld()
    async with (
        open_vendor_servers(world) as servers,
        deepgram_sockets(VendorWorld(key="key-two")) as ear,
        elevenlabs_sockets(VendorWorld(key="key-one")) as mouth,
    ):
        chosen = {
            "ANTIPHON_ASR": "deepgram",
            "ANTIPHON_LLM": "anthropic",
            "ANTIPHON_TTS": "elevenlabs",
            "ANTIPHON_EAR": "scripted",
            "ANTIPHON_LANGUAGE": "en",
            "ANTIPHON_DATA": str(tmp_path),
            "ANTIPHON_DEEPGRAM_BASE_URL": ear.url,
            "ANTIPHON_ELEVENLABS_BASE_URL": mouth.url,
            "ANTIPHON_ANTHROPIC_BASE_URL": servers.url,
        }
        settings = load_settings({**chosen, **KEYS}, folder=tmp_path).settings
        async with open_assistant(settings, lambda progress: None) as assistant:
            providers = assistant.providers
            config = replace(
                assistant.defaults,
                output_rate=RATE_OUT,
            )
            async with talk(
                config=config,
                recognizer=providers.recognizer,
                language_model=providers.language_model,
                synthesizer=providers.synthesizer,
            ) as conversation:
                for turn in range(1, TURNS + 1):
                    world.reply = f"Answer {turn} is Paris, the city of light."
                    at = conversation.now
                    conversation.user.says("what is the capital of France", from_=at + 0.3, to=at + 1.3)
                    await until(conversation, partial(answered, conversation, turn))
                assert conversation.turns() == ["what is the capital of France"] * TURNS
                assert conversation.all(events.Failed) == []
                calls = conversation.all(events.ReplyDone)[-1].calls
        assert {call.provider for call in calls} == {
            "deepgram:nova-3",
            "anthropic:claude-haiku-4-5",
            "elevenlabs:eleven_flash_v2_5",
        }
        heard, written = (
            [call for call in calls if call.kind == kind and not call.discarded] for kind in ("asr", "llm")
        )
        assert {call.transport for call in heard} == {"stream"}
        assert sum(call.usage.audio_s for call in heard) == pytest.approx(1.5, abs=0.8)
        assert all(call.usage.cached_tokens == 20 and call.usage.cache_write_tokens == 7 for call in written)
        assert ear.accepted <= 2  # one is opened ahead; a second while the first is told of a pause
        assert mouth.accepted == 1
        assert len({spoken.context for spoken in mouth.spoken}) >= TURNS
        for call in world.asked:
            assert "key-" not in str(call.query)
