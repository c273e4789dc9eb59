"""The server's plain parts: whose origin, what waits, what an event becomes, which socket."""

from __future__ import annotations

import asyncio
import socket

import pytest

from antiphon.conversation import events
from antiphon.errors import (
    AntiphonError,
    LoadingError,
    ModelError,
    ProtocolError,
    ProviderUnavailable,
    RefusedError,
    SettingsError,
)
from antiphon.protocol import server_messages as wire
from antiphon.providers.base import Usage
from antiphon.server.origins import Names, is_loopback, is_own_page, origin_allowed
from antiphon.server.outgoing import MAX_BYTES, MAX_MESSAGES, Outgoing, Overflow
from antiphon.server.serving import listen
from antiphon.server.wire_errors import wire_error
from antiphon.server.wire_events import wire_message, wire_usage

# ---- origins


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "names", "expected"),
    [
        (None, "127.0.0.1:8080", (), "loopback", True),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", (), "loopback", True),
        ("http://localhost:8080", "localhost:8080", (), "loopback", True),
        ("http://[::1]:8080", "[::1]:8080", (), "loopback", True),
        ("http://localhost", "localhost", (), "loopback", True),
        ("https://talk.example", "talk.example", (), "any", True),
        ("https://talk.example", "talk.example:443", (), "any", True),
        ("http://talk.example", "talk.example:443", (), "any", False),
        ("http://127.0.0.1:9090", "127.0.0.1:8080", (), "loopback", False),
        ("http://evil.example:8080", "127.0.0.1:8080", (), "loopback", False),
        # A stranger's name that was made to point to this machine: the host agrees, and is still not ours.
        ("http://evil.example:8080", "evil.example:8080", (), "loopback", False),
        ("http://127.0.0.1.evil.example:8080", "127.0.0.1.evil.example:8080", (), "loopback", False),
        ("null", "127.0.0.1:8080", (), "loopback", False),
        ("", "127.0.0.1:8080", (), "loopback", False),
        ("file://", "127.0.0.1:8080", (), "loopback", False),
        ("http://host:port", "127.0.0.1:8080", (), "loopback", False),
        ("https://a.example", "b.example", ("https://a.example",), "any", True),
        ("https://a.example.evil", "b.example", ("https://a.example",), "any", False),
        ("http://a.example", "b.example", ("https://a.example",), "any", False),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", ("https://a.example",), "loopback", False),
        # Where anybody may talk, names that a stranger cannot own.
        ("http://evil.example:8000", "evil.example:8000", (), "local", False),
        ("http://talk.evil.example", "talk.evil.example", (), "local", False),
        ("http://192.168.1.5:8000", "192.168.1.5:8000", (), "local", True),
        ("http://[fd00::5]:8000", "[fd00::5]:8000", (), "local", True),
        ("http://localhost:8000", "localhost:8000", (), "local", True),
        ("http://talk:8000", "talk:8000", (), "local", True),
        ("http://Talk.Local:8000", "talk.local:8000", (), "local", True),
        ("http://talk.home.arpa", "talk.home.arpa", (), "local", True),
        ("http://assistant.example.org:8000", "assistant.example.org:8000", (), "local", True),
        ("http://local.evil.example", "local.evil.example", (), "local", False),
        ("http://evil.example", "evil.example", ("http://evil.example",), "local", True),
        ("https://talk.example", "talk.example", (), "local", True),
    ],
)
def test_origins_are_matched_exactly(
    origin: str | None, host: str, allowed: tuple[str, ...], names: Names, expected: bool
) -> None:
    found = origin_allowed(
        origin, host=host, secure=False, allowed=allowed, names=names, here="assistant.example.org"
    )
    assert found is expected


