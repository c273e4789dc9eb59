"""Messages as text: nothing is lost on the way, and nothing a stranger sends does more than raise
ProtocolError."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import ProtocolError
from antiphon.protocol import client_messages as client
from antiphon.protocol import server_messages as server
from antiphon.protocol.codec import decode_client, decode_server, encode
from antiphon.protocol.json_text import MAX_DEPTH, read_object

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)

st.register_type_strategy(
    client.Start,
    st.builds(
        client.Start,
        input_rate=st.integers(client.MIN_RATE, client.MAX_RATE),
        output_rate=st.integers(client.MIN_RATE, client.MAX_RATE),
        language=TEXT,
        voice=TEXT,
        speed=st.none() | st.floats(0.5, 2.0),
        instructions=TEXT,
        resume=st.none()
        | st.builds(
            client.Resume, session_id=TEXT.filter(bool), token=TEXT, last_seq=st.integers(0, client.MAX_SEQ)
        ),
    ),
)
st.register_type_strategy(
    client.Text, st.builds(client.Text, text=TEXT.filter(lambda text: any(map(str.isalnum, text))))
)
st.register_type_strategy(
    client.Played,
    st.builds(client.Played, reply_id=TEXT.filter(bool), ms=st.floats(0, 86_400_000)),
)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(float, NUMBERS)


def mappings(kind: object) -> st.SearchStrategy[Mapping[str, object]]:
    """``Mapping[str, V]`` for the V it is asked for."""
    return st.dictionaries(TEXT, st.from_type(get_args(kind)[1]), max_size=4)


st.register_type_strategy(Mapping, mappings)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.one_of([st.from_type(kind) for kind in get_args(client.ClientMessage)]))
def test_a_client_message_survives_the_wire(message: client.ClientMessage) -> None:
    assert decode_client(encode(message)) == message


@given(st.one_of([st.from_type(kind) for kind in get_args(server.ServerMessage)]), st.integers(0, 2**53))
def test_a_server_message_survives_the_wire(message: server.ServerMessage, seq: int) -> None:
    assert decode_server(encode(message, seq=seq)) == (seq, message)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for decode in (decode_client, decode_server):
        with suppress(ProtocolError):
            decode(text)


@given(
    st.sampled_from(["start", "text", "played", "commit"]),
    st.dictionaries(st.text(max_size=12), JSON, max_size=5),
)
def test_any_fields_are_read_or_refused(kind: str, fields: dict[str, object]) -> None:
    with suppress(ProtocolError):
        decode_client(json.dumps(fields | {"type": kind}))


@given(
    st.sampled_from(
        ["input_rate", "output_rate", "language", "voice", "speed", "instructions", "mode", "resume"]
    ),
    JSON,
)
def test_a_start_with_any_value_is_read_or_refused(field: str, value: object) -> None:
    with suppress(ProtocolError):
        assert isinstance(decode_client(json.dumps({"type": "start", field: value})), client.Start)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON at character 2"),
        ("hello", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("{}", '"type"'),
        ('{"type":7}', '"type"'),
        ('{"type":"played","reply_id":"r1","ms":NaN}', "NaN is not JSON"),
        ('{"type":"played","reply_id":"r1","ms":-Infinity}', "Infinity is not JSON"),
        ('{"type":"played","reply_id":"r1","ms":1e999}', "played.ms"),
        ('{"type":"played","reply_id":"r1","ms":-1}', "played.ms"),
        ('{"type":"played","ms":5}', "played.reply_id"),
        ('{"type":"start","input_rate":4000}', "start.input_rate"),
        ('{"type":"start","input_rate":96000}', "start.input_rate"),
        ('{"type":"start","input_rate":"16000"}', "start.input_rate"),
        ('{"type":"start","input_rate":true}', "start.input_rate"),
        ('{"type":"start","output_rate":' + "9" * 5000 + "}", "not valid JSON"),
        ('{"type":"start","mode":"telepathy"}', "start.mode"),
        ('{"type":"start","speed":3}', "start.speed"),
        ('{"type":"start","instructions":"\\ud800"}', "start"),
        ('{"type":"start","resume":{"session_id":"s"}}', "start.resume"),
        (
            '{"type":"start","resume":{"session_id":"s","token":"t","last_seq":9007199254740992}}',
            "start.resume.last_seq",
        ),
        (
            '{"type":"start","resume":{"session_id":"s","token":"t","last_seq":' + "9" * 4300 + "}}",
            "start.resume.last_seq",
        ),
        ('{"type":"text","text":"  "}', "text.text"),
        ('{"type":"text","text":"' + "a" * 4001 + '"}', "text.text"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_client(text)
    assert said in caught.value.message


def test_what_was_typed_is_not_repeated_in_an_error() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_client('{"type":"text","text":["my secret"]}')
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_refused_before_it_is_read(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    deep = opening * 30_000 + "1" + closing * 30_000
    with pytest.raises(ProtocolError, match="nested"):
        read_object(deep)


def test_brackets_inside_text_are_not_depth() -> None:
    text = "[{" * 50 + '"'
    message = decode_client(json.dumps({"type": "text", "text": text}))
    assert message == client.Text(text=text)


def test_the_deepest_allowed_object_is_read() -> None:
    text = '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH
    assert set(read_object(text)) == {"a"}


def test_unknown_types_and_fields_are_ignored() -> None:
    assert decode_client('{"type":"telepathy","strength":9}') is None
    assert decode_client('{"type":"commit","colour":"red"}') == client.Commit()
    assert decode_server('{"type":"telepathy","seq":4}') == (4, None)


@pytest.mark.parametrize("seq", ["null", "-1", "true", '"1"', "1.5"])
def test_a_server_message_needs_its_seq(seq: str) -> None:
    with pytest.raises(ProtocolError, match="seq"):
        decode_server('{"type":"pong","seq":' + seq + "}")
