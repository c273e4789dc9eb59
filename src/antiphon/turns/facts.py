"""What the turn machine knows: facts taken from events, and the guards that the table asks."""

from __future__ import annotations

from antiphon.turns import events as e
from antiphon.turns.context import Context, Overlap, Reply, State, Turn
from antiphon.turns.endpoint import NO_WORDS_WAIT_S, Wait, wait_for
from antiphon.turns.overlap import Verdict, judge_overlap
from antiphon.turns.policy import TurnPolicy
from antiphon.turns.timing import (
    COVERS_S,
    ECHO_TAIL_S,
    LONG_OVERLAP_S,
    LOOK_AGAIN_S,
    OVERLAP_WORDS_WAIT_S,
    SETTLE_S,
    SPECULATION_LEAD_S,
    WORDS_TIMEOUT_S,
    reached,
)
from antiphon.turns.words import same_words


class Facts:
    """The machine's memory. ``_absorb`` records what an event says; the guards read what is so and change nothing."""

    def __init__(self, policy: TurnPolicy) -> None:
        self.policy = policy
        self.state = State.QUIET
        self.context = Context()
        self._out: list[e.Command] = []
        self._since = 0.0
        """Where the speech of the event at hand began or ended."""
        self._typed = ""
        """The text of the event at hand."""

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
            case e.Unheard():
                # Somebody speaks again already, or is being answered: that matters more.
                return self.state is State.QUIET
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
        turn.interim_text, turn.text = turn.text, join_words(turn.settled, event.text)
        if not (request.interim and self.policy.interim_late):
            turn.text_upto = request.end
        turn.provisional = False
        turn.language = event.language or turn.language
        words = len(turn.text.split())
        self._note(
            "transcript", "words so far" if request.interim else "words of the turn", words=float(words)
        )
        return True

    def _absorb_provisional(self, event: e.Transcript, turn: Turn) -> bool:
        """Words that may still change are good for speculation, and for nothing else."""
        text = join_words(turn.settled, event.text)
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
        known = (
            request is not None
            and request.end >= turn.speech_end + COVERS_S
            and not self.context.failed
            and not (request.interim and self.policy.interim_late)
        )
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
        return self.turn.has_words and bool(self.turn.text) and reached(self._silence, self._wait().seconds)

    def nothing_was_said(self) -> bool:
        return self.turn.has_words and not self.turn.text and reached(self._silence, NO_WORDS_WAIT_S)

    def it_was_an_echo(self) -> bool:
        context, turn = self.context, self.turn
        if not turn.has_words or turn.settled or turn.began > context.said_until:
            return False
        return judge_overlap(turn.text, said=context.said, language=turn.language) is Verdict.ECHO

    def words_not_asked_for(self) -> bool:
        """Without speculation the words are only looked at when the sound alone would end the turn."""
        return self._must_ask() and reached(self._silence, self._wait().seconds)

    def words_are_late(self) -> bool:
        return not self.turn.has_words and reached(self._silence, self._cap)

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
        return likely or reached(self._silence, wait.seconds - SPECULATION_LEAD_S)

    def has_words(self) -> bool:
        return self.turn.has_words and bool(self.turn.text)

    def no_words(self) -> bool:
        return self.turn.has_words and not self.turn.text

    def words_never_came(self) -> bool:
        return reached(self.context.now - self.context.ended_at, WORDS_TIMEOUT_S)

    def turn_is_endless(self) -> bool:
        return reached(self.context.now - self.turn.began, self.policy.max_turn_s)

    def interim_is_due(self) -> bool:
        return self.policy.interim_every_s > 0 and reached(self.context.now, self.context.interim_at)

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
        return self.overlap.looks == 0 and reached(end - began, LONG_OVERLAP_S)

    def time_to_hold(self) -> bool:
        return (
            not self.reply.held
            and self.overlap.looks == 0
            and reached(self.context.now, self.overlap.held_at)
        )

    def time_to_look(self) -> bool:
        return reached(self.context.now, self.overlap.look_at)

    def overlap_words_are_late(self) -> bool:
        return reached(self._silence, OVERLAP_WORDS_WAIT_S)

    def long_overlap_without_words(self) -> bool:
        """A recogniser that is too slow must not make us talk over someone who spoke a sentence."""
        turn = self.overlap.turn
        spoken = (turn.speech_end or self.context.now) - turn.began
        return self.overlap_words_are_late() and spoken >= SETTLE_S

    # ---- for the flight recorder ----------------------------------------------------------------------------

    def _note(self, kind: str, reason: str, **details: float | str | bool) -> None:
        self._out.append(e.Note(at=self.context.now, kind=kind, reason=reason, details=details))


def join_words(before: str, after: str) -> str:
    return f"{before} {after}".strip() if before and after else before or after
