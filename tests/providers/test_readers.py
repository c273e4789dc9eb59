"""What vendors send, out of its pieces: events, replies, sound. However it is cut, it is the same."""

from __future__ import annotations

import contextlib
import json
import struct
from collections import deque
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio.coded_speech import coded_text, speech_sound
from antiphon.errors import ProviderEmpty, ProviderError, ProviderRejected, ProviderUnavailable
from antiphon.providers.base import Delta, Finished, Text, ToolCall, Usage
from antiphon.providers.openai.chat_reader import ChatReader, Thoughts
from antiphon.providers.openai.transcription import wav_file
from antiphon.providers.server_sent import LARGEST_EVENT, EventDecoder
from antiphon.providers.sound_reader import SoundReader
from antiphon.providers.vendor_errors import Names

NAMES = Names(provider="v:m", key_setting="K", url_setting="U", model_setting="ANTIPHON_LLM")


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    """``raw`` in pieces."""
    at = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[a:b] for a, b in pairwise(at)]


# ---- server-sent events ---------------------------------------------------------------------------------------

STREAM = (
    'event: say\r\ndata: schön 🏔️\r\n\r\n: a comment\n\ndata: {"a":\ndata: 1}\n\nid: 7\ndata:[DONE]'.encode()
)
EVENTS = [("say", "schön 🏔️"), ("message", '{"a":\n1}'), ("message", "[DONE]")]


@given(st.lists(st.integers(0, 200), max_size=40))
def test_events_do_not_depend_on_how_they_are_cut(places: list[int]) -> None:
    decoder = EventDecoder()
    events = [event for piece in cut(STREAM, places) for event in decoder.push(piece)]
    events += decoder.end()
    assert [(event.event, event.data) for event in events] == EVENTS


@given(st.binary(max_size=400))
def test_bytes_that_are_no_events_do_no_harm(raw: bytes) -> None:
    decoder = EventDecoder()
    with contextlib.suppress(UnicodeDecodeError):
        assert all(event.event for event in [*decoder.push(raw), *decoder.end()])


