"""ElevenLabs over HTTP: what each clause is told of those before it."""

from __future__ import annotations

import pytest
from benchmarks.vendor_servers import VendorWorld, open_vendor_servers

from antiphon.providers.base import SpeechOptions
from antiphon.providers.elevenlabs import Account, ElevenLabsHttp
from antiphon.providers.elevenlabs.http_stream import told_before
from antiphon.providers.http import HttpPool
from antiphon.providers.resilience import Chain, ResilientSynthesizer


@pytest.mark.parametrize(
    ("told", "text", "before", "again"),
    [
        ("", "One.", "", False),
        ("One.", "Two.", "One.", False),
        ("One. Two.", "Two.", "One.", True),
        ("One. Two. Three.", "Two.", "One.", True),
        ("One. Two and a half. Three.", "a half.", "One. Two and", True),
        ("One. Twenty-two.", "two.", "One. Twenty-two.", False),
    ],
)
def test_what_stands_before_a_clause_is_not_the_clause(
    told: str, text: str, before: str, again: bool
) -> None:
    assert told_before(told, text) == (before, again)


@pytest.mark.real_time
async def test_a_clause_that_is_asked_for_again_is_not_told_that_it_was_said() -> None:
    async with open_vendor_servers(VendorWorld()) as servers, HttpPool() as pool:
        voice = ResilientSynthesizer(
            Chain([ElevenLabsHttp(Account(api_key="k", base_url=servers.url), pool)], kind="tts")
        )
        servers.world.fault_next("tts", None, "overloaded")
        for text in ("First clause.", "Second clause.", "Third clause."):
            async with voice.speak(text, SpeechOptions(context_id="s1:r1")) as chunks:
                assert [chunk async for chunk in chunks]
        asked = [(asked.body["text"], asked.body.get("previous_text")) for asked in servers.world.asked]
    assert asked == [
        ("First clause.", None),
        ("Second clause.", "First clause."),
        ("Second clause.", "First clause."),
        ("Third clause.", "First clause. Second clause."),
    ]
