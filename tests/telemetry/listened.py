"""Listeners told of conversations that were held on virtual time, as a server would have told them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.conversations.scenario import talk
from tests.virtual_time import run_virtual

from antiphon.conversation import events
from antiphon.conversation.listening import Listener, SessionFacts
from antiphon.providers.base import Usage
from antiphon.telemetry.day_files import DayFiles
from antiphon.telemetry.tally import Tally

NOON = 1_795_435_200.0
"""2026-11-23 12:00 UTC."""

Story = list[tuple[float, events.Event]]


@dataclass
class Clock:
    """Seconds since 1970, as a test says."""

    at: float = NOON

    def __call__(self) -> float:
        return self.at


@dataclass
class Told:
    """Tells listeners what happened, at the times at which it did."""

    listeners: Sequence[Listener]
    clock: Clock = field(default_factory=Clock)

    def story(self, story: Story, *, session: str = "k3Jx0aSecret", caller: str = "") -> None:
        """One conversation from its beginning to its end."""
        began = self.clock.at
        self.opened(session, caller)
        for at, event in story:
            self.clock.at = began + at
            self.tell(event, session=session)
        self.closed(session)

    def opened(self, session: str, caller: str = "") -> None:
        for listener in self.listeners:
            listener.opened(SessionFacts(session_id=session, caller_key=caller))

    def tell(self, event: events.Event, *, session: str = "k3Jx0aSecret") -> None:
        for listener in self.listeners:
            listener.told(session, event)

    def closed(self, session: str = "k3Jx0aSecret", reason: str = "client_left") -> None:
        for listener in self.listeners:
            listener.closed(session, reason)


def lively_conversation() -> Story:
    """A question with its answer, a pause in the middle of a turn, an "uh-huh", an interruption."""

    async def held() -> Story:
        loop = asyncio.get_running_loop()
        began = loop.time()
        story: Story = []
        replies = {"story": "Here is a long story about a dog that wanted to speak and could not."}
        async with talk(replies, observe=lambda event: story.append((loop.time() - began, event))) as t:
            t.user.says("what time is it", from_=0.5, to=1.5)
            t.user.says("and then tell me", from_=6.0, to=6.9)
            t.user.says("a story", from_=7.25, to=7.8)
            t.user.says("uh-huh", from_=9.6, to=10.0)
            t.user.says("stop that please", from_=11.3, to=12.2)
            await t.until(20.0)
        return story

    return run_virtual(held())


def call(
    kind: str = "llm", provider: str = "openai:gpt-4o-mini", *, outcome: str = "ok", **usage: float
) -> events.ProviderCall:
    """A provider call of a few numbers."""
    return events.ProviderCall(
        kind=kind,  # type: ignore[arg-type]
        provider=provider,
        usage=Usage(**usage),  # type: ignore[arg-type]
        outcome=outcome,
        cancelled=outcome == "cancelled",
        first_ms=None if outcome != "ok" else 180.0,
        total_ms=400.0,
    )


def write_down(files: DayFiles, minutes: Mapping[int, Tally]) -> None:
    """The minutes into the files of their days."""
    for day, part in files.by_day(minutes).items():
        files.append(day, files.lines(part))