@pytest.mark.parametrize("line", [b"data: " + b"x" * 1000, b"data: " + b"x" * 1000 + b"\n"])
def test_an_event_without_end_is_not_kept(line: bytes) -> None:
    decoder = EventDecoder()
    with pytest.raises(ValueError, match="an event of more than"):
        deque(event for _ in range(LARGEST_EVENT // 1000 + 2) for event in decoder.push(line))


# ---- replies --------------------------------------------------------------------------------------------------


def chunk(delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any) -> str:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    return json.dumps({"model": "gpt-4o-mini-2024-07-18", "choices": choices, **more})


def read(*data: str) -> list[Delta]:
    reader = ChatReader(NAMES)
    deltas = [delta for one in data for delta in reader.push(one)]
    return [*deltas, *reader.end()]


def test_cached_tokens_are_part_of_the_prompt() -> None:
    usage = {"prompt_tokens": 2006, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 1920}}
    *_, finished = read(chunk({"content": "Hi."}), chunk({}, "stop"), chunk(usage=usage), "[DONE]")
    assert isinstance(finished, Finished)
    assert finished.usage == Usage(input_tokens=2006, cached_tokens=1920, output_tokens=30)
    assert finished.model == "gpt-4o-mini-2024-07-18"


def test_calls_of_functions_are_joined() -> None:
    def piece(index: int | None, **call: Any) -> str:
        return chunk({"tool_calls": [{"index": index, **call}]})

    deltas = read(
        piece(0, id="a", function={"name": "weather", "arguments": ""}),
        piece(0, function={"arguments": '{"city":'}),
        piece(1, id="b", function={"name": "time", "arguments": "{}"}),
        piece(0, function={"arguments": '"Zürich"}'}),
        chunk({}, "tool_calls"),
        "[DONE]",
    )
    assert deltas[:2] == [
        ToolCall(id="a", name="weather", arguments='{"city":"Zürich"}'),
        ToolCall(id="b", name="time", arguments="{}"),
    ]
    assert isinstance(deltas[-1], Finished)
    assert deltas[-1].reason == "tool_calls"
    whole = read(piece(None, id="c", function={"name": "time"}), chunk({}, "stop"), "[DONE]")
    assert whole[0] == ToolCall(id="c", name="time", arguments="{}")


@pytest.mark.parametrize(
    ("data", "kind", "cause"),
    [
        (['{"error": {"code": "rate_limit_exceeded"}}'], ProviderUnavailable, "rate_limit"),
        (['{"error": {"message": "provider failed", "code": 502}}'], ProviderUnavailable, "overloaded"),
        (['{"error": "out of memory"}'], ProviderUnavailable, "overloaded"),
        ([chunk({"content": "Half a"})], ProviderUnavailable, "cut"),
        ([chunk({"role": "assistant", "content": ""}), chunk({}, "stop"), "[DONE]"], ProviderEmpty, "empty"),
        ([chunk({"reasoning_content": "hm"}), chunk({}, "length"), "[DONE]"], ProviderEmpty, "empty"),
        (["[1, 2]"], ProviderUnavailable, "malformed"),
        (["{"], ProviderUnavailable, "malformed"),
        ([], ProviderUnavailable, "cut"),
    ],
)  # fmt: skip
def test_replies_that_go_wrong(data: list[str], kind: type[ProviderError], cause: str) -> None:
    with pytest.raises(kind) as caught:
        read(*data)
    assert caught.value.cause == cause


@given(st.lists(st.text(max_size=8), max_size=8), st.lists(st.integers(0, 60), max_size=12))
def test_thoughts_are_not_said_however_they_are_cut(words: list[str], places: list[int]) -> None:
    thought, said = "I must <b>not</b> say this", "Paris" + "".join(words)
    raw = f"\n<think>{thought}</think>\n\n{said}"
    at = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    thoughts = Thoughts()
    heard = "".join(thoughts.push(raw[a:b]) for a, b in pairwise(at)) + thoughts.end()
    assert heard == said


@pytest.mark.parametrize("text", ["<", "<thin air", "Hello <think>", "", "  Hi"])
def test_what_only_looks_like_a_thought_is_said(text: str) -> None:
    thoughts = Thoughts()
    assert "".join(thoughts.push(letter) for letter in text) + thoughts.end() == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "delta", "content", "tool_calls", "index", "function", "usage", "error",
                         "finish_reason", "name", "prompt_tokens", "prompt_tokens_details", "model", "message"]),
        inner, max_size=4), max_leaves=15))  # fmt: skip
def test_any_json_is_a_delta_or_an_error_of_the_provider(value: object) -> None:
    with contextlib.suppress(ProviderError):
        assert read(json.dumps(value), "[DONE]")


# ---- sound ----------------------------------------------------------------------------------------------------

SAID = "one two three four"


def heard(raw: bytes, places: list[int], content_type: str = "audio/pcm", rate: int = 24_000) -> bytes:
    reader = SoundReader(NAMES, rate=rate, content_type=content_type)
    pieces = [reader.push(piece) for piece in cut(raw, places)]
    assert all(len(piece) % 2 == 0 for piece in pieces)
    return b"".join(pieces) + reader.end()


@given(st.lists(st.integers(0, 70_000), max_size=30))
def test_samples_do_not_depend_on_how_they_are_cut(places: list[int]) -> None:
    assert coded_text(heard(speech_sound(SAID, rate=24_000), places), rate=24_000) == SAID


@given(st.lists(st.integers(0, 70), max_size=10))
def test_a_wav_file_is_believed(places: list[int]) -> None:
    wav = wav_file(speech_sound(SAID, rate=16_000))
    assert coded_text(heard(wav, places, rate=16_000), rate=16_000) == SAID
    resampled = heard(wav, places, rate=24_000)
    assert len(resampled) == pytest.approx(len(wav) * 1.5, rel=0.02)


def test_a_rate_in_the_content_type_is_believed() -> None:
    sound = speech_sound(SAID, rate=8_000)
    assert len(heard(sound, [], "audio/L16; rate=8000; channels=1")) == pytest.approx(
        3 * len(sound), rel=0.02
    )


