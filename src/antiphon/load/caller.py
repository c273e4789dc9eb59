"""One scripted caller: what it says and when, and what it does to its connection. It is told what arrives and what
time it is, and acts on its line at once; it holds no clock and waits for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, Protocol

from antiphon.load.answers import Answers
from antiphon.load.loudspeaker import Loudspeaker
from antiphon.load.mix import Behaviour, Mix
from antiphon.load.speech import RATE, Manner, Speech
from antiphon.load.tally import Absence, Gap, Outcome, Reconnection, SpokenTurn, Tally

OUTPUT_RATE = 24_000
"""Hz of the replies' sound."""

REST_S = (0.3, 1.5)
"""Between an answer's end and the next turn: people in a conversation take about half a second."""

TALK_OVER_MS = (300.0, 1200.0)
"""How much of a reply is heard before it is interrupted."""

AWAY_S = (0.1, 2.0)
"""How long a dropped connection stays away: a lift, a change from Wi-Fi to mobile."""

REPORT_S = 0.15
"""How often playback is reported."""

HEARD_PATIENCE_S = 8.0
"""After its speech ended, how long a turn may wait for its words; then it is lost."""

ANSWER_PATIENCE_S = 30.0
"""And how long for its answer to end, since anything was last heard of it."""

AGAIN_S = 4.0
"""After a resumed connection, how long a caller waits for words that it sent before the break, until it says them
again."""

PING_S = 5.0
SILENCE_S = 12.0
"""How often a silent server is asked for a sign of life, and after how long without one the line is dead: as the
page does it."""

LONGEST_ABSENCE_S = 15.0
"""How long a caller that wants to talk may have been kept away when the run ends, and still be waited for: longer than
a restart or a move takes, and as long as it may wait by itself between two attempts."""

Cause = Literal["", "left", "dropped", "moved"]


class Line(Protocol):
    """What a caller does to its connection."""

    def send_text(self, message: Mapping[str, Any]) -> None: ...

    def send_sound(self, pcm: bytes) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


@dataclass(slots=True)
class _Conversation:
    """What is needed to go on with it on another connection."""

    id: str
    token: str | None
    last_seq: int


