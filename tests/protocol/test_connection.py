"""One connection without its socket: order, allowance, sizes, pace, numbering."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import AudioError, ClientError, ProtocolError, RateLimitedError
from antiphon.protocol.client_messages import Bye, Commit, Start
from antiphon.protocol.connection import FORGIVEN, TOO_FAST, ServerConnection
from antiphon.protocol.pace import BURST_S, AudioPace
from antiphon.protocol.server_messages import Pong

START = '{"type":"start"}'
FRAME = bytes(1024)
"""32 ms at 16 000 Hz."""


def connection(*, started: bool = False) -> ServerConnection:
    made = ServerConnection(max_message_bytes=65_536)
    if started:
        message = made.receive_text(START)
        assert isinstance(message, Start)
        made.accept_start(message, now=0.0)
    return made


def test_start_opens_the_connection_for_sound() -> None:
    opened = connection(started=True)
    assert opened.receive_sound(FRAME, now=0.0) == FRAME
    assert opened.receive_text('{"type":"commit"}') == Commit()
    assert opened.closing is None


@pytest.mark.parametrize("early", ['{"type":"text","text":"hi"}', '{"type":"ping"}', '{"type":"commit"}'])
def test_nothing_may_come_before_start(early: str) -> None:
    fresh = connection()
    with pytest.raises(ProtocolError, match="first message must be"):
        fresh.receive_text(early)
    assert fresh.closing is None


def test_a_caller_may_hang_up_at_any_time() -> None:
    assert connection().receive_text('{"type":"bye"}') == Bye()


def test_sound_before_start_is_refused() -> None:
    with pytest.raises(ProtocolError, match="before `start`"):
        connection().receive_sound(FRAME, now=0.0)


def test_a_second_start_changes_nothing() -> None:
    opened = connection(started=True)
    before = opened.started
    with pytest.raises(ProtocolError, match="already had its `start`"):
        opened.receive_text('{"type":"start","input_rate":48000}')
    assert opened.started == before
    assert opened.receive_sound(FRAME, now=0.0) == FRAME


@pytest.mark.parametrize("pcm", [b"", b"\0", bytes(1023)])
def test_sound_must_be_whole_samples(pcm: bytes) -> None:
    with pytest.raises(AudioError, match=f"{len(pcm)} bytes"):
        connection(started=True).receive_sound(pcm, now=0.0)


def broken_json(target: ServerConnection) -> object:
    return target.receive_text("{")


def odd_sound(target: ServerConnection) -> object:
    return target.receive_sound(b"\0", now=0.0)


def late_start(target: ServerConnection) -> object:
    return target.receive_text(START)


@pytest.mark.parametrize(("mistake", "code"), [(broken_json, 1007), (odd_sound, 1007), (late_start, 1008)])
def test_mistakes_are_forgiven_a_few_times(mistake: Callable[[ServerConnection], object], code: int) -> None:
    opened = connection(started=True)
    for _ in range(FORGIVEN):
        with pytest.raises(ClientError):
            mistake(opened)
        assert opened.closing is None
    with pytest.raises(ClientError):
        mistake(opened)
    assert opened.closing is not None
    assert opened.closing.code == code


def test_unknown_types_are_no_mistake() -> None:
    opened = connection(started=True)
    for _ in range(100):
        assert opened.receive_text('{"type":"telepathy"}') is None
    assert opened.closing is None


def oversize_sound(target: ServerConnection) -> object:
    return target.receive_sound(bytes(65_538), now=0.0)


def oversize_text(target: ServerConnection) -> object:
    return target.receive_text('{"type":"text","text":"' + "ä" * 40_000 + '"}')


@pytest.mark.parametrize("send", [oversize_sound, oversize_text])
def test_an_oversize_message_closes_at_once(send: Callable[[ServerConnection], object]) -> None:
    opened = connection(started=True)
    with pytest.raises(ProtocolError, match="over the limit of 65536"):
        send(opened)
    assert opened.closing is not None
    assert opened.closing.code == 1009


def test_the_largest_message_passes() -> None:
    assert connection(started=True).receive_sound(bytes(65_536), now=0.0) == bytes(65_536)


def test_sound_faster_than_speech_is_refused_and_says_why() -> None:
    opened = connection(started=True)
    for _ in range(int(BURST_S / 0.032)):
        opened.receive_sound(FRAME, now=1.0)
    with pytest.raises(AudioError, match="input_rate"):
        opened.receive_sound(bytes(16 * 1024), now=1.0)


def test_more_than_a_network_may_hold_back_is_dropped_told_once_and_forgiven() -> None:
    opened = connection(started=True)
    told = heard = 0
    for _ in range(int(BURST_S / 0.032) + 500):
        try:
            heard += opened.receive_sound(FRAME, now=1.0) is not None
        except AudioError:
            told += 1
    assert (heard, told, opened.closing) == (int(BURST_S / 0.032), 1, None)
    # In time again, and some time later not.
    assert all(opened.receive_sound(FRAME, now=1.0 + k * 0.032) for k in range(1, 1_000))
    assert opened.receive_sound(FRAME * 40, now=33.0)
    with pytest.raises(AudioError):
        opened.receive_sound(FRAME * 40, now=33.0)


def test_messages_that_come_too_fast_close_as_no_mistake_does() -> None:
    opened = ServerConnection(max_message_bytes=65_536, messages_per_s=1)
    for _ in range(10):
        opened.check_pace("{}", now=0.0)
    for _ in range(FORGIVEN + 1):
        assert opened.closing is None
        with pytest.raises(RateLimitedError):
            opened.check_pace("{}", now=0.0)
    assert opened.closing == TOO_FAST


@pytest.mark.parametrize("letter", ["a", "ä", "語", "\U0001f600"])
def test_it_is_bytes_on_the_wire_that_are_counted(letter: str) -> None:
    opened = ServerConnection(max_message_bytes=65_536, bytes_per_s=10_000)
    text = letter * (10_000 // len(letter.encode()))
    passed = 0
    with suppress(RateLimitedError):
        while passed < 100_000:
            opened.check_pace(text, now=0.0)
            passed += len(text.encode())
    assert 90_000 < passed <= 100_000
    with pytest.raises(RateLimitedError):
        opened.check_pace(text, now=0.0)


def test_what_a_network_held_back_passes() -> None:
    """Nine seconds of nothing, then all of it at once, then on in real time."""
    pace = AudioPace(16_000, now=0.0)
    frames = int(9.0 / 0.032)
    assert all(pace.admit(1024, now=9.0) for _ in range(frames))
    assert all(pace.admit(1024, now=9.0 + 0.032 * k) for k in range(10_000))


@given(st.lists(st.tuples(st.integers(0, 65_536), st.floats(0, 1)), max_size=200))
def test_no_more_sound_passes_than_time_does(arrivals: list[tuple[int, float]]) -> None:
    pace = AudioPace(16_000, now=0.0)
    now, passed = 0.0, 0
    for size, wait in arrivals:
        now += wait
        if pace.admit(size, now=now):
            passed += size
    assert passed / 32_000 <= now * 1.05 + BURST_S + 1e-6


def test_every_message_out_is_numbered() -> None:
    opened = connection()
    assert [json.loads(opened.send(Pong()))["seq"] for _ in range(3)] == [1, 2, 3]


@given(st.lists(st.binary(max_size=40) | st.text(max_size=60), max_size=20))
def test_any_sequence_is_taken_or_refused(frames: list[bytes | str]) -> None:
    opened = connection(started=True)
    for number, frame in enumerate(frames):
        with suppress(ClientError):
            if isinstance(frame, str):
                opened.receive_text(frame)
            else:
                opened.receive_sound(frame, now=float(number))
