"""Callers that talk, pause and interrupt, for the ledger's recount (benchmarks/ledger.py)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

from benchmarks.ledger_vendors import Stack

from antiphon.audio.coded_speech import SpeechTrack, silence
from antiphon.conversation import events
from antiphon.conversation.conversation import Conversation
from antiphon.usage.allowance import BudgetAllowance
from antiphon.usage.bookkeeper import Bookkeeper

PRICES = """
[[price]]
provider = "scripted"
model = "recognizer"
unit = "minute"
price = 0.006

[[price]]
provider = "scripted"
model = "language-model"
unit = "million_input_tokens"
price = 2.50

[[price]]
provider = "scripted"
model = "language-model"
unit = "million_cached_tokens"
price = 1.25

[[price]]
provider = "scripted"
model = "language-model"
unit = "million_output_tokens"
price = 10

[[price]]
provider = "scripted"
model = "voice"
unit = "million_characters"
price = 15
"""
"""The course's prices, for the scripted providers."""

PACKET_S = 0.1

QUESTIONS = (
    "what is the capital of France", "tell me about the weather there", "how far is it from here",
    "could you say that again", "what else can I see in town", "please set a timer for five minutes",
)  # fmt: skip


class Quota:
    """Turns still to be taken, by all callers together."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.taken = 0
        self.interrupted = 0
        self.failed = 0
        self.resilience: dict[str, int] = {}
        """What the chains had to do meanwhile."""

    @property
    def left(self) -> bool:
        return self.taken < self.turns


class Talker:
    """One session: its engine, its microphone and its loudspeaker."""

    def __init__(
        self,
        name: str,
        stack: Stack,
        keeper: Bookkeeper,
        allowance: BudgetAllowance,
        quota: Quota,
        chance: random.Random,
    ) -> None:
        self._quota = quota
        self._chance = chance
        self._reply, self._sent_ms, self._began = "", 0.0, 0.0
        self._sounding, self._over = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()

        def observe(event: events.Event) -> None:
            keeper.told(name, event)
            allowance.told(name, event)

        self.conversation = Conversation(
            session_id=name,
            providers=stack.providers,
            config=stack.config,
            emit=self._emit,
            observe=observe,
            allowance=allowance,
        )

    async def run(self, speak: Callable[[Talker], AsyncIterator[None]]) -> None:
        """Hold the conversation until the quota is used up."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.conversation.run())
            while self._quota.left:
                async for _ in speak(self):
                    pass
            self.conversation.close()

    async def _emit(self, event: events.Event) -> None:
        match event:
            case events.TranscriptChanged(final=True, text=text) if text:
                self._quota.taken += 1
            case events.ReplyStarted():
                self._over.clear()
            case events.AudioStarted():
                self._reply, self._sent_ms, self._began = event.reply_id, 0.0, self._loop.time()
                self._sounding.set()
            case events.ReplyAudio():
                self._sent_ms += len(event.pcm) / 48
            case events.ReplyDone():
                self._quota.interrupted += event.interrupted
                self._quota.failed += bool(event.error)
                self._over.set()
            case _:
                pass

    async def by_voice(self) -> AsyncIterator[None]:
        """A turn said, a fifth of the replies cut short by words or by hand, some turns with a pause in them."""
        self._sounding.clear()
        self._over.clear()
        track = SpeechTrack()
        begin = 0.3
        if self._chance.random() < 0.25:
            begin = track.says("well now, let me see", from_=0.3, to=1.0) + self._chance.choice(
                (0.25, 0.3, 0.4)
            )
        end = track.says(self._chance.choice(QUESTIONS), from_=begin, to=begin + 1.0)
        cut = self._chance.random() < 0.2
        await self._send(track, end)
        for _ in range(80):
            await self._send(None, PACKET_S)
            yield
            if self._over.is_set():
                await self._send(None, 0.5)
                if self._over.is_set():
                    return
            if cut and self._sounding.is_set():
                cut = False
                await self._cut_short()

    async def by_text(self) -> AsyncIterator[None]:
        """A turn typed."""
        self._over.clear()
        self.conversation.type_text(self._chance.choice(QUESTIONS))
        self._quota.taken += 1
        while not self._over.is_set():
            await asyncio.sleep(PACKET_S)
            self._play()
            yield

    async def _cut_short(self) -> None:
        await self._send(None, 0.2)
        if self._chance.random() < 0.5:
            self.conversation.interrupt()
        else:
            track = SpeechTrack()
            await self._send(track, track.says("stop it right now please", from_=0.0, to=0.9))

    async def _send(self, track: SpeechTrack | None, seconds: float) -> None:
        for number in range(max(1, round(seconds / PACKET_S))):
            at = number * PACKET_S
            self.conversation.hear(track.pcm(at, at + PACKET_S) if track else silence(PACKET_S))
            await asyncio.sleep(PACKET_S)
            self._play()

    def _play(self) -> None:
        if self._reply:
            ms = min(self._sent_ms, (self._loop.time() - self._began) * 1_000)
            self.conversation.played(self._reply, round(ms))
