"""One scripted caller: what it says and when, and what it does to its connection. It is told what arrives and what
time it is, and acts on its line at once; it holds no clock and waits for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, assert_never

from antiphon.load.answers import Answers
from antiphon.load.line_watch import Line, LineWatch
from antiphon.load.mix import Mix
from antiphon.load.playback import OUTPUT_RATE, Playback
from antiphon.load.presence import Presence
from antiphon.load.script import Script
from antiphon.load.speech import RATE, Manner, Speech
from antiphon.load.tally import Outcome, Tally
from antiphon.load.turn import TurnUnderWay

LONGEST_ABSENCE_S = 15.0
"""How long a caller that wants to talk may have been kept away when the run ends, and still be waited for: longer than
a restart or a move takes, and as long as it may wait by itself between two attempts."""


class Caller:
    """One of many. Its owner connects it, tells it what comes, and calls ``tick`` once a packet's length."""

    def __init__(
        self,
        number: int,
        *,
        speech: Speech,
        mix: Mix,
        tally: Tally,
        random: Random,
        packet: int,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        """``packet`` in samples at ``RATE``; ``start`` is added to the message of that name."""
        self.number = number
        self.ended = False
        """Has said goodbye for good."""
        self._leaving = False
        self._tally = tally
        self._packet_s = packet / RATE
        self._silence = bytes(2 * packet)
        self._start = {"output_rate": OUTPUT_RATE, **(start or {})}
        self._line: Line | None = None
        self._presence = Presence(number, tally)
        self._watch = LineWatch(tally)
        self._playback = Playback(tally)
        self._answers = Answers(tally)
        self._script = Script(number, speech=speech, mix=mix, random=random)
        self._turn: TurnUnderWay | None = None

    # ---- the connection

    def wants(self, now: float) -> None:
        """From now on it wants to talk."""
        self._presence.wants(now)

    def kept_away_s(self, now: float) -> float:
        """For how long it has wanted to talk and has had no conversation; 0 when that is not so."""
        return self._presence.kept_away_s(now)

    @property
    def away_s(self) -> float | None:
        """How long to stay away after the loss of the connection; None: as back-off says."""
        return self._presence.away_s

    @property
    def under_way(self) -> bool:
        """Whether something it said has not been answered."""
        return self._turn is not None

    def connected(self, line: Line) -> None:
        """The line is there: introduce ourselves, or ask to go on."""
        self._line = line
        line.send_text({"type": "start", **self._start, "resume": self._presence.connected()})

    def disconnected(self, code: int, *, now: float) -> None:
        """The line is gone, by whatever cause."""
        self._line = None
        broken = self._presence.disconnected(code, now=now, ended=self.ended)
        if broken and self._turn is not None:
            self._turn.said.broken = True

    def leave(self, *, now: float) -> None:
        """End after the turn under way, and not before it has had its conversation again, unless it was kept away from
        that for too long."""
        self._leaving = True
        kept_away_s = self.kept_away_s(now)
        if kept_away_s > LONGEST_ABSENCE_S:
            self._give_up(now)
        self.ended = self.ended or (self._line is None and self._turn is None and not kept_away_s)

    def abandon(self, *, now: float) -> None:
        """Now; what is open is not judged, but a caller that is kept away has lost its conversation."""
        if not self.ended and self.kept_away_s(now):
            self._give_up(now)
        self.ended = True
        if self._turn is not None and self._turn.said.outcome == "open":
            self._tally.turns.remove(self._turn.said)
        if self._line is not None:
            self._hang_up(self._line)

    def _give_up(self, now: float) -> None:
        """It wanted to talk, and was not let in."""
        self.ended = True
        self._presence.give_up(now)
        if self._turn is not None:
            self._close(self._turn, "unanswered" if self._turn.said.heard else "unheard", now)

    def _hang_up(self, line: Line, *, away_s: float | None = None) -> None:
        self._presence.leave("left", away_s=away_s)
        line.send_text({"type": "bye"})

    def _vanish(self, line: Line) -> None:
        self._presence.leave("dropped", away_s=self._script.away_s())
        line.abort()

    # ---- what the server says

    def sound(self, pcm: bytes, *, now: float) -> None:
        """Sound of a reply."""
        self._watch.alive(now)
        self._playback.receive(pcm, now=now)
        self._news(now)
        self._answers.sound(self._playback.reply_id, now=now)

    def message(self, message: Mapping[str, Any], *, now: float) -> None:
        """A JSON message."""
        self._watch.alive(now)
        if message["type"] == "session":
            self._opened(message, now)
        elif self._is_new(message):
            self._told(message, now)

    def _is_new(self, message: Mapping[str, Any]) -> bool:
        presence = self._presence
        if not presence.talking or presence.conversation is None:
            return True
        return self._watch.is_new(int(message.get("seq", 0)), presence.conversation)

    def _opened(self, message: Mapping[str, Any], now: float) -> None:
        resumed = bool(message["resumed"])
        self._presence.opened(message, now=now)
        self._watch.opened(resumed=resumed)
        self._playback.opened(resumed=resumed)
        self._answers.conversation(message["session_id"], message["epoch"], resumed=resumed)
        if not resumed:
            self._script.rest(now)
        if self._turn is not None:
            self._turn.go_on(resumed=resumed, now=now)

    def _told(self, message: Mapping[str, Any], now: float) -> None:
        match message["type"]:
            case "transcript" if message["final"]:
                self._answers.transcribed(message["turn_id"], message["text"])
                if self._turn is not None:
                    self._turn.transcribed(now)
            case "response_started":
                self._answers.reply_started(message["turn_id"], message["reply_id"])
            case "audio_started":
                self._playback.begin(message["reply_id"], from_ms=message.get("from_ms", 0))
                self._answers.audio_started(message["reply_id"])
            case "playback":
                self._playback.control(message["action"], now=now)
            case "interrupted":
                self._playback.interrupted(now)
            case "response_done":
                self._reply_done(message, now)
            case "error":
                self._failed(str(message["code"]), message.get("retry_after_ms"))
            case "notice":
                self._tally.notices[str(message["kind"])] += 1
            case "pong":
                self._watch.answered()
            case "going_away":
                self._presence.going_away(back_at=now + message["reconnect_in_ms"] / 1000)
            case _:
                pass

    def _failed(self, code: str, retry_after_ms: float | None) -> None:
        if self._presence.talking:
            self._tally.errors[code] += 1
            return
        self._tally.refused[code] += 1
        if retry_after_ms:
            self._presence.away_s = self._script.retry_s(retry_after_ms / 1000)

    def _reply_done(self, message: Mapping[str, Any], now: float) -> None:
        turn, said = self._turn, None if self._turn is None else self._turn.said
        speaking = turn is not None and turn.speaking
        reply = self._answers.reply_done(message, speaking=speaking, turn=said)
        self._news(now)
        if reply is None or turn is None or said not in reply.completed or said.speech_end_s is None:
            return
        if message["interrupted"] and said.manner == "pause" and not said.markers:
            return  # taken, by its second half, as an answer to its first
        if said.heard:
            self._close(turn, "answered" if reply.sounded else "unanswered", now)

    def _news(self, now: float) -> None:
        if self._turn is not None:
            self._turn.news(now)

    # ---- time

    def tick(self, now: float) -> None:
        """Send one packet of sound, and do what is due."""
        line, turn = self._line, self._turn
        if line is None or not self._presence.talking or self._presence.ending:
            return
        line.send_sound(turn.next_packet(now) if turn is not None and turn.speaking else self._silence)
        self._tally.sound_in_s += self._packet_s
        self._playback.tick(line, now)
        self._watch.tick(line, now)
        if turn is None:
            self._rest(line, now)
        else:
            self._go_on(turn, line, now)

    def _rest(self, line: Line, now: float) -> None:
        """Nothing that it said is open."""
        if self._leaving:
            self.ended = True
            self._hang_up(line)
            return
        if self._presence.due_to_move(now):
            self._presence.leave("moved", away_s=0.0)
            line.close()
            return
        match self._script.next(now):
            case "":
                pass
            case "leave":
                self._hang_up(line, away_s=self._script.rest_s())
            case manner:
                self._say(manner, now)

    def _go_on(self, turn: TurnUnderWay, line: Line, now: float) -> None:
        """With what it says, or waits for an answer to."""
        heard_ms = -1.0
        if not turn.speaking and self._answers.sounding(turn.said):
            heard_ms = self._playback.heard_ms(now)
        match turn.due(now, heard_ms=heard_ms):
            case "":
                pass
            case "vanish":
                self._vanish(line)
            case "speak over":
                turn.said.outcome = "cut"
                self._playback.spoken_over(now)
                self._say("interruption", now)
            case "say again":
                turn.say_again()
            case "give up":
                self._close(turn, "unanswered" if turn.said.heard else "unheard", now)
            case due:
                assert_never(due)

    def _say(self, manner: Manner, now: float) -> None:
        self._turn = turn = self._script.turn(manner, now=now, resumable=self._presence.resumable)
        self._tally.turns.append(turn.said)
        self._answers.said(turn.said)

    def _close(self, turn: TurnUnderWay, outcome: Outcome, now: float) -> None:
        """The turn is over."""
        turn.said.outcome = outcome
        self._turn = None
        self._script.rest(now)
