"""The turn machine: its table, and what must hold for any sequence of events."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.turns import events as t
from antiphon.turns.context import State
from antiphon.turns.machine import TABLE, TurnMachine, UnexpectedEvent
from antiphon.turns.policy import Preset, Speculation, TurnPolicy

SAYINGS = (
    "",
    "yes",
    "what time is it",
    "I would like a",
    "uh-huh",
    "four seven two",
    "stop",
    "the reply so far",
)


class World:
    """Everything around the machine: a user, a recogniser, a turn model, replies. It checks each command."""

    def __init__(self, policy: TurnPolicy) -> None:
        self.machine = TurnMachine(policy)
        self.now = 0.0
        self.talking = False
        self.wait: float | None = None
        self.request: t.Transcribe | None = None
        self.judged: t.JudgeTurn | None = None
        self.live: t.StartReply | None = None
        self.released = False
        self.taken: list[str] = []

    def tell(self, event: t.Event) -> None:
        for command in self.machine.handle(event):
            self.check(command)

    def check(self, command: t.Command) -> None:
        match command:
            case t.StartReply():
                assert self.live is None, "two replies at once"
                assert command.text.strip(), "a reply to nothing"
                self.live, self.released = command, not command.speculative
            case t.ReleaseReply(reply=reply):
                assert self.live is not None
                assert reply == self.live.reply
                assert not self.released
                self.released = True
            case t.DiscardReply(reply=reply):
                assert self.live is not None
                assert reply == self.live.reply
                assert not self.released, "a released reply cannot be discarded: the user knows of it"
                self.live = None
            case t.CancelReply(reply=reply):
                assert self.live is not None
                assert reply == self.live.reply
                assert self.released, "a speculative reply is discarded, not cancelled"
                self.live = None
            case t.Duck(reply=reply) | t.Hold(reply=reply) | t.Resume(reply=reply):
                assert self.live is not None
                assert reply == self.live.reply
                assert self.released
            case t.Transcribe():
                assert command.start < command.end
                self.request = command
            case t.JudgeTurn():
                self.judged = command
            case t.ShowTranscript(final=True, text=text):
                self.taken.append(text)
            case t.WaitUntil(at=at):
                self.wait = at
            case _:
                pass

    # ---- what may happen ----------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(200):
            if self.wait is None or self.wait > until:
                break
            self.now = max(self.now, self.wait)
            self.tell(t.Tick(at=self.now))
        else:
            pytest.fail("the machine asks for ticks that change nothing")
        self.now = until

    def speech_changes(self) -> None:
        self.talking = not self.talking
        since = max(0.0, self.now - (0.064 if self.talking else 0.096))
        kind: type[t.SpeechStarted] | type[t.SpeechPaused] = (
            t.SpeechStarted if self.talking else t.SpeechPaused
        )
        self.tell(kind(since=since, at=self.now))

    def words_come(self, text: str) -> None:
        if self.request is not None:
            request, self.request = self.request, None
            self.tell(t.Transcript(request=request.request, text=text, at=self.now))

    def words_fail(self) -> None:
        if self.request is not None:
            request, self.request = self.request, None
            self.tell(t.RecognitionFailed(request=request.request, at=self.now))

    def sound_is_judged(self, probability: float) -> None:
        if self.judged is not None:
            judged, self.judged = self.judged, None
            self.tell(t.EndOfTurnProbability(pause=judged.pause, probability=probability, at=self.now))

    def reply_sounds(self) -> None:
        if self.live is not None and self.released:
            self.tell(t.ReplyReady(reply=self.live.reply, at=self.now))
            self.tell(t.Speaking(reply=self.live.reply, text="this is the reply so far", at=self.now))

    def reply_ends(self) -> None:
        if self.live is not None and self.released:
            reply, self.live = self.live.reply, None
            self.tell(t.ReplyOver(reply=reply, at=self.now))


ACTIONS: dict[str, Callable[[World, float, str], None]] = {
    "time": lambda world, amount, text: world.pass_time(amount),
    "speech": lambda world, amount, text: world.speech_changes(),
    "words": lambda world, amount, text: world.words_come(text),
    "no words": lambda world, amount, text: world.words_fail(),
    "judged": lambda world, amount, text: world.sound_is_judged(min(1.0, amount)),
    "sounds": lambda world, amount, text: world.reply_sounds(),
    "ends": lambda world, amount, text: world.reply_ends(),
    "typed": lambda world, amount, text: world.tell(t.Typed(text=text, at=world.now)),
    "commit": lambda world, amount, text: world.tell(t.Commit(at=world.now)),
    "stop": lambda world, amount, text: world.tell(t.Interrupt(at=world.now)),
    "stale": lambda world, amount, text: world.tell(t.Transcript(request=-1, text=text, at=world.now)),
}

STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(ACTIONS)), st.floats(0.0, 2.0), st.sampled_from(SAYINGS)), max_size=60
)
POLICIES = st.builds(
    lambda preset, speculation, barge_in, press, interim: TurnPolicy(
        preset=preset, speculation=speculation, barge_in=barge_in, push_to_talk=press, interim_every_s=interim
    ),
    st.sampled_from(list[Preset](["quick", "balanced", "patient", "silence"])),
    st.sampled_from(list[Speculation](["off", "asr", "llm", "tts"])),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.2, 0.8]),
)


@settings(max_examples=400, deadline=None)
@given(policy=POLICIES, steps=STEPS)
def test_for_any_sequence_of_events(policy: TurnPolicy, steps: list[tuple[str, float, str]]) -> None:
    """Never two replies, never one to nothing, no event out of place, and always a way out."""
    world = World(policy)
    for action, amount, text in steps:
        world.pass_time(0.05)
        ACTIONS[action](world, amount, text)
    # Now everybody falls silent and every request is answered: it must come to rest.
    for _ in range(12):
        if world.talking:
            world.speech_changes()
        world.tell(t.Commit(at=world.now))
        world.words_come("that is all")
        world.sound_is_judged(0.9)
        world.reply_ends()
        world.pass_time(20.0)
    assert world.machine.state is State.QUIET
    assert world.live is None
    assert world.wait is None


def test_every_state_can_be_left() -> None:
    for state in State:
        assert any(row.at is state and row.to is not state for row in TABLE), state


def test_every_state_is_reached() -> None:
    assert {row.to for row in TABLE} == set(State)


def test_an_event_out_of_place_raises_and_changes_nothing() -> None:
    machine = TurnMachine(TurnPolicy())
    machine.handle(t.SpeechStarted(since=1.0, at=1.1))
    before = repr(machine.context)
    with pytest.raises(UnexpectedEvent, match="SpeechStarted while hearing"):
        machine.handle(t.SpeechStarted(since=2.0, at=2.1))
    assert repr(machine.context) == before
    assert machine.state is State.HEARING


def test_late_news_is_no_news() -> None:
    machine = TurnMachine(TurnPolicy())
    for event in (
        t.Transcript(request=7, text="hello", at=1.0),
        t.EndOfTurnProbability(pause=1.0, probability=1.0, at=1.0),
        t.ReplyReady(reply="r9", at=1.0),
        t.ReplyOver(reply="r9", at=1.0),
        t.Typed(text="  ", at=1.0),
    ):
        assert machine.handle(event) == ()
    assert machine.state is State.QUIET


def test_digits_being_dictated_are_waited_for() -> None:
    world = World(TurnPolicy())
    world.pass_time(1.0)
    world.speech_changes()
    world.pass_time(1.5)
    world.speech_changes()
    world.words_come("my order number is four seven two")
    world.sound_is_judged(0.95)
    world.pass_time(0.6)
    assert world.taken == []
    world.speech_changes()
    assert world.machine.state is State.HEARING
