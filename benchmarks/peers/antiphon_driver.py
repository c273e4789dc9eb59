"""Antiphon on the scripted stages: its engine as the server runs it, with the embedded Silero VAD and smart-turn.

``default``: every setting as it comes (turn preset ``balanced``, speculation ``tts``).
``no-speculation``: speculation ``off``, to show what speculation is worth.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from stages import RATE, STAGES, VOICE_RATE, Call, now, serve, sleep_until

from antiphon.conversation.config import ConversationConfig, Providers
from antiphon.conversation.conversation import Conversation
from antiphon.conversation.events import Event, ReplyAudio
from antiphon.inference.smart_turn import MODEL_ID as SMART_TURN
from antiphon.inference.smart_turn import SmartTurn
from antiphon.inference.store import ModelStore
from antiphon.inference.vad import MODEL_ID as SILERO
from antiphon.inference.vad import SileroDetector, on_onnxruntime
from antiphon.providers.base import (
    Delta,
    Finished,
    LanguageOptions,
    Message,
    ProviderInfo,
    SpeechChunk,
    SpeechOptions,
    Text,
    Transcript,
    Usage,
)
from antiphon.settings import load_settings
from antiphon.turns.policy import TurnPolicy


class BatchRecognizer:
    """One request with all of the turn's sound."""

    info = ProviderInfo(provider="benchmark", model="batch", streaming=False)

    def __init__(self, call: Call) -> None:
        self._call = call

    @asynccontextmanager
    async def open(self, *, language: str | None = None, prompt: str = "") -> AsyncIterator[BatchRecognizer]:
        yield self

    async def send(self, pcm: bytes) -> None:
        pass

    async def finish(self) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        yield Transcript(text=await self._call.recognise(), final=True, language="en")


class StreamingRecognizer:
    """Interim transcripts as words are spoken, a final one once the stream is finished."""

    info = ProviderInfo(provider="benchmark", model="streaming", streaming=True)

    def __init__(self, call: Call) -> None:
        self._call = call

    @asynccontextmanager
    async def open(self, *, language: str | None = None, prompt: str = "") -> AsyncIterator[_Stretch]:
        yield _Stretch(self._call)


class _Stretch:
    """One stream. It hears the words spoken while its sound was: one that ends in a pause has those before it."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._since: float | None = None
        self._sent = asyncio.Event()
        self._finished = asyncio.Event()
        self._finished_at = 0.0

    async def send(self, pcm: bytes) -> None:
        if self._since is None:
            self._since = now() - len(pcm) / 2 / RATE
            self._sent.set()

    async def finish(self) -> None:
        self._finished_at = now()
        self._finished.set()

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        await self._sent.wait()
        stage = self._call.begin("asr")
        words = self._call.job.transcript.split()
        shown = before = len(self._call.spoken(self._since or 0.0))
        for count in range(before + 1, len(words) + 1):
            if await self._finished_before(count):
                break
            yield Transcript(text=" ".join(words[before:count]), final=False, language="en")
            shown = count
        await self._finished.wait()
        heard = len(self._call.spoken(self._finished_at))
        # What was on its way when the stream was finished still arrives before the final transcript.
        for count in range(shown + 1, heard + 1):
            await self._call.transcribed(count)
            yield Transcript(text=" ".join(words[before:count]), final=False, language="en")
        if heard == len(words):
            await self._call.concluded()
        else:
            await sleep_until(self._finished_at + STAGES["asr_s"])
        stage.first = now()
        yield Transcript(text=" ".join(words[before:heard]), final=True, language="en")

    async def _finished_before(self, count: int) -> bool:
        """Wait for the ``count``-th word or the finish, whichever comes first."""
        waiting = [
            asyncio.ensure_future(self._call.transcribed(count)),
            asyncio.ensure_future(self._finished.wait()),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        return self._finished.is_set()


class ScriptedModel:
    info = ProviderInfo(provider="benchmark", model="language-model")

    def __init__(self, call: Call) -> None:
        self._call = call

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], options: LanguageOptions
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        yield self._deltas()

    async def prefill(self, messages: Sequence[Message], options: LanguageOptions) -> None:
        """A prefilled prompt would shorten the first token of a real model; here it does not."""

    async def _deltas(self) -> AsyncIterator[Delta]:
        async for piece in self._call.write():
            yield Text(text=piece)
        yield Finished(reason="stop", usage=Usage())


class ScriptedVoice:
    info = ProviderInfo(provider="benchmark", model="voice", sample_rate=VOICE_RATE, voices=("voice",))

    def __init__(self, call: Call) -> None:
        self._call = call

    @asynccontextmanager
    async def speak(self, text: str, options: SpeechOptions) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        yield self._chunks(text)

    async def _chunks(self, text: str) -> AsyncIterator[SpeechChunk]:
        async for pcm in self._call.speak(text):
            yield SpeechChunk(pcm=pcm)


class Caller:
    """The benchmark's contender: a fresh conversation a call, the ear shared by all as in the server."""

    def __init__(self, detector: SileroDetector, turn_model: SmartTurn, policy: TurnPolicy) -> None:
        self._detector = detector
        self._turn_model = turn_model
        self._policy = policy

    async def converse(self, call: Call) -> None:
        async def emit(event: Event) -> None:
            if isinstance(event, ReplyAudio):
                call.sounded(event.pcm)

        streaming = call.job.asr == "streaming"
        conversation = Conversation(
            session_id="benchmark",
            providers=Providers(
                recognizer=StreamingRecognizer(call) if streaming else BatchRecognizer(call),
                language_model=ScriptedModel(call),
                synthesizer=ScriptedVoice(call),
                voice_detector=self._detector,
                turn_model=self._turn_model,
            ),
            config=ConversationConfig(input_rate=RATE, output_rate=VOICE_RATE, policy=self._policy),
            emit=emit,
        )

        async def hear(pcm: bytes) -> None:
            conversation.hear(pcm)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(conversation.run())
            await call.play(hear)
            conversation.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", choices=["default", "no-speculation"], default="default")
    arguments = parser.parse_args()
    store = ModelStore(Path(load_settings(os.environ).settings.models).expanduser())
    policy = TurnPolicy() if arguments.settings == "default" else TurnPolicy(speculation="off")
    with (
        SileroDetector(on_onnxruntime(store.resolve(SILERO).main)) as detector,
        SmartTurn(store.resolve(SMART_TURN).main) as turn_model,
    ):
        detector.warm_up()
        turn_model.warm_up()
        serve(Caller(detector, turn_model, policy).converse)


if __name__ == "__main__":
    main()
