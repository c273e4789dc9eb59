"""Whatever a vendor sends, a line takes it, or ends with a ProviderError: it must not end the process."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.virtual_time import run_virtual

from antiphon.errors import ProviderError
from antiphon.providers.deepgram.line import ListenLine
from antiphon.providers.elevenlabs.line import VoiceLine
from antiphon.providers.sockets import Line
from antiphon.providers.vendor_errors import Names

NAMES = Names(provider="vendor:model", key_setting="K", url_setting="U", model_setting="M")

WORDS = (
    *(
        "type",
        "Results",
        "Metadata",
        "UtteranceEnd",
        "Error",
        "channel",
        "alternatives",
        "transcript",
        "languages",
    ),
    *(
        "start",
        "duration",
        "is_final",
        "from_finalize",
        "speech_final",
        "confidence",
        "err_code",
        "description",
    ),
    *(
        "audio",
        "isFinal",
        "contextId",
        "antiphon-1",
        "alignment",
        "chars",
        "charStartTimesMs",
        "charDurationsMs",
    ),
    *("error", "message", "AAAA", "a", " "),
)

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(WORDS), inner, max_size=6)
    ),
    max_leaves=20,
)


def results(value: Any, start: Any, final: Any) -> dict[str, Any]:
    """Close to what the format says, which plain chance never is."""
    best = {"transcript": value, "confidence": start, "languages": value}
    return {
        "type": "Results",
        "start": start,
        "duration": start,
        "is_final": final,
        "from_finalize": final,
        "channel": {"alternatives": [best]},
    }


def audio(value: Any, times: Any, final: Any) -> dict[str, Any]:
    alignment = {"chars": times, "charStartTimesMs": times, "charDurationsMs": value}
    return {"contextId": "antiphon-1", "audio": "AAAAAAAA", "isFinal": final, "alignment": alignment}


messages = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=30),
    values.map(json.dumps),
    st.builds(results, values, values, scalars).map(json.dumps),
    st.builds(audio, values, values, scalars).map(json.dumps),
    st.builds(audio, st.lists(st.floats(), max_size=3), st.lists(st.floats(), max_size=3), st.none()).map(
        json.dumps
    ),
)


class Peer:
    """Stands where a Line does, and takes everything."""

    def __init__(self) -> None:
        self.alive = True
        self.opened_s = self.heard_s = asyncio.get_running_loop().time()

    def post(self, message: object) -> None:
        assert self.alive


@settings(max_examples=300)
@given(st.lists(messages, max_size=5))
def test_elevenlabs(sent: list[str | bytes]) -> None:
    async def take() -> None:
        line = VoiceLine(cast(Line, Peer()), rate=24_000, names=NAMES)
        line.speak("Hello there.", "s1:r1", {})
        line.speak("How are you?", "s1:r1", {})
        for message in sent:
            try:
                line.received(message)
            except ProviderError as error:
                line.lost(error)

    run_virtual(take())


@settings(max_examples=300)
@given(st.lists(messages, max_size=5))
def test_deepgram(sent: list[str | bytes]) -> None:
    async def take() -> None:
        line = ListenLine(
            cast(Line, Peer()), names=NAMES, language="multi", patience_s=1.0, free=lambda line: None
        )
        utterance = line.begin()
        await utterance.send(bytes(3_200))
        for number, message in enumerate(sent):
            try:
                line.received(message)
            except ProviderError as error:
                line.lost(error)
            if number == 2:
                await utterance.finish()
        line.lost(ProviderError("gone", provider="vendor:model"))

    run_virtual(take())
