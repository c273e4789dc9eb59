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

``handle`` first records what an event says (``_absorb``), then the first row that fits decides. An event that no row
expects raises ``UnexpectedEvent`` and changes nothing. docs/design/turn-taking.md shows the table as a diagram.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from antiphon.turns import events as e
from antiphon.turns.context import PREROLL_S, Context, Overlap, Reply, Request, Turn
from antiphon.turns.endpoint import NO_WORDS_WAIT_S, Wait, wait_for
from antiphon.turns.overlap import Verdict, judge_overlap
from antiphon.turns.policy import TurnPolicy
from antiphon.turns.words import same_words

SETTLE_S = 0.6
"""A pause this long is a safe place to cut: the words before it are not recognised again when the user goes on."""

HOLD_AFTER_S = 0.22
"""Speech over a reply this long pauses it. With the detector's 64 ms and a network's 50 the client is silent within
300 ms of the first sound; most noises and "mm"s are shorter."""

FIRST_LOOK_S = 0.8
"""Speech over a reply is recognised for the first time after this, or when it pauses: most backchannels are over by
then, and half a word is easily taken for another one. The reply is held meanwhile, so nobody waits for it."""

LOOK_EVERY_S = 0.35
"""… and again this long after each answer that left it open."""

LONG_OVERLAP_S = 1.2
"""No backchannel lasts this long: without any words by then, a recogniser is too slow and length decides."""

OVERLAP_WORDS_WAIT_S = 2.0
"""Silence after speech over a reply, without an answer from the recogniser, after which the reply goes on."""

ECHO_TAIL_S = 1.0
"""How long after its last word a reply may come back from the room."""

ECHO_MEMORY_S = 5.0
"""How long one echo makes the next overlap suspect."""

SPECULATION_LEAD_S = 0.6
"""An answer to what sounds unfinished is prepared this long before the wait ends: what the embedded models take."""

COVERS_S = 0.03
"""A transcription that reaches this far past the end of speech (one frame of the detector) has heard all of it."""

LOOK_AGAIN_S = 0.15
"""Speech that falters again sooner than this is not looked at again: fast speech has ten stops a second."""

WORDS_TIMEOUT_S = 15.0
"""A recogniser that has not answered by then will not. The engine's own time-outs are shorter."""


class State(Enum):
    """Who speaks, and what is being waited for."""

    QUIET = "quiet"
    HEARING = "hearing"
    PAUSED = "paused"
    ENDED = "ended"
    THINKING = "thinking"
    SPEAKING = "speaking"
    OVERLAP = "overlap"
    OVERLAP_PAUSED = "overlap paused"


class UnexpectedEvent(Exception):
    """An event that cannot happen in this state. The machine is as it was."""


