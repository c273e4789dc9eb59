"""Conversations on virtual time: a user with a microphone and a loudspeaker, and the engine between them.

The user speaks coded speech at the times a test says; the loudspeaker plays what arrives as a browser would (it
ducks, holds, flushes and reports its position), and what it played can be asked for, to the word.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from antiphon.audio.coded_speech import SpeechTrack, coded_text
from antiphon.conversation import events
from antiphon.conversation.allowance import Allowance
from antiphon.conversation.config import ConversationConfig, Providers
from antiphon.conversation.conversation import Conversation
from antiphon.conversation.memory import Memory
from antiphon.providers.base import LanguageModel, Recognizer, Synthesizer
from antiphon.providers.scripted import (
    Reply,
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedTurnModel,
    ScriptedVoiceDetector,
    by_phrase,
)
from antiphon.turns.policy import TurnPolicy

FRAME_S = 0.02
RATE_OUT = 24_000
KEPT_FRAMES = 400
"""What a client keeps of its microphone while it is not connected: 8 s."""

E = TypeVar("E")


class User(SpeechTrack):
    """What the user does, said in advance: ``says``, ``noise``, ``plays``. Times in seconds since the microphone
    opened."""

    stops_sending_at: float | None = None

    def frame(self, number: int) -> bytes:
        return self.pcm(number * FRAME_S, (number + 1) * FRAME_S)


@dataclass(slots=True)
class Loudspeaker:
    """Plays replies in real time."""

    queue: bytearray = field(default_factory=bytearray)
    played: list[tuple[float, str, bytes]] = field(default_factory=list)
    """(time, reply, 20 ms that were played)."""
    reply_id: str = ""
    played_ms: float = 0.0
    held: bool = False
    loud_until: float = -1.0

    def begin(self, reply_id: str, from_ms: int) -> None:
        """Sound of a reply follows; what is queued of the same one comes again."""
        if reply_id == self.reply_id:
            self.queue.clear()
        self.reply_id, self.played_ms, self.held = reply_id, float(from_ms), False

    def step(self, now: float) -> None:
        size = round(FRAME_S * RATE_OUT) * 2
        if self.held or not self.queue:
            return
        frame = bytes(self.queue[:size])
        del self.queue[:size]
        self.played.append((now, self.reply_id, frame))
        self.played_ms += len(frame) / 2 / RATE_OUT * 1000

    def heard(self, reply: str | None = None) -> str:
        """The whole words that came out: a word cut short was not heard."""
        replies = dict.fromkeys(of for _, of, _ in self.played) if reply is None else [reply]
        return " ".join(filter(None, map(self._heard, replies)))

    def _heard(self, reply: str) -> str:
        sound = b"".join(frame for _, of, frame in self.played if of == reply)
        return coded_text(sound, rate=RATE_OUT, heard_share=0.95)


class Talk:
    """A conversation being held."""

    def __init__(self, conversation: Conversation, user: User) -> None:
        self.conversation = conversation
        self.user = user
        self.speaker = Loudspeaker()
        self.events: list[tuple[float, events.Event]] = []
        self._away = False
        self._missed: list[events.Event] = []
        """Told while away; sound is not kept."""
        self._unsent: list[bytes] = []
        self._began = asyncio.get_running_loop().time()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    async def emit(self, event: events.Event) -> None:
        if self._away:
            self._missed += [] if isinstance(event, events.ReplyAudio) else [event]
            return
        self.events.append((self.now, event))
        match event:
            case events.AudioStarted(reply_id=reply_id, from_ms=from_ms):
                self.speaker.begin(reply_id, from_ms)
            case events.ReplyAudio(pcm=pcm):
                self.speaker.queue += pcm
            case events.Interrupted():
                self.speaker.queue.clear()
                self.speaker.held = False
            case events.PlaybackChanged(action=action):
                self.speaker.held = action == "hold"
            case _:
                pass

    async def microphone(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(FRAME_S)
            if self.user.stops_sending_at is None or self.now < self.user.stops_sending_at:
                self._unsent = [*self._unsent[-KEPT_FRAMES:], self.user.frame(number)]
            if not self._away:
                for frame in self._unsent:
                    self.conversation.hear(frame)
                self._unsent.clear()
            number += 1
            self.speaker.step(self.now)
            if number % 5 == 0 and self.speaker.reply_id and not self._away:
                self.conversation.played(self.speaker.reply_id, round(self.speaker.played_ms))

    async def until(self, at: float) -> None:
        """Let the conversation go on until this time."""
        await asyncio.sleep(max(0.0, at - self.now))

    def drops(self) -> None:
        """The connection breaks: what is on its way is lost, what is queued at the loudspeaker plays on."""
        self._away = True
        self.conversation.pause()

    async def comes_back(self, *, says_where: bool = True) -> None:
        """A new connection: what was told meanwhile is told, and the microphone sends what it kept."""
        self._away = False
        missed, self._missed = self._missed, []
        for event in missed:
            await self.emit(event)
        heard_ms = self.speaker.played_ms if says_where and self.speaker.reply_id else None
        self.conversation.go_on(reply_id=self.speaker.reply_id, heard_ms=heard_ms)

    # ---- what came of it ------------------------------------------------------------------------------------

    def all(self, kind: type[E]) -> list[E]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def when(self, kind: type[events.Event]) -> list[float]:
        return [at for at, event in self.events if isinstance(event, kind)]

    def heard(self, reply: str | None = None) -> str:
        """What came out of the loudspeaker, to the word."""
        return self.speaker.heard(reply)

    def sounds_from(self) -> float:
        """When the first sound came out."""
        return self.speaker.played[0][0]

    def silent_from(self) -> float:
        """When the last sound had come out."""
        return self.speaker.played[-1][0]

    def turns(self) -> list[str]:
        """The words of the turns that were taken."""
        return [event.text for event in self.all(events.TranscriptChanged) if event.final and event.text]

    def decisions(self) -> list[str]:
        return [event.kind for event in self.all(events.Decision)]

    def history(self) -> list[str]:
        return [f"{entry.role}: {entry.text}" for entry in self.conversation.history.entries]


@asynccontextmanager
async def talk(
    replies: Mapping[str, Reply] | None = None,
    *,
    otherwise: Reply = "I see.",
    policy: TurnPolicy | None = None,
    config: ConversationConfig | None = None,
    recognizer: Recognizer | None = None,
    language_model: LanguageModel | None = None,
    synthesizer: Synthesizer | None = None,
    turn_model: ScriptedTurnModel | None = None,
    allowance: Allowance | None = None,
    observe: Callable[[events.Event], None] | None = None,
    memory: Memory | None = None,
) -> AsyncIterator[Talk]:
    """Open a conversation with scripted providers; the test says what the user does."""
    providers = Providers(
        recognizer=recognizer or ScriptedRecognizer(latency_s=0.12),
        language_model=language_model
        or ScriptedLanguageModel(by_phrase(replies or {}, otherwise), first_token_s=0.15, tokens_per_s=50.0),
        synthesizer=synthesizer or ScriptedSynthesizer(first_chunk_s=0.1),
        voice_detector=ScriptedVoiceDetector(),
        turn_model=turn_model or ScriptedTurnModel(),
    )
    user = User()
    box: list[Talk] = []

    async def emit(event: events.Event) -> None:
        await box[0].emit(event)

    settings = config or ConversationConfig(output_rate=RATE_OUT, policy=policy or TurnPolicy())
    conversation = Conversation(
        session_id="s1",
        providers=providers,
        config=settings,
        emit=emit,
        observe=observe,
        allowance=allowance,
        memory=memory,
    )
    box.append(Talk(conversation, user))
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        running = group.create_task(conversation.run())
        microphone = group.create_task(box[0].microphone())
        try:
            yield box[0]
        except AssertionError as error:  # told as it is, not inside an exception group
            failure = error
        microphone.cancel()
        conversation.close()
        await running
    if failure is not None:
        raise failure
