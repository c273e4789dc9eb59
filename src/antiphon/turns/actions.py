"""What follows from an event: the actions that the table names."""

from __future__ import annotations

from antiphon.turns import events as e
from antiphon.turns.context import PREROLL_S, Overlap, Reply, Request, State, Turn
from antiphon.turns.facts import Facts, join_words
from antiphon.turns.overlap import Verdict
from antiphon.turns.timing import (
    ECHO_MEMORY_S,
    ECHO_TAIL_S,
    FIRST_LOOK_S,
    HOLD_AFTER_S,
    LONG_OVERLAP_S,
    LOOK_EVERY_S,
    SETTLE_S,
    WORDS_TIMEOUT_S,
)
from antiphon.turns.words import same_words


class Actions(Facts):
    """Each action changes the memory and adds commands; which one runs, and what state follows, is the table's."""

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

    def apologise(self) -> None:
        self.context.turns += 1
        now = self.context.now
        self.context.turn = Turn(id=f"t{self.context.turns}", start=now, began=now, text_upto=now)
        self._note("turn", "nobody could tell the words: an apology")
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
                turn=self.turn.id,
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
        more.text = join_words(before.text, more.text)
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


def _stable_prefix(before: str, now: str) -> str:
    """The words on which two interim transcripts agree, but for the last two: those still change."""
    agreed: list[str] = []
    for old, new in zip(before.split(), now.split()[:-2], strict=False):
        if old != new:
            break
        agreed.append(new)
    return " ".join(agreed)