class TurnMachine:
    """One session's turn taking. ``handle`` takes an event and returns what to do, in order."""

    def __init__(self, policy: TurnPolicy) -> None:
        self.policy = policy
        self.state = State.QUIET
        self.context = Context()
        self._out: list[e.Command] = []

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

    def _finish(self) -> tuple[e.Command, ...]:
        wait = self._next_tick()
        if wait != self.context.wait:
            self.context.wait = wait
            self._out.append(e.WaitUntil(at=wait))
        return tuple(self._out)

    # ---- facts first --------------------------------------------------------------------------------------

    def _absorb(self, event: e.Event) -> bool:
        """Record what the event says. False when it is late news about something no longer under way."""
        context = self.context
        match event:
            case e.SpeechStarted(since=since):
                self._since = since
            case e.SpeechPaused(since=since):
                self._since = since
            case e.SpeechFaltered():
                return self.state is State.HEARING and self.worth_an_early_look()
            case e.EndOfTurnProbability(pause=pause, probability=probability):
                turn = self._open_turn()
                if turn is None or turn.speech_end != pause:
                    return False
                turn.probability = probability
                self._note("turn_model", "the sound was judged", probability=round(probability, 3))
            case e.Transcript() | e.RecognitionFailed():
                return self._absorb_words(event)
            case e.ReplyReady(reply=reply):
                if context.reply is None or context.reply.id != reply or not context.reply.released:
                    return False
                context.reply.audible = True
            case e.Speaking(reply=reply, text=text):
                if context.reply is not None and context.reply.id == reply:
                    context.said = text
                    context.said_until = context.now + ECHO_TAIL_S
                return False
            case e.ReplyOver(reply=reply):
                if context.reply is None or context.reply.id != reply:
                    return False
            case e.Typed(text=text):
                self._typed = text.strip()
                return bool(self._typed)
            case _:
                pass
        return True

    def _absorb_words(self, event: e.Transcript | e.RecognitionFailed) -> bool:
        context = self.context
        request, turn = context.request, self._open_turn()
        if request is None or request.id != event.request or context.answered or turn is None:
            return False
        if isinstance(event, e.Transcript) and not event.final:
            return self._absorb_provisional(event, turn)
        context.answered = True
        if isinstance(event, e.RecognitionFailed):
            context.failed = True
            return True
        turn.interim_text, turn.text = turn.text, _join(turn.settled, event.text)
        turn.text_upto, turn.provisional = request.end, False
        turn.language = event.language or turn.language
        words = len(turn.text.split())
        self._note(
            "transcript", "words so far" if request.interim else "words of the turn", words=float(words)
        )
        return True

    def _absorb_provisional(self, event: e.Transcript, turn: Turn) -> bool:
        """Words that may still change are good for speculation, and for nothing else."""
        text = _join(turn.settled, event.text)
        if self.state is not State.PAUSED or not event.text or (turn.provisional and text == turn.text):
            return False
        turn.text, turn.provisional = text, True
        turn.language = event.language or turn.language
        return True

    def _open_turn(self) -> Turn | None:
        return self.context.overlap.turn if self.context.overlap is not None else self.context.turn

    # ---- guards: what is so -------------------------------------------------------------------------------

    @property
    def turn(self) -> Turn:
        turn = self._open_turn()
        assert turn is not None
        return turn

    @property
    def reply(self) -> Reply:
        assert self.context.reply is not None
        return self.context.reply

    @property
    def overlap(self) -> Overlap:
        assert self.context.overlap is not None
        return self.context.overlap

    def _wait(self) -> Wait:
        turn = self.turn
        return wait_for(
            self.policy,
            probability=turn.probability,
            text=turn.text if turn.has_words or turn.provisional else "",
            language=turn.language,
        )

    @property
    def _cap(self) -> float:
        """The longest silence in a turn."""
        return self.policy.silence_s if self.policy.preset == "silence" else self.policy.unsure_wait_s

    def _must_ask(self) -> bool:
        turn, request = self.turn, self.context.request
        assert turn.speech_end is not None
        known = request is not None and request.end >= turn.speech_end + COVERS_S and not self.context.failed
        return not turn.has_words and not known

    @property
    def _silence(self) -> float:
        end = self.turn.speech_end
        return 0.0 if end is None else self.context.now - end

    def push_to_talk(self) -> bool:
        return self.policy.push_to_talk

    def barge_in_is_off(self) -> bool:
        return not self.policy.barge_in

    def turn_is_over(self) -> bool:
        return self.turn.has_words and bool(self.turn.text) and _reached(self._silence, self._wait().seconds)

    def nothing_was_said(self) -> bool:
        return self.turn.has_words and not self.turn.text and _reached(self._silence, NO_WORDS_WAIT_S)

    def it_was_an_echo(self) -> bool:
        context, turn = self.context, self.turn
        if not turn.has_words or turn.settled or turn.began > context.said_until:
            return False
        return judge_overlap(turn.text, said=context.said, language=turn.language) is Verdict.ECHO

    def words_not_asked_for(self) -> bool:
        """Without speculation the words are only looked at when the sound alone would end the turn."""
        return self._must_ask() and _reached(self._silence, self._wait().seconds)

    def words_are_late(self) -> bool:
        return not self.turn.has_words and _reached(self._silence, self._cap)

    def words_failed(self) -> bool:
        return self.context.failed

    def interim_failed(self) -> bool:
        """The request was made while the user still spoke, and is worth another try now that they paused."""
        request = self.context.request
        return self.context.failed and request is not None and request.interim

    def worth_speculating(self) -> bool:
        turn, reply = self.turn, self.context.reply
        known = turn.has_words or turn.provisional
        if self.policy.speculation not in ("llm", "tts") or not known or not turn.text:
            return False
        if reply is not None and same_words(reply.text, turn.text):
            return False
        wait = self._wait()
        likely = self.policy.preset == "silence" or wait.confidence >= self.policy.speculate_above
        return likely or _reached(self._silence, wait.seconds - SPECULATION_LEAD_S)

    def has_words(self) -> bool:
        return self.turn.has_words and bool(self.turn.text)

    def no_words(self) -> bool:
        return self.turn.has_words and not self.turn.text

    def words_never_came(self) -> bool:
        return _reached(self.context.now - self.context.ended_at, WORDS_TIMEOUT_S)

    def turn_is_endless(self) -> bool:
        return _reached(self.context.now - self.turn.began, self.policy.max_turn_s)

    def interim_is_due(self) -> bool:
        return self.policy.interim_every_s > 0 and _reached(self.context.now, self.context.interim_at)

    def worth_an_early_look(self) -> bool:
        request, turn = self.context.request, self.turn
        if self.policy.speculation == "off" or self.policy.push_to_talk:
            return False
        fresh = (
            request is not None and request.end > turn.start and self.context.now - request.end < LOOK_AGAIN_S
        )
        return not fresh

    def _verdict(self) -> Verdict:
        turn = self.turn
        return judge_overlap(turn.text, said=self.context.said, language=turn.language)

    def interrupted(self) -> bool:
        return not self.context.failed and self._verdict() is Verdict.INTERRUPTION

    def echoed(self) -> bool:
        return not self.context.failed and self._verdict() is Verdict.ECHO

    def overlap_is_long(self) -> bool:
        """Words never came, or cannot: the length of the speech stands in for them."""
        began = self.overlap.turn.began
        end = self.overlap.turn.speech_end or self.context.now
        if self.context.failed:
            return end - began >= SETTLE_S
        return self.overlap.looks == 0 and _reached(end - began, LONG_OVERLAP_S)

    def time_to_hold(self) -> bool:
        return (
            not self.reply.held
            and self.overlap.looks == 0
            and _reached(self.context.now, self.overlap.held_at)
        )

    def time_to_look(self) -> bool:
        return _reached(self.context.now, self.overlap.look_at)

    def overlap_words_are_late(self) -> bool:
        return _reached(self._silence, OVERLAP_WORDS_WAIT_S)

    def long_overlap_without_words(self) -> bool:
        """A recogniser that is too slow must not make us talk over someone who spoke a sentence."""
        turn = self.overlap.turn
        spoken = (turn.speech_end or self.context.now) - turn.began
        return self.overlap_words_are_late() and spoken >= SETTLE_S

    # ---- actions: what follows ----------------------------------------------------------------------------

    def begin_turn(self) -> None:
        self.context.turns += 1
        self.context.turn = self._new_turn()
        self.context.interim_at = self._since + self.policy.interim_every_s
        self._note("speech", "the user began to speak")

    def go_on(self) -> None:
        turn = self.turn
        if turn.has_words and turn.speech_end is not None and self._since - turn.speech_end >= SETTLE_S:
            turn.settled = turn.text
            turn.start = max(turn.speech_end, self._since - PREROLL_S)
        pause = 0.0 if turn.speech_end is None else self._since - turn.speech_end
        turn.speech_end = None
        turn.probability = None
        turn.provisional = False
        self.context.interim_at = self._since + self.policy.interim_every_s
        self._note("speech", "the user went on", pause_ms=round(pause * 1000.0))
        self._discard("the user went on")

    def consider(self) -> None:
        turn = self.turn
        turn.speech_end, turn.probability = self._since, None
        self._note("pause", "the user fell silent")
        if self.policy.speculation != "off" and self._must_ask():
            self._transcribe()
        self.context.failed = False
        self._out.append(e.JudgeTurn(start=turn.start, pause=self._since))

    def look_early(self) -> None:
        """This may be the end: have its words ready by the time a pause is certain (64 ms later)."""
        self.context.interim_at = self.context.now + self.policy.interim_every_s
        self._transcribe(interim=True)

    def look_ahead(self) -> None:
        """Recognise what was said so far, and keep what is stable of it ready for the language model."""
        self.context.interim_at = self.context.now + self.policy.interim_every_s
        self._transcribe(interim=True)

    def show_words(self) -> None:
        turn = self.turn
        self._out.append(e.ShowTranscript(turn=turn.id, text=turn.text, final=False, language=turn.language))
        stable = _stable_prefix(turn.interim_text, turn.text)
        if self.policy.speculation in ("llm", "tts") and len(stable) > len(turn.prefilled):
            turn.prefilled = stable
            self._out.append(e.Prefill(text=stable))

    def hold_on(self) -> None:
        """The turn is not over yet."""
        turn = self.turn
        if turn.has_words:
            self._out.append(
                e.ShowTranscript(turn=turn.id, text=turn.text, final=False, language=turn.language)
            )
        if turn.has_words or turn.probability is not None:
            wait = self._wait()
            self._note(
                "wait",
                wait.reason,
                wait_ms=round(wait.seconds * 1000.0),
                confidence=round(wait.confidence, 3),
            )

    def speculate(self) -> None:
        self.hold_on()
        self._discard("the words changed")
        self._start_reply(speculative=True)
        self._note(
            "speculate", "an answer is prepared, and held", confidence=round(self._wait().confidence, 3)
        )

    def answer(self) -> None:
        """The turn is over and its words are known."""
        turn, reply = self.turn, self.context.reply
        wait = self._wait()
        details: dict[str, float | str | bool] = {
            "silence_ms": round(self._silence * 1000.0),
            "confidence": round(wait.confidence, 3),
        }
        self._note("turn", f"the turn is over: {wait.reason}", **details)
        self._out.append(e.ShowTranscript(turn=turn.id, text=turn.text, final=True, language=turn.language))
        if reply is not None and same_words(reply.text, turn.text):
            reply.released = True
            self._out.append(e.ReleaseReply(reply=reply.id))
            self._note("release", "the prepared answer fits")
            return
        self._discard("the words changed")
        self._start_reply(speculative=False)

    def end_without_words(self) -> None:
        self.context.ended_at = self.context.now
        self._note(
            "turn", "the turn is over; its words are awaited", silence_ms=round(self._silence * 1000.0)
        )
        if self._must_ask():
            self._transcribe()

    def ask_for_words(self) -> None:
        self._transcribe()

    def commit(self) -> None:
        """The user says so."""
        turn = self.turn
        if turn.speech_end is None:
            turn.speech_end = self.context.now
        self.context.ended_at = self.context.now
        self._note("turn", "the user ended the turn")
        if not turn.has_words:
            self._transcribe()

    def commit_over_reply(self) -> None:
        self.take_the_floor()
        self.commit()

    def cut_endless(self) -> None:
        self.turn.speech_end = self.context.now
        self.context.ended_at = self.context.now
        self._note("turn", "the turn went on for too long and is taken as it is")
        self._transcribe()

    def drop(self) -> None:
        reason = "its words could not be had" if self.context.failed else "there were no words"
        self._drop(reason, failed=self.context.failed)

    def give_up(self) -> None:
        self._drop("the recogniser did not answer", failed=True)

    def drop_echo(self) -> None:
        self.context.echo_until = self.context.now + ECHO_MEMORY_S
        self._note("echo", "that was the assistant's own voice")
        self._drop("an echo", failed=False)

    def type_turn(self) -> None:
        if self.context.turn is not None and self.state in (State.HEARING, State.PAUSED, State.ENDED):
            self._discard("a typed turn came")
            self._drop("a typed turn came", failed=False)
        self.context.overlap = None
        if self.context.reply is not None:
            self._cancel("a typed turn came")
        self.context.turns += 1
        now = self.context.now
        turn = Turn(id=f"t{self.context.turns}", start=now, began=now, text=self._typed, text_upto=now)
        self.context.turn = turn
        self._note("turn", "a typed turn")
        self._out.append(e.ShowTranscript(turn=turn.id, text=turn.text, final=True))
        self._start_reply(speculative=False)

    def begin_speaking(self) -> None:
        self._note("reply", "the first sound of the reply went out")

    def finish_reply(self) -> None:
        self.context.reply = None
        self.context.turn = None
        self._note("reply", "the reply is over")

    def forget_reply(self) -> None:
        """The prepared answer failed; if the turn is over, another is started."""
        self.context.reply = None

    def stop_reply(self) -> None:
        self.context.overlap = None
        self._cancel("the user pressed stop")
        self.context.turn = None

    def talk_over(self) -> None:
        """Someone may be speaking over the reply (or before its first sound)."""
        context = self.context
        context.turns += 1
        since = self._since
        context.overlap = Overlap(
            turn=self._new_turn(), held_at=since + HOLD_AFTER_S, look_at=since + FIRST_LOOK_S, looks=0
        )
        context.request = None
        if not self.reply.audible:
            self._hold("speech came before the reply")
        elif context.now < context.echo_until:
            self._note("overlap", "speech over the reply, and this room echoes")
            context.overlap.held_at = context.overlap.look_at + LONG_OVERLAP_S
        else:
            self._duck("speech over the reply")

    def take_turn_back(self) -> None:
        """Push-to-talk was pressed before the reply could be heard: the same turn goes on."""
        self._reopen(self._new_turn())

    def press_over_reply(self) -> None:
        """Push-to-talk over a reply is an interruption, nothing else."""
        if not self.reply.audible:
            self.take_turn_back()
            return
        self._cancel("the user pressed to talk")
        self.begin_turn()

    def hold(self) -> None:
        self._hold("the speech goes on")

    def look(self) -> None:
        self.overlap.look_at = self.context.now + WORDS_TIMEOUT_S
        self._transcribe(interim=True)

    def keep_listening(self) -> None:
        """The words so far are no interruption, but the speech goes on."""
        overlap = self.overlap
        overlap.looks += 1
        overlap.look_at = self.context.now + LOOK_EVERY_S
        if self._verdict() is Verdict.NOTHING and self.context.now - overlap.turn.began >= SETTLE_S:
            self._resume("a noise without words")

    def consider_overlap(self) -> None:
        turn = self.turn
        turn.speech_end = self._since
        self._transcribe()
        self._out.append(e.JudgeTurn(start=turn.start, pause=self._since))

    def overlap_goes_on(self) -> None:
        overlap = self.overlap
        overlap.turn.speech_end = None
        overlap.look_at = max(self.context.now, self._since + FIRST_LOOK_S)
        overlap.held_at = self._since + HOLD_AFTER_S
        if self.reply.audible:
            self._duck("speech over the reply")

    def let_reply_go_on(self) -> None:
        if self.context.failed or not self.turn.has_words:
            reason = "no words came of it"
        else:
            reason = {Verdict.NOTHING: "a noise without words", Verdict.BACKCHANNEL: "a backchannel"}.get(
                self._verdict(), "no interruption"
            )
        self._end_overlap()
        self._resume(reason)

    def ignore_echo(self) -> None:
        self.context.echo_until = self.context.now + ECHO_MEMORY_S
        self._note("echo", "that is the assistant's own voice")
        if self.state is State.OVERLAP:
            self.overlap.looks += 1
            self.overlap.look_at = self.context.now + LOOK_EVERY_S
        else:
            self._end_overlap()
        self._resume("an echo")

    def take_the_floor(self) -> None:
        """An interruption: the reply stops for good, and the overlap is the user's turn."""
        turn, reply = self.overlap.turn, self.reply
        self.context.overlap = None
        if reply.audible:
            self._cancel("an interruption")
            self.context.turn = turn
        else:
            self._reopen(turn)
        self.context.interim_at = self.context.now + self.policy.interim_every_s
        turn = self.turn
        if turn.text:
            self._out.append(
                e.ShowTranscript(turn=turn.id, text=turn.text, final=False, language=turn.language)
            )

    def reply_ended_under_overlap(self) -> None:
        """All of the reply was heard: what is being said is simply the next turn."""
        self.context.turn = self.overlap.turn
        self.context.overlap = None
        self.context.reply = None
        self.context.interim_at = self.context.now + self.policy.interim_every_s
        self._note("reply", "the reply is over; the user has the floor")

    # ---- the pieces of actions ----------------------------------------------------------------------------

    def _new_turn(self) -> Turn:
        since = self._since
        return Turn(id=f"t{self.context.turns}", start=max(0.0, since - PREROLL_S), began=since)

    def _transcribe(self, *, interim: bool = False) -> None:
        context = self.context
        context.requests += 1
        context.request = Request(id=context.requests, end=context.now, interim=interim)
        context.answered = context.failed = False
        self._out.append(
            e.Transcribe(
                request=context.requests,
                start=self.turn.start,
                end=context.now,
                interim=interim,
                overlap=context.overlap is not None,
            )
        )

    def _start_reply(self, *, speculative: bool) -> None:
        context, turn = self.context, self.turn
        context.replies += 1
        context.reply = Reply(
            id=f"r{context.replies}", turn=turn.id, text=turn.text, released=not speculative
        )
        self._out.append(
            e.StartReply(
                reply=context.reply.id,
                turn=turn.id,
                text=turn.text,
                speech_end=turn.speech_end,
                speculative=speculative,
            )
        )

    def _discard(self, reason: str) -> None:
        reply = self.context.reply
        if reply is None:
            return
        self.context.reply = None
        self._out.append(e.DiscardReply(reply=reply.id))
        self._note("discard", f"the prepared answer is thrown away: {reason}")

    def _cancel(self, reason: str) -> None:
        self._out.append(e.CancelReply(reply=self.reply.id))
        self._note("cancel", f"the reply stops: {reason}")
        self.context.said_until = self.context.now + ECHO_TAIL_S
        self.context.reply = None

    def _reopen(self, more: Turn) -> None:
        """Nothing of the reply was heard: the turn it answered goes on with ``more``."""
        before = self.context.turn
        assert before is not None
        self._out.append(e.CancelReply(reply=self.reply.id, reopen=True))
        self._note("cancel", "the user went on before the reply was heard: the same turn")
        self.context.reply = None
        more.id, more.settled = before.id, before.text
        more.text = _join(before.text, more.text)
        self.context.turn = more

    def _drop(self, reason: str, *, failed: bool) -> None:
        self._discard(reason)
        self._out.append(e.DropTurn(turn=self.turn.id, failed=failed))
        self._note("drop", f"nothing is answered: {reason}")
        self.context.turn = None

    def _duck(self, reason: str) -> None:
        if not self.reply.ducked and not self.reply.held:
            self.reply.ducked = True
            self._out.append(e.Duck(reply=self.reply.id))
            self._note("duck", reason)

    def _hold(self, reason: str) -> None:
        if not self.reply.held:
            self.reply.held = True
            self._out.append(e.Hold(reply=self.reply.id))
            self._note("hold", reason)

    def _resume(self, reason: str) -> None:
        if self.reply.held or self.reply.ducked:
            self.reply.held = self.reply.ducked = False
            self._out.append(e.Resume(reply=self.reply.id))
            self._note("resume", f"the reply goes on: {reason}")

    def _end_overlap(self) -> None:
        self.context.overlap = None
        self.context.request = None

    def _note(self, kind: str, reason: str, **details: float | str | bool) -> None:
        self._out.append(e.Note(at=self.context.now, kind=kind, reason=reason, details=details))

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
        unprepared = self.turn.has_words and self.context.reply is None and not _reached(self._silence, lead)
        return lead if unprepared and self.policy.speculation in ("llm", "tts") and lead > 0 else wait

    _since: float = 0.0
    _typed: str = ""


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


def _reached(value: float, goal: float) -> bool:
    """Whether a time has come; the tolerance is far below a sample, above rounding."""
    return value >= goal - 1e-6


def _join(before: str, after: str) -> str:
    return f"{before} {after}".strip() if before and after else before or after


def _stable_prefix(before: str, now: str) -> str:
    """The words on which two interim transcripts agree, but for the last two: those still change."""
    agreed: list[str] = []
    for old, new in zip(before.split(), now.split()[:-2], strict=False):
        if old != new:
            break
        agreed.append(new)
    return " ".join(agreed)
