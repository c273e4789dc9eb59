"""Whatever comes over a connection, the server's side of it answers with a message, an error of ours, or a close."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from antiphon.errors import ClientError, ProtocolError
from antiphon.protocol.client_messages import MAX_INSTRUCTIONS, MAX_SEQ, MAX_TEXT, Start
from antiphon.protocol.codec import CLIENT_TYPES, decode_client, encode
from antiphon.protocol.connection import FORGIVEN, ServerConnection
from antiphon.protocol.pace import BURST_S, MessagePace

CLOSES = {1007, 1008, 1009}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("input_rate", "output_rate", "language", "voice", "speed", "instructions", "mode", "timeline", "resume",
          "text", "reply_id", "ms", "seq", "session_id", "token", "last_seq")  # fmt: skip
nearly_messages = st.builds(
    lambda kind, fields: json.dumps({"type": kind, **fields}),
    st.sampled_from(sorted(CLIENT_TYPES)) | st.text(max_size=8) | values,
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=5),
)
brackets = st.builds(
    lambda bracket, count: bracket * count, st.sampled_from(["[", '{"a":', '"', "\\"]), st.integers(0, 5000)
)
texts = nearly_messages | st.text(max_size=300) | brackets | values.map(json.dumps)
sounds = st.binary(max_size=4096)
frames = st.lists(texts | sounds, min_size=1, max_size=40)


def feed(connection: ServerConnection, frame: str | bytes, now: float) -> Any:
    """What the shell does with a frame; the error of ours, if it is one."""
    try:
        connection.check_pace(frame, now=now)
        if isinstance(frame, bytes):
            return connection.receive_sound(frame, now=now)
        message = connection.receive_text(frame)
        if isinstance(message, Start) and connection.started is None:
            connection.accept_start(message, now=now)
        return message
    except ClientError as error:
        return error


@given(frames)
def test_nothing_but_errors_of_ours_and_known_closes(sent: list[str | bytes]) -> None:
    connection = ServerConnection(max_message_bytes=65_536)
    errors = 0
    for number, frame in enumerate(sent):
        outcome = feed(connection, frame, number * 0.01)
        if isinstance(outcome, ClientError):
            errors += 1
            assert outcome.message
        if connection.closing is not None:
            assert connection.closing.code in CLOSES
            assert len(connection.closing.reason.encode()) <= 123
            break
    assert errors <= FORGIVEN + 1


@given(frames)
def test_after_any_forgiven_rubbish_a_conversation_can_still_begin(sent: list[str | bytes]) -> None:
    connection = ServerConnection(max_message_bytes=65_536)
    for frame in sent[:FORGIVEN]:
        feed(connection, frame, 0.0)
    assert connection.closing is None
    begun = connection.started or feed(connection, '{"type":"start"}', 1.0)
    assert isinstance(begun, Start)
    assert feed(connection, bytes(1024), 1.0) == bytes(1024)


RESUME = '{"type":"start","resume":{"session_id":"s","token":"t",'
DAY_MS = 86_400_000
EDGES = (
    ('{"type":"start","input_rate":#}', (8_000, 48_000), (7_999, 48_001)),
    ('{"type":"start","output_rate":#}', (8_000, 48_000), (7_999, 48_001)),
    ('{"type":"start","speed":#}', (0.5, 2.0), (0.49, 2.01)),
    ('{"type":"start","instructions":#}', ("", "x" * MAX_INSTRUCTIONS), ("x" * (MAX_INSTRUCTIONS + 1),)),
    (RESUME + '"last_seq":#}}', (0, MAX_SEQ), (-1, MAX_SEQ + 1)),
    (RESUME + '"last_seq":0,"played":{"reply_id":"r","ms":#}}}', (0, DAY_MS), (-0.1, DAY_MS + 0.1)),
    ('{"type":"text","text":#}', ("x", "x" * MAX_TEXT), ("", " ", "x" * (MAX_TEXT + 1))),
    ('{"type":"played","reply_id":"r","ms":#}', (0, DAY_MS), (-0.1, DAY_MS + 0.1)),
)
"""Where a value stands for #: what just passes, and what does not any more."""


@pytest.mark.parametrize(("place", "within", "beyond"), EDGES)
def test_what_is_let_through_is_within_its_limits(
    place: str, within: tuple[object, ...], beyond: tuple[object, ...]
) -> None:
    for value in within:
        assert decode_client(place.replace("#", json.dumps(value))) is not None
    for value in beyond:
        with pytest.raises(ProtocolError):
            decode_client(place.replace("#", json.dumps(value)))


NUMBERS = st.integers() | st.floats() | st.integers(1, 4300).map(lambda digits: int("9" * digits))
PLACES = [place for place, within, _ in EDGES if not isinstance(within[0], str)]


@given(st.sampled_from(PLACES), NUMBERS)
def test_a_number_that_is_let_through_can_be_counted_with_and_told_again(place: str, number: float) -> None:
    try:
        message = decode_client(place.replace("#", json.dumps(number)))
    except ClientError:
        return
    assert message is not None
    assert all(abs(found) <= MAX_SEQ for found in numbers_in(dataclasses.asdict(message)))
    assert decode_client(encode(message)) == message


def numbers_in(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers_in(inner)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.parametrize("kind", CLIENT_TYPES.values(), ids=lambda kind: str(kind.TYPE))
def test_every_number_has_a_least_and_a_most(kind: type) -> None:
    """Also one that is added some day."""

    def unbounded(schema: object, path: str) -> Iterator[str]:
        if not isinstance(schema, dict):
            return
        if schema.get("type") in ("integer", "number") and not {"minimum", "maximum"} <= schema.keys():
            yield path
        for name, inner in schema.items():
            for part in inner if isinstance(inner, list) else [inner]:
                yield from unbounded(part, f"{path}.{name}")

    assert not list(unbounded(TypeAdapter(kind).json_schema(), kind.__name__))


@given(st.text(min_size=1, max_size=200))
def test_an_error_never_repeats_what_was_sent(secret: str) -> None:
    """It may be speech. (A type's own name is ours to repeat.)"""
    marked = f"zq{secret.encode().hex()}qz"
    connection = ServerConnection(max_message_bytes=65_536)
    for frame in (
        f'{{"type":"text","text":5,"x":"{marked}"}}',
        f'"{marked}',
        f'{{"type":"start","voice":["{marked}"]}}',
    ):
        outcome = feed(connection, frame, 0.0)
        assert isinstance(outcome, ClientError)
        assert marked not in outcome.message


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 70_000)), max_size=200))
def test_no_more_passes_than_its_pace(sent: list[tuple[float, int]]) -> None:
    pace = MessagePace(messages_per_s=10, bytes_per_s=10_000)
    now, passed, most_bytes = 0.0, 0, 0
    for gap_s, size in sent:
        now += gap_s
        if not pace.admit(size, now=now):
            passed += 1
            most_bytes += size
    assert passed <= (BURST_S + now) * 10 + 1
    assert most_bytes <= (BURST_S + now) * 10_000 + 1


def test_a_steady_microphone_always_passes() -> None:
    pace = MessagePace(messages_per_s=200, bytes_per_s=250_000)
    for frame in range(50 * 600):  # ten minutes at 48 kHz, 20 ms each
        assert pace.admit(1920, now=frame * 0.02) == 0.0
    held_back = [pace.admit(1920, now=700.0) for _ in range(500)]  # ten seconds at once, after a tunnel
    assert not any(held_back)