@dataclass(slots=True)
class _Plan:
    """What is to happen during a turn."""

    drop: Literal["", "speaking", "waiting", "reply"] = ""
    drop_after: float = 0.0
    """Packets sent, seconds after the speech, or milliseconds heard, as ``drop`` says."""
    talk_over_ms: float = 0.0
    """How much of the reply is to be heard before it is interrupted; 0: it is not."""
    say_again_at: float | None = None
    """When to take words as gone that were sent before a connection broke."""


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
        self.talking = False
        """In an open conversation."""
        self.ended = False
        """Has said goodbye for good."""
        self.away_s: float | None = None
        """How long to stay away after the loss of the connection; None: as back-off says."""
        self._leaving = False
        self._speech = speech
        self._mix = mix
        self._tally = tally
        self._random = random
        self._packet_s = packet / RATE
        self._silence = bytes(2 * packet)
        self._start = {"output_rate": OUTPUT_RATE, **(start or {})}
        self._line: Line | None = None
        self._speaker = Loudspeaker(OUTPUT_RATE)
        self._answers = Answers(tally)
        self._conversation: _Conversation | None = None
        self._cause: Cause = ""
        self._lost: tuple[float, str] | None = None
        """When the connection was lost, and why."""
        self._on_purpose_s = 0.0
        """Of the time without a conversation, how much the caller chose."""
        self._wants_since: float | None = None
        """Since when it wants to talk and has no conversation; may be in the future."""
        self._state: Literal["resting", "speaking", "listening"] = "resting"
        self._behaviour: Behaviour = "talk"
        self._next_at = 0.0
        self._move_at: float | None = None
        self._turn: SpokenTurn | None = None
        self._turns = 0
        self._plan = _Plan()
        self._packets: tuple[bytes, ...] = ()
        self._at = 0
        """Packet to be sent next."""
        self._news_s = 0.0
        """When something was last heard of the turn."""
        self._interrupting_since: float | None = None
        self._reported: tuple[str, int] = ("", 0)
        self._report_at = 0.0
        self._life_s = 0.0
        """When anything last came."""
        self._ping_at = 0.0
        self._pings = 0
        """Sent and not answered; an answer that nobody was there for is not kept, and its number never comes."""

    # ---- the connection

    def wants(self, now: float) -> None:
        """From now on it wants to talk."""
        self._wants_since = now

    def kept_away_s(self, now: float) -> float:
        """For how long it has wanted to talk and has had no conversation; 0 when that is not so."""
        return 0.0 if self._wants_since is None else max(now - self._wants_since, 0.0)

    def connected(self, line: Line) -> None:
        """The line is there: introduce ourselves, or ask to go on."""
        self._line = line
        self.away_s = self._move_at = None
        gone, resume = self._conversation, None
        if gone is not None and gone.token:
            resume = {"session_id": gone.id, "token": gone.token, "last_seq": gone.last_seq}
        line.send_text({"type": "start", **self._start, "resume": resume})

    def disconnected(self, code: int, *, now: float) -> None:
        """The line is gone, by whatever cause."""
        self._line = None
        cause, self._cause = self._cause, ""
        if not self.talking:
            return
        self.talking = False
        self._tally.live -= 1
        self._on_purpose_s = (self.away_s or 0.0) if cause in ("left", "dropped") else 0.0
        if not self.ended:
            self._wants_since = now + self._on_purpose_s
        if cause == "left":
            return
        if not cause:
            self._tally.closes[str(code)] += 1
            if self._move_at is not None:  # it said when it would be back
                self.away_s = max(self._move_at - now, 0.0)
        self._lost = (now, cause or f"closed {code}")
        if self._turn is not None:
            self._turn.broken = True

    @property
    def under_way(self) -> bool:
        """Whether something it said has not been answered."""
        return self._turn is not None

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
        if self._turn is not None and self._turn.outcome == "open":
            self._tally.turns.remove(self._turn)
        if self._line is not None:
            self._hang_up(self._line)

    def _give_up(self, now: float) -> None:
        """It wanted to talk, and was not let in."""
        self.ended = True
        self._absent(until_s=now, ended=False)
        if self._turn is not None:
            self._close("unanswered" if self._turn.heard else "unheard", now)

    def _absent(self, *, until_s: float, ended: bool) -> None:
        since_s, self._wants_since = self._wants_since, None
        if since_s is not None:
            self._tally.absences.append(
                Absence(
                    caller=self.number,
                    since_s=since_s,
                    until_s=max(until_s, since_s),
                    ended=ended,
                    begun=self._conversation is not None,
                )
            )

    def _hang_up(self, line: Line) -> None:
        self._cause = "left"
        self._conversation = None
        line.send_text({"type": "bye"})

    def _opened(self, message: Mapping[str, Any], now: float) -> None:
        self._absent(until_s=now, ended=True)
        self._pings = self._pings if message["resumed"] else 0
        before, resumed, seq = self._conversation, bool(message["resumed"]), int(message.get("seq", 0))
        last_seq = seq
        if resumed and before is not None and seq != before.last_seq + 1:
            last_seq = before.last_seq  # what was missed follows, with the numbers it had
        self._conversation = _Conversation(message["session_id"], message["resume_token"], last_seq)
        self._answers.conversation(message["session_id"], message["epoch"], resumed=resumed)
        self.talking = True
        self._tally.live += 1
        self._tally.most_live = max(self._tally.most_live, self._tally.live)
        self._tally.calls += not resumed
        if self._lost is not None:
            self._returned(asked=before is not None and bool(before.token), resumed=resumed, now=now)
        if resumed:
            self._speaker.forgive()
        else:
            self._speaker = Loudspeaker(OUTPUT_RATE)
            self._next_at = now + self._random.uniform(*REST_S)
        self._go_on(resumed, now)

    def _returned(self, *, asked: bool, resumed: bool, now: float) -> None:
        assert self._lost is not None
        at_s, cause = self._lost
        self._lost = None
        self._tally.reconnections.append(
            Reconnection(
                at_s=at_s,
                gap_s=now - at_s,
                away_s=self._on_purpose_s,
                cause=cause,
                resumed=resumed,
                asked=asked,
            )
        )

    def _go_on(self, resumed: bool, now: float) -> None:
        """With the turn that was under way when the connection was lost, if any: what was half said is said
        again, and what was said is waited for."""
        turn = self._turn
        if turn is None:
            return
        self._news_s = now
        if not resumed:
            turn.heard_as.clear()  # whoever heard it has forgotten it
        if self._state == "speaking" or not resumed:
            self._say_again()
        elif not turn.heard:
            self._plan.say_again_at = now + AGAIN_S

    # ---- what the server says

    def sound(self, pcm: bytes, *, now: float) -> None:
        """Sound of a reply."""
        self._life_s = now
        self._tally.sound_out_s += len(pcm) / 2 / OUTPUT_RATE
        gap_s = self._speaker.receive(len(pcm), now=now)
        if gap_s > 0:
            self._tally.gaps.append(Gap(at_s=now, gap_s=gap_s))
        self._news_s = now
        self._answers.sound(self._speaker.reply_id, now=now)

    def message(self, message: Mapping[str, Any], *, now: float) -> None:
        """A JSON message."""
        self._life_s = now
        kind = message["type"]
        if kind == "session":
            self._opened(message, now)
            return
        if self.talking and not self._is_new(int(message.get("seq", 0))):
            return
        match kind:
            case "transcript" if message["final"]:
                self._answers.transcribed(message["turn_id"], message["text"])
                self._news_s = now
                if self._turn is not None and self._turn.heard:
                    self._plan.say_again_at = None
            case "response_started":
                self._answers.reply_started(message["turn_id"], message["reply_id"])
            case "audio_started":
                self._speaker.begin(message["reply_id"], from_ms=message.get("from_ms", 0))
                self._answers.audio_started(message["reply_id"])
            case "playback":
                self._speaker.control(message["action"], now=now)
            case "interrupted":
                self._speaker.flush(now=now)
                if self._interrupting_since is not None:
                    self._tally.interruptions_ms.append((now, (now - self._interrupting_since) * 1000))
                    self._interrupting_since = None
            case "response_done":
                self._reply_done(message, now)
            case "error":
                (self._tally.errors if self.talking else self._tally.refused)[str(message["code"])] += 1
                if not self.talking and message.get("retry_after_ms"):
                    self.away_s = message["retry_after_ms"] / 1000 * self._random.uniform(1.0, 1.5)
            case "notice":
                self._tally.notices[str(message["kind"])] += 1
            case "pong":
                self._pings = max(self._pings - 1, 0)
            case "going_away":
                self._move_at = now + message["reconnect_in_ms"] / 1000
            case _:
                pass

    def _is_new(self, seq: int) -> bool:
        conversation = self._conversation
        if conversation is None or not seq:
            return True
        if seq <= conversation.last_seq:
            self._tally.repeated += 1
            return False
        missing = seq - conversation.last_seq - 1
        pongs = min(missing, self._pings)
        self._pings -= pongs
        self._tally.missing += missing - pongs
        conversation.last_seq = seq
        return True

    def _reply_done(self, message: Mapping[str, Any], now: float) -> None:
        turn = self._turn
        reply = self._answers.reply_done(message, speaking=self._state == "speaking", turn=turn)
        self._news_s = now
        if reply is None or turn is None or turn not in reply.completed or turn.speech_end_s is None:
            return
        if message["interrupted"] and turn.manner == "pause" and not turn.markers:
            return  # taken, by its second half, as an answer to its first
        if turn.heard and self._state == "listening":
            self._close("answered" if reply.sounded else "unanswered", now)

    # ---- time

    def tick(self, now: float) -> None:
        """Send one packet of sound, and do what is due."""
        line = self._line
        if line is None or not self.talking or self._cause:
            return
        line.send_sound(self._next_packet(now))
        self._tally.sound_in_s += self._packet_s
        self._report(line, now)
        self._ping(line, now)
        match self._state:
            case "resting":
                self._rest(line, now)
            case "listening":
                self._listen(line, now)
            case "speaking":
                if self._plan.drop == "speaking" and self._at >= self._plan.drop_after:
                    self._vanish(line)

    def _next_packet(self, now: float) -> bytes:
        if self._state != "speaking":
            return self._silence
        assert self._turn is not None
        packet = self._packets[self._at]
        self._at += 1
        if self._at == len(self._packets):
            self._turn.speech_end_s = self._news_s = now
            self._state = "listening"
        return packet

    def _report(self, line: Line, now: float) -> None:
        if now < self._report_at:
            return
        self._report_at = now + REPORT_S
        played = (self._speaker.reply_id, round(self._speaker.played_ms(now=now)))
        if played != self._reported and played[0]:
            self._reported = played
            line.send_text({"type": "played", "reply_id": played[0], "ms": played[1]})

    def _ping(self, line: Line, now: float) -> None:
        if now >= self._life_s + SILENCE_S:
            line.abort()
        elif now >= self._ping_at:
            self._ping_at = now + PING_S
            self._pings += 1
            line.send_text({"type": "ping"})

    def _rest(self, line: Line, now: float) -> None:
        if self._leaving:
            self.ended = True
            self._hang_up(line)
        elif self._move_at is not None and now >= self._move_at:
            self._cause, self.away_s = "moved", 0.0
            line.close()
        elif now >= self._next_at and self._behaviour == "leave":
            self._behaviour = "talk"
            self.away_s = self._random.uniform(*REST_S)
            self._hang_up(line)
        elif now >= self._next_at:
            self._behaviour = self._mix.choose(self._random)
            self._say("pause" if self._behaviour == "pause" else "plain", now)

    def _listen(self, line: Line, now: float) -> None:
        turn, plan = self._turn, self._plan
        assert turn is not None
        assert turn.speech_end_s is not None
        quiet_s = now - max(turn.speech_end_s, self._news_s)
        heard_ms = self._speaker.played_ms(now=now) if self._answers.sounding(turn) else -1.0
        since = {"waiting": now - turn.speech_end_s, "reply": heard_ms}.get(plan.drop)
        if since is not None and since >= plan.drop_after:
            self._vanish(line)
        elif plan.talk_over_ms and heard_ms >= plan.talk_over_ms:
            turn.outcome = "cut"
            self._interrupting_since = now
            self._say("interruption", now)
        elif plan.say_again_at is not None and now >= plan.say_again_at:
            self._say_again()
        elif quiet_s >= (ANSWER_PATIENCE_S if turn.heard else HEARD_PATIENCE_S):
            self._close("unanswered" if turn.heard else "unheard", now)

    def _vanish(self, line: Line) -> None:
        self._plan.drop = ""
        self._cause = "dropped"
        self.away_s = self._random.uniform(*AWAY_S)
        line.abort()

    # ---- speaking

    def _say(self, manner: Manner, now: float) -> None:
        self._turns += 1
        said = self._speech.utterance(
            caller=self.number, number=self._turns, manner=manner, random=self._random
        )
        self._turn = SpokenTurn(
            caller=self.number, number=self._turns, manner=manner, markers=said.markers, began_s=now
        )
        self._tally.turns.append(self._turn)
        self._answers.said(self._turn)
        self._packets, self._at, self._state = said.packets, 0, "speaking"
        self._plan = self._planned(manner, len(said.packets))

    def _planned(self, manner: Manner, length: int) -> _Plan:
        if manner == "plain" and self._behaviour == "interrupt":
            return _Plan(talk_over_ms=self._random.uniform(*TALK_OVER_MS))
        resumable = self._conversation is not None and bool(self._conversation.token)
        if manner == "plain" and self._behaviour == "drop" and resumable:
            match self._random.choice(("speaking", "waiting", "reply")):
                case "speaking":
                    return _Plan(drop="speaking", drop_after=self._random.uniform(0.2, 0.9) * length)
                case "waiting":
                    return _Plan(drop="waiting", drop_after=self._random.uniform(0.0, 0.6))
                case _:
                    return _Plan(drop="reply", drop_after=self._random.uniform(*TALK_OVER_MS))
        return _Plan()

    def _say_again(self) -> None:
        assert self._turn is not None
        self._turn.sayings += 1
        self._turn.speech_end_s = None
        self._at, self._state = 0, "speaking"
        self._plan = _Plan()

    def _close(self, outcome: Outcome, now: float) -> None:
        """The turn is over."""
        assert self._turn is not None
        self._turn.outcome = outcome
        self._turn = None
        self._state = "resting"
        self._next_at = now + self._random.uniform(*REST_S)
        self._plan = _Plan()
