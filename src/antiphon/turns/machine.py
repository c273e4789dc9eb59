"""The turn machine: whose turn is it, and what follows from that.

Rules, which the table below keeps:

* There is at most one reply at a time, and never one to nothing.
* A pause is not an end. A turn ends when silence has lasted as long as the sound and the words leave doubt
  (``endpoint``), and its words are known.
* Work may run ahead of that decision, sound may not: a speculative reply is held until the turn is confirmed.
* Speech over a reply ducks it, then holds it, then the words decide (``overlap``). All of it can be taken back but
  the last.
* A user who goes on before any sound of the reply is still in the same turn.
* Every state is left by some event or some time.

``handle`` first records what an event says (``facts``), then the first row that fits decides. An event that no row
expects raises ``UnexpectedEvent`` and changes nothing. docs/design/turn-taking.md shows the table as a diagram.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from antiphon.turns import events as e
from antiphon.turns.actions import Actions
from antiphon.turns.context import Reply, State
from antiphon.turns.endpoint import NO_WORDS_WAIT_S
from antiphon.turns.timing import (
    LONG_OVERLAP_S,
    OVERLAP_WORDS_WAIT_S,
    SPECULATION_LEAD_S,
    WORDS_TIMEOUT_S,
    reached,
)


class UnexpectedEvent(Exception):
    """An event that cannot happen in this state. The machine is as it was."""


class TurnMachine(Actions):
    """One session's turn taking. ``handle`` takes an event and returns what to do, in order."""

    def handle(self, event: e.Event) -> tuple[e.Command, ...]:
        """Tell the machine what happened. Raises ``UnexpectedEvent`` without changing anything."""
        before = copy.deepcopy(self.context)
        self._out = []
        self.context.now = max(self.context.now, event.at)
        if not self._absorb(event):
            return self._finish()
        for row in TABLE:
            if row.at is self.state and isinstance(event, row.on) and (row.when is None or row.when(self)):
                if row.do is not None:
                    row.do(self)
                self.state = row.to
                return self._finish()
        self.context = before
        raise UnexpectedEvent(f"{type(event).__name__} while {self.state.value}")

    def take_up(self, *, turns: int, replies: int) -> None:
        """Go on with a session held elsewhere: so many names of turns and replies were given out there."""
        self.context.turns, self.context.replies = turns, replies

    def take_up_reply(self, reply: str, *, turn: str, text: str) -> None:
        """A reply was under way there, and will be gone on with."""
        assert self.state is State.QUIET, "it is taken up before anything happens"
        self.context.reply = Reply(id=reply, turn=turn, text=text, released=True)
        self.state = State.THINKING

    @property
    def quiet(self) -> bool:
        """Whether nobody speaks, and nobody is answered."""
        return self.state is State.QUIET

    def _finish(self) -> tuple[e.Command, ...]:
        wait = self._next_tick()
        if wait != self.context.wait:
            self.context.wait = wait
            self._out.append(e.WaitUntil(at=wait))
        return tuple(self._out)

    # ---- time ---------------------------------------------------------------------------------------------

    def _next_tick(self) -> float | None:
        """When this state wants to be looked at again."""
        context = self.context
        match self.state:
            case State.HEARING:
                endless = self.turn.began + self.policy.max_turn_s
                if self.policy.interim_every_s > 0 and not self.policy.push_to_talk:
                    return min(context.interim_at, endless)
                return endless
            case State.PAUSED:
                assert self.turn.speech_end is not None
                return self.turn.speech_end + self._pause_wait()
            case State.ENDED:
                return context.ended_at + WORDS_TIMEOUT_S
            case State.OVERLAP:
                holds = [] if self.reply.held or self.overlap.looks else [self.overlap.held_at]
                long = [] if self.overlap.looks else [self.overlap.turn.began + LONG_OVERLAP_S]
                return min([*holds, *long, self.overlap.look_at])
            case State.OVERLAP_PAUSED:
                assert self.turn.speech_end is not None
                return self.turn.speech_end + OVERLAP_WORDS_WAIT_S
            case State.QUIET | State.THINKING | State.SPEAKING:
                return None

    def _pause_wait(self) -> float:
        """The silence, seconds, after which a pause is looked at again."""
        if not self.turn.has_words and not self._must_ask():
            return self._cap
        if self.turn.has_words and not self.turn.text:
            return NO_WORDS_WAIT_S
        wait = self._wait().seconds
        lead = wait - SPECULATION_LEAD_S
        unprepared = self.turn.has_words and self.context.reply is None and not reached(self._silence, lead)
        return lead if unprepared and self.policy.speculation in ("llm", "tts") and lead > 0 else wait


