"""Whatever a vendor sends is taken, or is a ProviderError; what was taken can be counted with and written again."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.virtual_time import run_virtual

from antiphon.errors import ProviderError
from antiphon.providers.anthropic.request import turns
from antiphon.providers.anthropic.stream import MessageStream
from antiphon.providers.base import Delta, Finished, Message, Text, ToolCall, Transcript
from antiphon.providers.deepgram.line import ListenLine
from antiphon.providers.elevenlabs import Account, ElevenLabsHttp
from antiphon.providers.elevenlabs.line import VoiceLine
from antiphon.providers.http import Answer, HttpPool
from antiphon.providers.openai.chat_reader import ChatReader
from antiphon.providers.openai.transcription import read_transcription
from antiphon.providers.proxies import Proxies
from antiphon.providers.sockets import Line
from antiphon.providers.vendor_errors import Names, refused
from antiphon.providers.vendor_json import read_json

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
    *("choices", "delta", "content", "finish_reason", "tool_calls", "index", "function", "name", "arguments"),
    *("usage", "prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens", "model"),
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"),
    *("message_stop", "content_block", "text", "tool_use", "id", "text_delta", "input_json_delta"),
    *("partial_json", "stop_reason", "input_tokens", "output_tokens", "cache_read_input_tokens"),
    *("segments", "avg_logprob", "no_speech_prob", "language", "seconds"),
    *("audio_base64", "detail", "loc", "msg", "code", "param", "status"),
    *("characters", "character_start_times_seconds", "character_end_times_seconds"),
)

scalars = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.just(10**400)),
    *(st.sampled_from(WORDS), st.text(max_size=5), st.just("half a letter: \ud83d")),
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


DEEP = ["[" * 100_000, '{"error":' * 100_000, '{"error":' * 500 + "1" + "}" * 500]

messages = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=30),
    st.sampled_from(DEEP),
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


# ---- over HTTP ------------------------------------------------------------------------------------------------


def chunk(delta: Any, reason: Any, usage: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": reason}], "usage": usage}


def event(kind: Any, block: Any, delta: Any, usage: Any) -> dict[str, Any]:
    parts = {"content_block": block, "delta": delta, "message": {"usage": usage}}
    return {"type": kind, "index": 0, "usage": usage, **parts}


def transcription(segments: Any, usage: Any) -> dict[str, Any]:
    return {"text": "x", "segments": segments, "usage": usage}


def line(audio: Any, chars: Any, starts: Any) -> dict[str, Any]:
    alignment = {
        "characters": chars,
        "character_start_times_seconds": starts,
        "character_end_times_seconds": starts,
    }
    return {"audio_base64": audio, "alignment": alignment}


kinds = st.sampled_from([word for word in WORDS if word.startswith(("message_", "content_block_"))])
blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "text_delta", "input_json_delta"])},
    optional={
        "text": scalars,
        "id": scalars,
        "name": scalars,
        "partial_json": scalars,
        "stop_reason": scalars,
    },
)
counts = st.one_of(values, st.dictionaries(st.sampled_from(WORDS), scalars, max_size=4))
segments = st.one_of(
    values, st.lists(st.fixed_dictionaries({"avg_logprob": scalars, "no_speech_prob": scalars}))
)
bodies = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(DEEP).map(str.encode),
    st.one_of(
        values,
        st.builds(chunk, values, scalars, counts),
        st.builds(event, kinds, blocks, blocks, counts),
        st.builds(transcription, segments, counts),
        st.builds(line, st.sampled_from(["", "AAAA", "AAAAAAAA"]), st.lists(st.text(max_size=2)), values),
    )
    .map(json.dumps)
    .map(str.encode),
)


def can_be_used(pieces: list[Delta]) -> None:
    """Written to a file, added to a ledger."""
    for piece in pieces:
        match piece:
            case Text():
                assert piece.text
                piece.text.encode()
            case ToolCall():
                f"{piece.id} {piece.name} {piece.arguments}".encode()
            case Finished():
                piece.model.encode()
                counted = piece.usage.input_tokens + piece.usage.output_tokens + piece.usage.cached_tokens
                assert 0 <= counted < 1e10


def taken(read: Any, sent: list[bytes]) -> Iterator[Any]:
    for raw in sent:
        with suppress(UnicodeDecodeError):
            yield read(raw.decode())


@settings(max_examples=300)
@given(st.lists(bodies, max_size=5))
def test_chat_completions(sent: list[bytes]) -> None:
    reader = ChatReader(NAMES)
    with suppress(ProviderError):
        can_be_used([delta for deltas in taken(reader.push, sent) for delta in deltas])
        can_be_used(list(reader.end()))


@settings(max_examples=300)
@given(st.lists(bodies, max_size=5))
def test_anthropic(sent: list[bytes]) -> None:
    stream = MessageStream(NAMES)
    with suppress(ProviderError):
        can_be_used([delta for delta in taken(stream.take, sent) if delta is not None])
        stream.end()


@given(bodies)
def test_what_a_model_calls_a_function_with_can_be_sent_to_the_next(arguments: bytes) -> None:
    call = ToolCall(id="1", name="look", arguments=arguments.decode(errors="replace"))
    json.dumps(turns([Message(role="assistant", content="", tool_calls=(call,))]))


@settings(max_examples=300)
@given(bodies)
def test_transcriptions(sent: bytes) -> None:
    try:
        told = read_json(sent)
    except ValueError:
        return
    with suppress(ProviderError):
        transcript: Transcript = read_transcription(NAMES, told if isinstance(told, dict) else {}, 1.0)
        f"{transcript.text} {transcript.language}".encode()
        assert transcript.confidence is None or 0.0 <= transcript.confidence <= 1.0
        assert 0.0 <= transcript.usage.audio_s < 1e10


VOICE = ElevenLabsHttp(
    Account(api_key="k"), HttpPool(trust=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), proxies=Proxies({}))
)
"""Asks nobody."""


class Body:
    """Stands where an Answer does."""

    def __init__(self, sent: list[bytes]) -> None:
        self._sent = sent

    def refuse_page(self) -> None:
        pass

    async def pieces(self) -> AsyncIterator[bytes]:
        for raw in self._sent:
            yield raw + b"\n"


@settings(max_examples=300)
@given(st.lists(bodies, max_size=5))
def test_elevenlabs_over_http(sent: list[bytes]) -> None:
    async def take() -> None:
        with suppress(ProviderError):
            async for piece in VOICE._sound(cast(Answer, Body(sent)), "Hello there."):
                assert piece.pcm

    run_virtual(take())


@settings(max_examples=300)
@given(
    st.integers(300, 599),
    st.one_of(bodies, values.map(lambda told: json.dumps({"detail": [{"loc": told, "msg": told}]}).encode())),
    st.one_of(st.text(max_size=20), st.from_regex(r"Wed, 21 Oct \d{1,25} \d{2,25}:28:00 (GMT|[+-]\d{4})")),
)
def test_refusals(status: int, body: bytes, when: str) -> None:
    error = refused(NAMES, status, {"retry-after": when}, body)
    error.message.encode()


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\uD83D x \uDE00"', "\ufffd x \ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\uD83C\uDFD4 \u00fc"', "\U0001f3d4 \u00fc"),
        (rb'"\\ud83d \\\ud83d"', "\\ud83d \\\ufffd"),
        (b'\xef\xbb\xbf"x"', "x"),
    ],
)
def test_half_a_letter_is_a_sign_for_one(raw: bytes, read: str) -> None:
    assert read_json(raw) == read


@pytest.mark.parametrize(
    "raw", [b"", b'"\xed\xa0\xbd"', rb'"\ud8', b"[" * 65 + b"]" * 65, *map(str.encode, DEEP)]
)
def test_what_is_no_json_is_one_kind_of_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(raw)
    assert read_json("[" * 64 + "]" * 64)
