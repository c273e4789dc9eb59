"""A real server for the operator's page, with a day behind it that was made up by a fixed throw of dice.

``python -m tests.browser.operator_server`` from the root: a place to look at the page by itself; its token is printed.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from tests.server.house import FRAME, scripted_assistant
from tests.telemetry.listened import Clock, Told
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from antiphon.audio.coded_speech import silence, speech_sound
from antiphon.conversation import events
from antiphon.conversation.listening import SessionFacts
from antiphon.providers.base import Usage
from antiphon.providers.health import ProviderState
from antiphon.server.application import Application, FrontDoor
from antiphon.server.serving import Server, listen
from antiphon.sessions.readiness import Readiness
from antiphon.telemetry.observability import Observability, Watching
from antiphon.telemetry.pricing import MICRO, BudgetState

TOKEN = "an-operator-token-for-tests"
WHO = {"asr": "openai:whisper-1", "llm": "openai:gpt-4o-mini", "tts": "openai:tts-1"}
QUESTIONS = (
    ("What is the weather like tomorrow?", "Mostly dry, with a little rain towards the evening."),
    ("Set a timer for five minutes.", "Sure, five minutes from now."),
    ("How far away is the moon?", "On average three hundred and eighty-four thousand kilometres."),
)


def price(call: events.ProviderCall) -> int:
    """Micro-dollars, as of the list prices of whisper-1, gpt-4o-mini and tts-1."""
    usage = call.usage
    return round(
        usage.audio_s * 100 + usage.input_tokens * 0.15 + usage.output_tokens * 0.6 + usage.characters * 15
    )


class Day:
    """Conversations of a day, told to listeners at the times at which they would have been."""

    def __init__(self, told: Told, *, seed: int = 7) -> None:
        self._told = told
        self._dice = random.Random(seed)
        self._turns = 0
        self._until: dict[str, float] = {}

    def pass_by(
        self, end: float, *, hours: float = 24.0, at_time: Callable[[float], None] = lambda at: None
    ) -> None:
        """Everything up to ``end``; ``at_time`` is told how far it is."""
        at = end - hours * 3600
        while at < end:
            hour = (at % 86_400) / 3600
            busy = max(0.05, math.sin((hour - 6) / 24 * 2 * math.pi) * 0.5 + 0.5)
            at += self._dice.expovariate(busy / 30)
            at_time(min(at, end))
            if at < end:
                self._told.clock.at = at
                self._leave(at)
                self.turn(slow=13.2 < hour < 14.1)
        self._told.clock.at = end
        self._leave(math.inf)

    def _leave(self, at: float) -> None:
        """Whose conversation is over by then hangs up."""
        for session in [session for session, until in self._until.items() if until < at]:
            del self._until[session]
            self._told.closed(session)

    def turn(self, *, slow: bool = False) -> None:
        """One turn, in a new conversation or in one of those under way."""
        dice, at = self._dice, self._told.clock.at
        self._turns += 1
        if self._until and dice.random() < 0.7:
            session = dice.choice(list(self._until))
        else:
            session = f"{dice.randrange(10**6):06d}-made-up"
            for listener in self._told.listeners:
                listener.opened(SessionFacts(session_id=session))
            self._until[session] = at + dice.uniform(60, 400)
        question, answer = dice.choice(QUESTIONS)
        turn, reply = f"t{self._turns}", f"r{self._turns}"
        self._told.tell(events.TranscriptChanged(turn_id=turn, text=question, final=True), session=session)
        interrupted = dice.random() < 0.12
        self._decide(session, interrupted=interrupted)
        latency = self._latency(slow=slow)
        calls = tuple(self._call(kind, turn, reply, latency, answer) for kind in WHO)
        for call in calls:
            self._told.tell(call, session=session)
        if dice.random() < 0.04 + 0.3 * slow:
            cause = dice.choice(("timeout", "rate_limit"))
            kind = "llm" if slow else dice.choice(("asr", "llm", "tts"))
            failed = events.ProviderCall(
                kind=kind,  # type: ignore[arg-type]
                provider=WHO[kind],
                usage=Usage(),
                outcome=cause,
                total_ms=2000.0,
            )
            self._told.tell(failed, session=session)
        done = events.ReplyDone(
            turn_id=turn,
            reply_id=reply,
            text=answer,
            latency_ms=latency,
            stages=_stages(latency),
            calls=calls,
            interrupted=interrupted,
            error="provider_unavailable" if slow and dice.random() < 0.1 else "",
        )
        self._told.tell(done, session=session)

    def _decide(self, session: str, *, interrupted: bool) -> None:
        """What the flight recorder says of a turn now and then."""
        if interrupted:
            cut = events.Interrupted(reply_id="r", heard_ms=900, heard_text="")
            self._told.tell(cut, session=session)
        for share, kind, reason in (
            (0.85, "release", "the prepared answer fits"),
            (0.15, "discard", "the prepared answer is thrown away: the user went on"),
            (0.05, "resume", "the reply goes on: a backchannel"),
            (0.02, "cancel", "the user went on before the reply was heard: the same turn"),
            (0.01, "echo", "that is the assistant's own voice"),
            (0.03, "drop", "nothing is answered: there were no words"),
        ):
            if self._dice.random() < share:
                self._told.tell(events.Decision(at_s=0.0, kind=kind, reason=reason), session=session)

    def _latency(self, *, slow: bool) -> dict[str, float]:
        def about(ms: float, spread: float = 0.25) -> float:
            return round(ms * self._dice.lognormvariate(0, spread), 1)

        latency = {
            "capture": about(36, 0.5),
            "asr": about(240),
            "llm": about(900 if slow else 290, 0.35),
            "clause": about(70, 0.4),
            "tts": about(180),
            "engine": about(3),
        }
        return {**latency, "first_sound": round(sum(latency.values()), 1)}

    def _call(
        self, kind: str, turn: str, reply: str, latency: dict[str, float], answer: str
    ) -> events.ProviderCall:
        usage = {
            "asr": Usage(audio_s=self._dice.uniform(1.5, 6)),
            "llm": Usage(input_tokens=self._dice.randint(150, 900), output_tokens=len(answer) // 4),
            "tts": Usage(characters=len(answer)),
        }[kind]
        return events.ProviderCall(
            kind=kind,  # type: ignore[arg-type]
            provider=WHO[kind],
            usage=usage,
            turn_id=turn,
            reply_id=reply,
            first_ms=latency[kind],
            total_ms=latency[kind] * 2,
            discarded=self._dice.random() < 0.08,
        )


def _stages(latency: dict[str, float]) -> tuple[events.Stage, ...]:
    found, at = [], 0.0
    for name in ("capture", "asr", "llm", "clause", "tts"):
        found.append(events.Stage(name=name, start_ms=at, end_ms=at + latency[name]))
        at += latency[name]
    return tuple(found)


@dataclass
class OperatorServer:
    """One that is up. What it is asked about at each question can be changed at any time."""

    url: str
    observability: Observability
    told: Told
    health: list[ProviderState]
    budget: BudgetState
    ready: bool = True

    def more(self, turns: int = 1) -> None:
        """Turns that end now."""
        self.told.clock.at = time.time()
        day = Day(self.told, seed=turns)
        for _ in range(turns):
            day.turn()
        day.pass_by(self.told.clock.at, hours=0)


@contextmanager
def operator_server(*, transcripts: bool = False, day: bool = True) -> Iterator[OperatorServer]:
    """In a thread of its own, until the context is left."""
    clock = Clock(at=time.time())
    observability = Observability(Watching(transcripts=transcripts), now=clock)
    observability.price = price
    told = Told([observability.metrics, observability.recent], clock)
    states = [ProviderState(kind=kind, provider=name, position=0) for kind, name in WHO.items()]  # type: ignore[arg-type]
    budget = BudgetState(name="day", spent_usd=0.0, limit_usd=2.5)
    server = OperatorServer("", observability, told, states, budget)
    observability.sources.health = lambda: server.health
    observability.sources.budgets = lambda: [server.budget]
    if day:
        Day(told).pass_by(clock.at)
        recent = observability.recent
        today = recent.minutes.total(observability.midnight(), recent.now)
        server.budget = replace(budget, spent_usd=today.cost_micro / MICRO)
    with _running(observability) as port:
        observability.sources.ready = lambda: server.ready
        server.url = f"http://127.0.0.1:{port}/"
        yield server


@contextmanager
def callers(server: OperatorServer, count: int) -> Iterator[None]:
    """So many who are on the line; each has been answered once."""
    address = server.url.replace("http", "ws") + "ws/voice"
    with ExitStack() as stack:
        for _ in range(count):
            line = stack.enter_context(
                connect(address, subprotocols=[Subprotocol("antiphon.v1")], compression=None)
            )
            line.send(json.dumps({"type": "start"}))
            sound = speech_sound("What is the capital of France?") + silence(1.0)
            for at in range(0, len(sound), FRAME):
                line.send(sound[at : at + FRAME])
            while not isinstance(message := line.recv(), str) or '"response_done"' not in message:
                pass
        yield


@contextmanager
def _running(observability: Observability) -> Iterator[int]:
    async def load(readiness: Readiness) -> None:
        readiness.open(scripted_assistant())
        await asyncio.Event().wait()

    door = FrontDoor(operator_token=TOKEN)
    application = Application(door, load, observability=observability)
    server = Server(application, max_message_bytes=65_536)
    listening = listen("127.0.0.1", 0)

    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), name="operator-server")
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    with operator_server(transcripts=True) as shown:
        print(f"{shown.url}operator  token: {TOKEN}")
        threading.Event().wait()