Guard = Callable[[TurnMachine], bool]
Action = Callable[[TurnMachine], None]


@dataclass(frozen=True, slots=True)
class Row:
    """In state ``at``, on one of ``on``, when ``when`` holds: do ``do`` and go to ``to``."""

    at: State
    on: type[e.Event] | tuple[type[e.Event], ...]
    to: State
    do: Action | None = None
    when: Guard | None = None


M = TurnMachine
NEWS = (e.EndOfTurnProbability, e.Transcript, e.Tick)

TABLE: tuple[Row, ...] = (
    # Nobody speaks.
    Row(State.QUIET, e.SpeechStarted, State.HEARING, M.begin_turn),
    Row(State.QUIET, e.Typed, State.THINKING, M.type_turn),
    Row(State.QUIET, e.Unheard, State.THINKING, M.apologise),
    Row(State.QUIET, (e.Commit, e.Interrupt, e.Tick, e.SpeechPaused), State.QUIET),
    # The user speaks.
    Row(State.HEARING, e.Commit, State.ENDED, M.commit),
    Row(State.HEARING, (e.SpeechStarted, e.SpeechPaused), State.HEARING, when=M.push_to_talk),
    Row(State.HEARING, e.SpeechFaltered, State.HEARING, M.look_early),
    Row(State.HEARING, e.SpeechPaused, State.PAUSED, M.consider),
    Row(State.HEARING, e.Tick, State.ENDED, M.cut_endless, M.turn_is_endless),
    Row(State.HEARING, e.Tick, State.HEARING, when=M.push_to_talk),
    Row(State.HEARING, e.Tick, State.HEARING, M.look_ahead, M.interim_is_due),
    Row(State.HEARING, (e.Tick, e.Interrupt, e.RecognitionFailed), State.HEARING),
    Row(State.HEARING, e.Transcript, State.HEARING, M.show_words),
    Row(State.HEARING, e.Typed, State.THINKING, M.type_turn),
    # A pause, which may be the end.
    Row(State.PAUSED, e.SpeechStarted, State.HEARING, M.go_on),
    Row(State.PAUSED, NEWS, State.QUIET, M.drop_echo, M.it_was_an_echo),
    Row(State.PAUSED, NEWS, State.THINKING, M.answer, M.turn_is_over),
    Row(State.PAUSED, NEWS, State.QUIET, M.drop, M.nothing_was_said),
    Row(State.PAUSED, (*NEWS, e.RecognitionFailed), State.PAUSED, M.ask_for_words, M.interim_failed),
    Row(State.PAUSED, NEWS, State.QUIET, M.drop, M.words_failed),
    Row(State.PAUSED, NEWS, State.ENDED, M.end_without_words, M.words_are_late),
    Row(State.PAUSED, NEWS, State.PAUSED, M.ask_for_words, M.words_not_asked_for),
    Row(State.PAUSED, NEWS, State.PAUSED, M.speculate, M.worth_speculating),
    Row(State.PAUSED, (e.EndOfTurnProbability, e.Transcript), State.PAUSED, M.hold_on),
    Row(State.PAUSED, e.RecognitionFailed, State.QUIET, M.drop),
    Row(State.PAUSED, e.ReplyOver, State.PAUSED, M.forget_reply),
    Row(State.PAUSED, e.Commit, State.THINKING, M.answer, M.has_words),
    Row(State.PAUSED, e.Commit, State.ENDED, M.commit),
    Row(State.PAUSED, e.Typed, State.THINKING, M.type_turn),
    Row(State.PAUSED, (e.Tick, e.Interrupt), State.PAUSED),
    # The turn is over; its words are on their way.
    Row(State.ENDED, e.Transcript, State.THINKING, M.answer, M.has_words),
    Row(State.ENDED, e.Transcript, State.QUIET, M.drop, M.no_words),
    Row(State.ENDED, e.RecognitionFailed, State.QUIET, M.drop),
    Row(State.ENDED, e.SpeechStarted, State.HEARING, M.go_on),
    Row(State.ENDED, e.Tick, State.QUIET, M.give_up, M.words_never_came),
    Row(State.ENDED, e.Typed, State.THINKING, M.type_turn),
    Row(State.ENDED, (e.EndOfTurnProbability, e.Tick, e.Commit, e.SpeechPaused), State.ENDED),
    Row(State.ENDED, e.Interrupt, State.QUIET, M.drop),
    # The reply is on its way, not yet heard.
    Row(State.THINKING, e.ReplyReady, State.SPEAKING, M.begin_speaking),
    Row(State.THINKING, e.ReplyOver, State.QUIET, M.finish_reply),
    Row(State.THINKING, e.SpeechStarted, State.HEARING, M.press_over_reply, M.push_to_talk),
    Row(State.THINKING, e.SpeechStarted, State.THINKING, when=M.barge_in_is_off),
    Row(State.THINKING, e.SpeechStarted, State.OVERLAP, M.talk_over),
    Row(State.THINKING, e.Typed, State.THINKING, M.type_turn),
    Row(State.THINKING, e.Interrupt, State.QUIET, M.stop_reply),
    Row(
        State.THINKING,
        (e.Tick, e.Commit, e.SpeechPaused, e.EndOfTurnProbability, e.Transcript, e.RecognitionFailed),
        State.THINKING,
    ),
    # The reply is being heard.
    Row(State.SPEAKING, e.ReplyOver, State.QUIET, M.finish_reply),
    Row(State.SPEAKING, e.SpeechStarted, State.HEARING, M.press_over_reply, M.push_to_talk),
    Row(State.SPEAKING, e.SpeechStarted, State.SPEAKING, when=M.barge_in_is_off),
    Row(State.SPEAKING, e.SpeechStarted, State.OVERLAP, M.talk_over),
    Row(State.SPEAKING, e.Typed, State.THINKING, M.type_turn),
    Row(State.SPEAKING, e.Interrupt, State.QUIET, M.stop_reply),
    Row(
        State.SPEAKING,
        (
            e.Tick,
            e.Commit,
            e.SpeechPaused,
            e.EndOfTurnProbability,
            e.Transcript,
            e.RecognitionFailed,
            e.ReplyReady,
        ),
        State.SPEAKING,
    ),
    # Someone speaks over the reply.
    Row(State.OVERLAP, e.SpeechPaused, State.OVERLAP_PAUSED, M.consider_overlap),
    Row(State.OVERLAP, (e.Transcript, e.RecognitionFailed), State.HEARING, M.take_the_floor, M.interrupted),
    Row(State.OVERLAP, e.Transcript, State.OVERLAP, M.ignore_echo, M.echoed),
    Row(State.OVERLAP, e.Transcript, State.OVERLAP, M.keep_listening),
    Row(State.OVERLAP, (e.Tick, e.RecognitionFailed), State.HEARING, M.take_the_floor, M.overlap_is_long),
    Row(State.OVERLAP, e.Tick, State.OVERLAP, M.hold, M.time_to_hold),
    Row(State.OVERLAP, e.Tick, State.OVERLAP, M.look, M.time_to_look),
    Row(State.OVERLAP, e.ReplyOver, State.HEARING, M.reply_ended_under_overlap),
    Row(State.OVERLAP, e.Commit, State.ENDED, M.commit_over_reply),
    Row(State.OVERLAP, e.Typed, State.THINKING, M.type_turn),
    Row(State.OVERLAP, e.Interrupt, State.HEARING, M.take_the_floor),
    Row(State.OVERLAP, (e.Tick, e.ReplyReady, e.EndOfTurnProbability, e.RecognitionFailed), State.OVERLAP),
    # … and has paused.
    Row(State.OVERLAP_PAUSED, e.SpeechStarted, State.OVERLAP, M.overlap_goes_on),
    Row(State.OVERLAP_PAUSED, e.Transcript, State.PAUSED, M.take_the_floor, M.interrupted),
    Row(State.OVERLAP_PAUSED, e.Transcript, State.SPEAKING, M.ignore_echo, M.echoed),
    Row(State.OVERLAP_PAUSED, e.Transcript, State.SPEAKING, M.let_reply_go_on),
    Row(State.OVERLAP_PAUSED, e.RecognitionFailed, State.PAUSED, M.take_the_floor, M.overlap_is_long),
    Row(State.OVERLAP_PAUSED, e.RecognitionFailed, State.SPEAKING, M.let_reply_go_on),
    Row(State.OVERLAP_PAUSED, e.Tick, State.PAUSED, M.take_the_floor, M.long_overlap_without_words),
    Row(State.OVERLAP_PAUSED, e.Tick, State.SPEAKING, M.let_reply_go_on, M.overlap_words_are_late),
    Row(State.OVERLAP_PAUSED, e.ReplyOver, State.PAUSED, M.reply_ended_under_overlap),
    Row(State.OVERLAP_PAUSED, e.Commit, State.ENDED, M.commit_over_reply),
    Row(State.OVERLAP_PAUSED, e.Typed, State.THINKING, M.type_turn),
    Row(State.OVERLAP_PAUSED, e.Interrupt, State.PAUSED, M.take_the_floor),
    Row(State.OVERLAP_PAUSED, (e.Tick, e.ReplyReady, e.EndOfTurnProbability), State.OVERLAP_PAUSED),
)
