"""One scripted caller against a server that a test plays. No socket, no loop, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from antiphon.audio.coded_speech import coded_text
from antiphon.load.caller import LONGEST_ABSENCE_S, Caller
from antiphon.load.line_watch import SILENCE_S
from antiphon.load.mix import Behaviour, Mix
from antiphon.load.playback import OUTPUT_RATE
from antiphon.load.report import Report, report
from antiphon.load.speech import CodedSpeech
from antiphon.load.tally import SpokenTurn, Tally
from antiphon.load.turn import AGAIN_S, HEARD_PATIENCE_S

PACKET = 640
STEP_S = 0.04


class Played:
    """A caller, its line, and a server whose words the test chooses."""

    def __init__(self, does: Behaviour = "talk") -> None:
        self.now = 0.0
        self.tally = Tally()
        self.sent: list[Mapping[str, Any]] = []
        self.sound = bytearray()
        """Microphone sound sent on this connection."""
        self.gone = ""
        self.seq = 0
        self.caller = Caller(
            0,
            speech=CodedSpeech(packet=PACKET),
            mix=Mix(weights={does: 1.0}),
            tally=self.tally,
            random=Random(7),
            packet=PACKET,
        )

    # the line

    def send_text(self, message: Mapping[str, Any]) -> None:
        self.sent.append(message)

    def send_sound(self, pcm: bytes) -> None:
        self.sound += pcm

    def close(self) -> None:
        self.gone = "closed"

    def abort(self) -> None:
        self.gone = "aborted"

    # the server

    def tells(self, kind: str, **fields: Any) -> None:
        self.seq += 1
        self.caller.message({"type": kind, "seq": self.seq, **fields}, now=self.now)

    def opens(self, *, resumed: bool = False, session_id: str = "s1", token: str | None = "secret") -> None:
        self.gone = ""
        self.sound.clear()
        self.caller.connected(self)
        self.tells("session", session_id=session_id, epoch=1, resume_token=token, resumed=resumed)

    def hears(self, turn_id: str, text: str | None = None) -> None:
        words = coded_text(bytes(self.sound)) if text is None else text
        self.tells("transcript", turn_id=turn_id, text=words, final=True)

    def replies(self, turn_id: str, reply_id: str, *, sound_s: float = 1.0) -> None:
        self.tells("response_started", turn_id=turn_id, reply_id=reply_id)
        self.tells("audio_started", reply_id=reply_id)
        self.speaks(sound_s)

    def speaks(self, sound_s: float) -> None:
        self.caller.sound(bytes(2 * round(sound_s * OUTPUT_RATE)), now=self.now)

    def ends(self, turn_id: str, reply_id: str, *, interrupted: bool = False) -> None:
        self.tells("response_done", turn_id=turn_id, reply_id=reply_id, interrupted=interrupted, error="")

    # time

    def passes(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            if not self.gone:
                self.caller.tick(self.now)

    def until_said(self) -> SpokenTurn:
        """Until the caller has said a turn to its end."""
        for _ in range(1_000):
            self.passes(STEP_S)
            if self.tally.turns and self.tally.turns[-1].speech_end_s is not None and not self.gone:
                return self.tally.turns[-1]
        raise AssertionError("the caller says nothing")

    def report(self) -> Report:
        return report(self.tally, callers=1, took_s=self.now)


def test_a_turn_is_said_heard_and_answered() -> None:
    call = Played()
    call.opens()
    turn = call.until_said()
    assert turn.markers[0] in coded_text(bytes(call.sound))
    call.passes(0.4)
    call.hears("t1")
    call.passes(0.4)
    call.replies("t1", "r1")
    call.passes(1.2)
    assert [m["ms"] for m in call.sent if m["type"] == "played"][-1] == 1000
    call.ends("t1", "r1")
    assert turn.outcome == "answered"
    assert turn.first_sound_ms == pytest.approx(800)
    assert call.report().sound


def test_what_is_not_heard_in_time_is_lost() -> None:
    call = Played()
    call.opens()
    turn = call.until_said()
    call.passes(HEARD_PATIENCE_S + 0.1)
    assert turn.outcome == "unheard"
    assert call.report().lost == 1
    assert not call.report().sound


def test_words_that_were_misheard_are_lost_too() -> None:
    call = Played()
    call.opens()
    turn = call.until_said()
    call.hears("t1", "something else")
    call.passes(HEARD_PATIENCE_S + 0.1)
    assert turn.outcome == "unheard"


def test_a_turn_that_is_taken_for_two_is_doubled() -> None:
    call = Played()
    call.opens()
    call.until_said()
    call.hears("t1")
    call.hears("t2")
    assert call.report().doubled == 1


def test_words_that_are_taken_back_and_heard_anew_are_one_turn() -> None:
    call = Played()
    call.opens()
    call.until_said()
    call.hears("t1")
    call.hears("t1", "")
    call.hears("t2")
    assert call.report().doubled == 0


def test_a_second_full_answer_to_one_turn_is_doubled() -> None:
    call = Played()
    call.opens()
    call.until_said()
    call.hears("t1")
    for reply in ("r1", "r2"):
        call.replies("t1", reply)
        call.ends("t1", reply)
    assert call.report().doubled == 1


def test_it_speaks_over_a_reply_and_measures_the_silence() -> None:
    call = Played("interrupt")
    call.opens()
    first = call.until_said()
    call.hears("t1")
    call.replies("t1", "r1", sound_s=5.0)
    call.passes(1.4)
    assert first.outcome == "cut"
    assert call.tally.turns[-1].manner == "interruption"
    begun = call.tally.turns[-1].began_s
    call.tells("interrupted", reply_id="r1", heard_ms=900, heard_text="")
    assert call.tally.interruptions_ms[0][1] == (call.now - begun) * 1000
    call.ends("t1", "r1", interrupted=True)
    assert call.report().cut_short == 0


def test_a_reply_that_breaks_off_by_itself_is_counted() -> None:
    call = Played()
    call.opens()
    call.until_said()
    call.hears("t1")
    call.replies("t1", "r1")
    call.ends("t1", "r1", interrupted=True)
    assert call.report().cut_short == 1


def test_a_reply_that_ends_after_what_was_said_over_it_is_not_cut_short() -> None:
    call = Played("interrupt")
    call.opens()
    first = call.until_said()
    call.hears("t1")
    call.replies("t1", "r1", sound_s=8.0)
    call.sound.clear()
    call.passes(1.5)
    interruption = call.until_said()
    assert (first.outcome, interruption.manner) == ("cut", "interruption")
    call.hears("t2")
    call.tells("interrupted", reply_id="r1", heard_ms=900, heard_text="")
    call.ends("t1", "r1", interrupted=True)
    assert call.report().cut_short == 0


def test_sound_that_comes_late_is_a_gap_and_its_length_is_what_was_not_heard() -> None:
    call = Played()
    call.opens()
    call.until_said()
    call.hears("t1")
    call.replies("t1", "r1", sound_s=0.5)
    call.passes(1.0)
    call.speaks(0.5)
    (gap,) = call.tally.gaps
    assert 0.45 < gap.gap_s < 0.55  # dry after 0.06 + 0.5 s, and 0.06 s gathered anew


def test_a_dropped_line_is_resumed_and_what_came_twice_is_left_out() -> None:
    call = Played("drop")
    call.opens()
    for _ in range(2_000):
        call.passes(STEP_S)
        turn = call.tally.turns[-1] if call.tally.turns else None
        if call.gone:
            break
        if turn is not None and turn.speech_end_s is not None and not turn.heard:
            call.hears("t1")
            call.replies("t1", "r1", sound_s=3.0)
    assert call.gone == "aborted"
    away_s = call.caller.away_s
    assert away_s is not None
    call.caller.disconnected(1006, now=call.now)
    call.now += away_s + 0.2
    last = call.seq
    call.seq = last
    call.opens(resumed=True)
    resume = next(m for m in reversed(call.sent) if m["type"] == "start")["resume"]
    assert resume == {"session_id": "s1", "token": "secret", "last_seq": last}
    call.seq -= 2
    call.tells("pong")
    assert call.tally.repeated == 1
    (back,) = call.tally.reconnections
    assert (back.cause, back.resumed) == ("dropped", True)
    assert 0.15 < back.gap_s - back.away_s < 0.25


def test_messages_that_never_come_are_counted() -> None:
    call = Played()
    call.opens()
    call.seq += 3
    call.tells("pong")
    assert call.report().messages_missing == 3


def test_a_pong_that_nobody_was_there_for_is_not_missed() -> None:
    call = Played()
    call.opens()
    call.passes(0.1)
    assert call.sent[-1] == {"type": "ping"}
    call.caller.disconnected(1006, now=call.now)
    call.seq -= 1
    call.opens(resumed=True)
    call.seq += 2
    call.tells("speech_started", at_ms=40)
    assert call.report().messages_missing == 1, "one number went to the pong, the other to something else"


def test_a_conversation_that_begins_anew_after_a_break_is_lost_and_the_turn_said_again() -> None:
    call = Played()
    call.opens()
    turn = call.until_said()
    call.caller.disconnected(1012, now=call.now)
    call.seq = 0
    call.opens(session_id="s2")
    call.passes(3.0)
    call.hears("t1")
    call.replies("t1", "r1")
    call.ends("t1", "r1")
    found = call.report()
    assert (turn.outcome, turn.sayings) == ("answered", 2)
    assert (found.conversations_lost, found.said_again, found.lost, found.doubled) == (1, 1, 0, 0)
    assert not found.sound


def test_words_of_before_a_break_are_waited_for_and_then_said_again() -> None:
    call = Played()
    call.opens()
    turn = call.until_said()
    call.caller.disconnected(1006, now=call.now)
    call.opens(resumed=True)
    call.passes(AGAIN_S - 0.2)
    assert turn.sayings == 1
    call.passes(0.4)
    assert turn.sayings == 2


def refused(call: Played, code: str = "store_away") -> None:
    """It connects, and is not let in."""
    call.caller.connected(call)
    call.caller.message({"type": "error", "code": code, "retry_after_ms": 1000}, now=call.now)
    call.caller.disconnected(1013, now=call.now)


def test_a_caller_that_is_refused_to_the_end_has_lost_its_conversation() -> None:
    call = Played()
    call.opens()
    turn = call.until_said()
    call.hears("t1")
    call.replies("t1", "r1", sound_s=0.2)
    call.ends("t1", "r1")
    call.caller.disconnected(1012, now=call.now)
    for _ in range(10):
        refused(call)
        call.passes((LONGEST_ABSENCE_S + 1.0) / 10)
    call.caller.leave(now=call.now)
    found = call.report()
    assert call.caller.ended
    assert turn.outcome == "answered", "all that it could say went well"
    assert (found.conversations_lost, found.kept_away, found.refused) == (1, 1, {"store_away": 10})
    assert found.without_service_s.max == pytest.approx(LONGEST_ABSENCE_S + 1.0, abs=0.5)
    assert not found.sound


def test_what_a_caller_had_said_when_it_was_shut_out_for_good_is_lost() -> None:
    call = Played()
    call.opens()
    turn = call.until_said()
    call.hears("t1")
    call.caller.disconnected(1006, now=call.now)
    call.passes(LONGEST_ABSENCE_S + 1.0)
    call.caller.leave(now=call.now)
    assert (turn.outcome, call.report().kept_away) == ("unanswered", 1)


def test_a_caller_that_is_back_in_time_has_lost_nothing() -> None:
    call = Played()
    call.opens()
    call.caller.disconnected(1012, now=call.now)
    refused(call)
    call.passes(3.0)
    call.caller.leave(now=call.now)
    assert not call.caller.ended, "it is waited for"
    call.passes(2.0)
    call.opens(resumed=True)
    call.caller.abandon(now=call.now)
    found = call.report()
    assert (found.conversations_lost, found.kept_away) == (0, 0)
    assert found.without_service_s.max == pytest.approx(5.0, abs=0.1)


def test_a_caller_that_is_waited_for_in_vain_has_lost_its_conversation() -> None:
    call = Played()
    call.opens()
    call.caller.disconnected(1012, now=call.now)
    call.passes(1.0)
    call.caller.leave(now=call.now)
    call.passes(20.0)
    call.caller.abandon(now=call.now)
    found = call.report()
    assert (found.conversations_lost, found.kept_away) == (1, 1)


def test_a_caller_that_was_never_let_in_lost_no_conversation_and_fails_the_run() -> None:
    call = Played()
    call.caller.wants(call.now)
    refused(call, "busy")
    call.passes(LONGEST_ABSENCE_S + 1.0)
    call.caller.leave(now=call.now)
    found = call.report()
    assert (found.conversations_lost, found.kept_away) == (0, 1)
    assert not found.sound


def test_a_caller_that_stays_away_on_purpose_misses_nothing() -> None:
    call = Played("leave")
    call.opens()
    call.until_said()
    call.hears("t1")
    call.replies("t1", "r1", sound_s=0.2)
    call.ends("t1", "r1")
    call.passes(2.0)
    call.caller.disconnected(1000, now=call.now)
    away_s = call.caller.away_s
    assert away_s is not None
    call.now += away_s / 2
    call.caller.leave(now=call.now)
    found = call.report()
    assert call.caller.ended
    assert (found.kept_away, found.without_service_s.count) == (0, 0)


def test_it_leaves_when_the_server_is_going_away_once_nothing_is_open() -> None:
    call = Played()
    call.opens()
    call.until_said()
    call.tells("going_away", reconnect_in_ms=1000)
    call.passes(1.5)
    assert call.gone == "", "its turn is not answered yet"
    call.hears("t1")
    call.replies("t1", "r1", sound_s=0.2)
    call.ends("t1", "r1")
    call.passes(0.1)
    assert call.gone == "closed"


def test_a_server_that_says_nothing_at_all_is_given_up() -> None:
    call = Played()
    call.opens()
    call.passes(SILENCE_S + 0.1)
    assert call.gone == "aborted"


def test_it_hangs_up_and_calls_anew() -> None:
    call = Played("leave")
    call.opens()
    call.until_said()
    call.hears("t1")
    call.replies("t1", "r1", sound_s=0.2)
    call.ends("t1", "r1")
    call.passes(2.0)
    assert call.sent[-1] == {"type": "bye"}
    call.caller.disconnected(1000, now=call.now)
    call.opens(session_id="s2")
    assert next(m for m in reversed(call.sent) if m["type"] == "start")["resume"] is None
    found = call.report()
    assert (found.calls, found.conversations_lost) == (2, 0)