@pytest.mark.parametrize(
    ("origin", "secure", "expected"),
    [
        ("https://talk.example", True, True),
        ("http://talk.example", True, False),
        ("http://talk.example:443", True, False),
        ("http://talk.example", False, True),
        # TLS ends at a proxy that we are not told of.
        ("https://talk.example", False, True),
    ],
)
def test_a_page_without_tls_is_not_that_of_a_server_with_it(
    origin: str, secure: bool, expected: bool
) -> None:
    assert is_own_page(origin, host="talk.example", secure=secure) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("talk.example", False)],
)
def test_loopback_names(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


# ---- what waits to be sent


def test_the_queue_is_bounded_in_bytes_and_in_messages() -> None:
    by_bytes = Outgoing()
    for _ in range(MAX_BYTES // 4096):
        by_bytes.put(bytes(4096))
    with pytest.raises(Overflow):
        by_bytes.put(b"x")
    by_number = Outgoing()
    for _ in range(MAX_MESSAGES):
        by_number.put("x")
    with pytest.raises(Overflow):
        by_number.put("x")


async def test_what_waits_is_sent_in_order() -> None:
    sent: list[str | bytes] = []
    outgoing = Outgoing()

    async def send(message: str | bytes) -> None:
        sent.append(message)

    running = asyncio.ensure_future(outgoing.run(send))
    outgoing.put("one")
    outgoing.put(b"two")
    await asyncio.sleep(0.01)
    outgoing.put("three")
    await asyncio.sleep(0.01)
    running.cancel()
    assert sent == ["one", b"two", "three"]


async def test_an_interruption_drops_the_sound_that_waits_and_nothing_else() -> None:
    sent: list[str | bytes] = []
    outgoing = Outgoing()

    async def send(message: str | bytes) -> None:
        sent.append(message)

    for message in ("audio_started", bytes(100_000), bytes(100_000), "interrupted"):
        outgoing.put(message)
    outgoing.drop_sound()
    await outgoing.flush(send)
    assert sent == ["audio_started", "interrupted"]
    outgoing.put(bytes(MAX_BYTES))


# ---- events and errors on the wire


def call(provider: str, *, discarded: bool = False) -> events.ProviderCall:
    return events.ProviderCall(
        kind="llm", provider=provider, usage=Usage(input_tokens=10, output_tokens=3), discarded=discarded
    )


def test_usage_adds_up_and_tells_what_was_thrown_away() -> None:
    usage = wire_usage([call("local:small"), call("local:small", discarded=True)])
    assert (usage.calls, usage.input_tokens, usage.output_tokens) == (2, 20, 6)
    assert (usage.discarded.calls, usage.discarded.input_tokens) == (1, 10)
    assert usage.providers == {"llm": "local:small"}
    assert usage.cost_usd == 0.0


def test_a_price_that_is_not_known_is_not_made_up() -> None:
    assert wire_usage([call("local:small"), call("vendor:large")]).cost_usd is None


def test_sound_is_a_binary_message() -> None:
    assert wire_message(events.ReplyAudio(reply_id="r", pcm=b"\1\2")) == b"\1\2"


def test_times_are_whole_milliseconds() -> None:
    assert wire_message(events.SpeechStarted(at_s=1.2345)) == wire.SpeechStarted(at_ms=1234)


@pytest.mark.parametrize(
    ("error", "code", "retryable", "after"),
    [
        (ProtocolError("x"), "bad_message", False, None),
        (RefusedError("x", retry_after_s=2.5), "busy", True, 2500),
        (LoadingError("x"), "loading", True, None),
        (ModelError("x", model_id="m"), "model_unavailable", False, None),
        (ProviderUnavailable("x", provider="p", retry_after_s=1), "provider_unavailable", True, 1000),
        (AntiphonError("x"), "internal", False, None),
    ],
)
def test_errors_keep_their_code(error: AntiphonError, code: str, retryable: bool, after: int | None) -> None:
    assert wire_error(error) == wire.Error(code=code, message="x", retryable=retryable, retry_after_ms=after)


# ---- the socket


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} on 127.0.0.1 is in use.*--port {port + 1}"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(SettingsError, match="ANTIPHON_HOST"):
            listen(host, 0)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_ipv6_is_an_address_too() -> None:
    with listen("::1", 0) as listening:
        assert listening.family == socket.AF_INET6
