"""What a caller makes of the server's messages, and how a loudspeaker plays: pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.cli.exchange import Exchange
from antiphon.cli.voice_client import CallFailed, Said, voice_url
from antiphon.cli.waterfall import bar, span, waterfall
from antiphon.load.loudspeaker import BUFFER_S, Loudspeaker
from antiphon.protocol import server_messages as wire

RATE = 24_000
SECOND = RATE * 2


def done(
    reply_id: str, *, turn_id: str = "t1", text: str = "", interrupted: bool = False
) -> wire.ResponseDone:
    return wire.ResponseDone(
        turn_id=turn_id,
        reply_id=reply_id,
        text=text,
        latency_ms={"asr": 100.0, "first_sound": 300.0},
        stages=(),
        usage=wire.Usage(),
        interrupted=interrupted,
        error="",
    )


def told(*messages: wire.ServerMessage | bytes) -> Exchange:
    """An exchange that was told these a second apart, from 1.0 s on."""
    exchange = Exchange()
    for second, message in enumerate(messages, 1):
        if isinstance(message, bytes):
            exchange.hear(message, now=float(second))
        else:
            exchange.tell(message, now=float(second))
    return exchange


def is_over(exchange: Exchange, now: float) -> bool:
    return exchange.over(sent_at=0.0, now=now, patience_s=8.0, reply_patience_s=60.0)


HEARD = wire.Transcript(turn_id="t1", text="What is it?", final=True, language="en")
BEGUN = wire.ResponseStarted(turn_id="t1", reply_id="r1")


def test_a_call_is_over_when_its_answer_is() -> None:
    assert not is_over(told(HEARD), now=1.5)
    assert not is_over(told(HEARD, BEGUN), now=61.0)
    assert is_over(told(HEARD, BEGUN, done("r1")), now=3.0)


def test_speech_that_is_not_transcribed_is_not_waited_for_forever() -> None:
    noise = told(wire.SpeechStarted(at_ms=0), wire.SpeechStopped(at_ms=500))
    assert not is_over(noise, now=9.9)
    assert is_over(noise, now=10.1)
    assert noise.transcript == noise.reply == ""


def test_words_are_waited_for_longer_than_noise() -> None:
    assert not is_over(told(HEARD), now=60.0)
    assert is_over(told(HEARD), now=61.5)


def test_a_reply_that_stops_in_the_middle_is_not_waited_for_forever() -> None:
    assert is_over(told(HEARD, BEGUN, b"\0\0"), now=63.5)


def test_a_turn_that_was_taken_back_needs_no_answer() -> None:
    taken_back = told(HEARD, wire.Transcript(turn_id="t1", text="", final=True, language=""))
    assert taken_back.transcript == ""
    assert is_over(taken_back, now=11.0)


def test_a_second_turn_is_waited_for_after_the_first_answer_was_cut_short() -> None:
    again = wire.SpeechStarted(at_ms=4000)
    cut = told(HEARD, BEGUN, again, done("r1", text="It", interrupted=True))
    assert not is_over(cut, now=5.0)
    assert cut.reply == "It"


def test_the_first_sound_counts_from_the_end_of_speech() -> None:
    exchange = told(HEARD, BEGUN, wire.AudioStarted(reply_id="r1"), b"\0\0", b"\0\0")
    assert exchange.first_sound_after(3.5) == pytest.approx(0.5)
    assert exchange.first_sound_after(4.5) is None
    assert Said(exchange=exchange, speech_end_at=3.25).first_sound_ms == 750.0


def test_what_was_said_is_joined() -> None:
    exchange = told(
        HEARD,
        BEGUN,
        wire.ResponseText(reply_id="r1", text="It is"),
        wire.ResponseText(reply_id="r1", text=" Paris."),
        done("r1"),
        wire.Transcript(turn_id="t2", text="Thanks.", final=True, language="en"),
    )
    assert exchange.transcript == "What is it? Thanks."
    assert exchange.reply == "It is Paris."


# ---- the loudspeaker


def test_sound_is_played_in_real_time_after_a_short_buffer() -> None:
    speaker = Loudspeaker(RATE)
    speaker.begin("r1")
    speaker.receive(SECOND, now=10.0)
    assert speaker.played_ms(now=10.0 + BUFFER_S) == pytest.approx(0)
    assert speaker.played_ms(now=10.0 + BUFFER_S + 0.25) == pytest.approx(250)
    assert speaker.played_ms(now=99.0) == pytest.approx(1000)


def test_a_gap_in_the_sound_is_not_played() -> None:
    speaker = Loudspeaker(RATE)
    speaker.begin("r1")
    speaker.receive(SECOND // 10, now=0.0)
    speaker.receive(SECOND // 10, now=5.0)
    assert speaker.played_ms(now=5.0 + BUFFER_S) == pytest.approx(100)
    assert speaker.played_ms(now=6.0) == pytest.approx(200)


def test_hold_pauses_resume_goes_on_and_duck_changes_nothing() -> None:
    speaker = Loudspeaker(RATE)
    speaker.begin("r1")
    speaker.receive(SECOND, now=0.0)
    speaker.control("duck", now=0.1 + BUFFER_S)
    speaker.control("hold", now=0.2 + BUFFER_S)
    assert speaker.played_ms(now=5.0) == pytest.approx(200)
    speaker.control("resume", now=5.0)
    assert speaker.played_ms(now=5.1) == pytest.approx(300)


def test_a_flush_drops_what_was_not_played() -> None:
    speaker = Loudspeaker(RATE)
    speaker.begin("r1")
    speaker.receive(SECOND, now=0.0)
    speaker.flush(now=0.3 + BUFFER_S)
    assert speaker.played_ms(now=9.0) == pytest.approx(300)


@given(
    st.lists(st.tuples(st.sampled_from(["sound", "hold", "resume", "wait"]), st.floats(0, 2)), max_size=40)
)
def test_never_more_is_played_than_arrived_nor_faster_than_time(steps: list[tuple[str, float]]) -> None:
    speaker = Loudspeaker(RATE)
    speaker.begin("r1")
    now, arrived, before = 0.0, 0.0, 0.0
    for what, seconds in steps:
        if what == "sound":
            speaker.receive(round(seconds * RATE) * 2, now=now)
            arrived += round(seconds * RATE) / RATE
        elif what == "hold":
            speaker.control("hold", now=now)
        elif what == "resume":
            speaker.control("resume", now=now)
        now += seconds
        played = speaker.played_ms(now=now) / 1000
        assert before - 1e-6 <= played <= min(arrived, now) + 1e-6
        before = played


# ---- addresses and drawings


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws/voice"),
        ("https://talk.example/", "wss://talk.example/ws/voice"),
        ("127.0.0.1:8080", "ws://127.0.0.1:8080/ws/voice"),
        ("wss://talk.example/other/path", "wss://talk.example/other/path"),
    ],
)
def test_addresses(given_url: str, expected: str) -> None:
    assert voice_url(given_url) == expected


@pytest.mark.parametrize("wrong", ["ftp://x", "http://", ""])
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(CallFailed, match="not the address of a server"):
        voice_url(wrong)


STAGES = (wire.Stage(name="asr", start_ms=-100, end_ms=100), wire.Stage(name="llm", start_ms=100, end_ms=300))


def test_bars_lie_where_their_times_say() -> None:
    begin, end = span(STAGES)
    assert (begin, end) == (-100, 300)
    assert bar(STAGES[0], begin, end, 40).plain == "━" * 20
    assert bar(STAGES[1], begin, end, 40).plain == " " * 20 + "━" * 20


def test_the_shortest_stage_is_still_seen() -> None:
    blink = wire.Stage(name="hold", start_ms=300, end_ms=300)
    assert bar(blink, -100, 300, 40).plain.strip() == "━"


def test_the_drawing_fits_its_terminal() -> None:
    for columns in (40, 80, 200):
        table = waterfall(done("r1"), first_sound_ms=300.0, columns=columns)
        assert table.row_count == 1