MP3 = (b"\xff\xfb\x90\xc4" + b"\x55" * 413) * 4
"""128 kbit/s at 44 100 Hz: frames of 417 bytes."""
MP3_OF_MPEG_2 = (b"\xff\xf3\x84\xc4" + b"\x55" * 188) * 4
"""64 kbit/s at 24 000 Hz: frames of 192 bytes."""
AAC = (b"\xff\xf1\x50\x80\x2e\x7f\xfc" + b"\x55" * 364) * 4
"""Frames of 371 bytes, which their header says."""


@pytest.mark.parametrize(
    ("raw", "content_type", "cause"),
    [
        (b"ID3\x04" + bytes(99), "audio/pcm", "wrong_rate"),
        (bytes(99), "audio/mpeg", "wrong_rate"),
        (bytes(99), "audio/x-mpeg; charset=binary", "wrong_rate"),
        (MP3, "audio/pcm", "wrong_rate"),
        (MP3_OF_MPEG_2, "application/octet-stream", "wrong_rate"),
        (AAC, "", "wrong_rate"),
        (b"\x1a\x45\xdf\xa3" + bytes(99), "audio/pcm", "wrong_rate"),
        (b"<!DOCTYPE html><html>", "application/octet-stream", "malformed"),
        (b"\n <html>" + b" " * 99, "", "malformed"),
        (b'{"error": {"message": "quota"}}', "audio/pcm", "malformed"),
        (b"{}", "audio/pcm", "malformed"),
        (bytes(99), "audio/L16; rate=24000; channels=2", "wrong_rate"),
        (b"{}", "application/json", "malformed"),
        (b"RIFF\0\0\0\0WAVE" + bytes(9_000), "audio/wav", "malformed"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav", "malformed"),
        (wav_file(b"").replace(b"\x01\x00\x01\x00", b"\x01\x00\x02\x00", 1), "audio/wav", "wrong_rate"),
    ],
)
def test_what_is_no_pcm_is_refused_by_name(raw: bytes, content_type: str, cause: str) -> None:
    with pytest.raises((ProviderRejected, ProviderUnavailable)) as caught:
        heard(raw, [], content_type)
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    "raw",
    [
        MP3[:418] + bytes(2_000),
        MP3[:418],
        AAC[:10] + bytes(2_000),
        b"\xff\xff" * 2_000,
        b"{<" + bytes(2_000),
        b"{}{}{}{}\xff\xff" + bytes(2_000),
    ],
    ids=["first frame only", "one frame", "no second frame", "quiet", "like text", "loud"],
)
@pytest.mark.parametrize("places", [[], [1, 2, 3, 5, 8, 417, 419]])
def test_sound_that_begins_like_something_else_is_sound(raw: bytes, places: list[int]) -> None:
    assert heard(raw, places) == raw


def wav_of(pcm: bytes, *before: tuple[bytes, bytes], size: int | None = None, after: bytes = b"") -> bytes:
    """A WAV file with more in it than its format and its sound."""
    layout = struct.pack("<HHIIHH", 1, 1, 24_000, 48_000, 2, 16)
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
        for name, body in (*before, (b"fmt ", layout))
    )
    head = b"data" + struct.pack("<I", len(pcm) if size is None else size)
    return b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + chunks + head + pcm + after


@given(st.lists(st.integers(0, 5_000), max_size=10))
def test_of_a_wav_file_only_the_sound_is_heard(places: list[int]) -> None:
    pcm = b"\1\2" * 2_400
    listing = (b"LIST", b"INFOICMT\x09\0\0\0metadata\0")
    for wav in (
        wav_of(pcm, listing, (b"odd ", b"abc")),
        wav_of(pcm, after=b"LIST" + struct.pack("<I", 4_000) + b"\x7f" * 4_000),
        wav_of(pcm, size=0),
        wav_of(pcm, size=0xFFFFFFFF),
    ):
        assert heard(wav, places, "audio/wav") == pcm


@given(st.binary(max_size=300))
def test_any_bytes_are_sound_or_an_error(raw: bytes) -> None:
    with contextlib.suppress(ProviderError):
        assert len(heard(raw, [])) % 2 == 0


def test_text_deltas_are_never_empty() -> None:
    deltas = read(
        chunk({"content": ""}), chunk({"content": None}), chunk({"content": "Hi"}), chunk({}, "stop")
    )
    assert [delta.text for delta in deltas if isinstance(delta, Text)] == ["Hi"]
