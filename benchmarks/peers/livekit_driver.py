"""LiveKit Agents on the scripted stages: an ``AgentSession`` with a sound input and output, without a room.

``default``: ``AgentSession(stt=…, llm=…, tts=…)``, all else left alone: bundled Silero VAD (0.25 s), bundled
audio turn detector (``turn-detector-v1-mini``), preemptive generation, the voice fed by sentence.
``best``: endpointing ``min_delay`` 0 instead of 0.3 s, ``preemptive_tts``, no markdown and emoji filters (they
hold a token back), and for batch speech to text a ``StreamAdapter`` whose own VAD cuts at 0.1 s (the session's
VAD cannot go below 0.25 s with the turn detector).
``words``: ``best`` with a streaming voice that is fed word by word.
The larger cloud turn detector needs LiveKit's servers: not used.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, APIConnectOptions, inference, llm, stt, tts
from livekit.agents.language import LanguageCode
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer, shortuuid
from livekit.agents.voice import io
from livekit.agents.voice.turn import TurnHandlingOptions
from stages import RATE, VOICE_RATE, Call, Stage, serve


def spoken(kind: stt.SpeechEventType, text: str) -> stt.SpeechEvent:
    return stt.SpeechEvent(type=kind, alternatives=[stt.SpeechData(language=LanguageCode("en"), text=text)])


class BatchSTT(stt.STT):
    """One request for the segment that a VAD cut, as its OpenAI plugin makes."""

    def __init__(self, call: Call) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._call = call

    async def _recognize_impl(
        self, buffer: AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        return spoken(stt.SpeechEventType.FINAL_TRANSCRIPT, await self._call.recognise())


class StreamingSTT(stt.STT):
    """Interim transcripts while sound comes in, then a final one, as its Deepgram plugin gives."""

    def __init__(self, call: Call) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._call = call

    async def _recognize_impl(self, *arguments: Any, **options: Any) -> stt.SpeechEvent:
        raise NotImplementedError("only streams")

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return _Recognition(self, self._call, conn_options)


class _Recognition(stt.RecognizeStream):
    def __init__(self, owner: StreamingSTT, call: Call, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=owner, conn_options=conn_options, sample_rate=RATE)
        self._call = call

    async def _run(self) -> None:
        async for text, final in self._call.follow():
            if " " not in text:
                self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.START_OF_SPEECH))
            kind = stt.SpeechEventType.FINAL_TRANSCRIPT if final else stt.SpeechEventType.INTERIM_TRANSCRIPT
            self._event_ch.send_nowait(spoken(kind, text))
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH))
        async for _ in self._input_ch:  # the caller says nothing more
            pass


class ScriptedLLM(llm.LLM):
    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **options: Any,
    ) -> llm.LLMStream:
        return _Reply(self, self._call, chat_ctx, tools or [], conn_options)


class _Reply(llm.LLMStream):
    def __init__(
        self,
        owner: ScriptedLLM,
        call: Call,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(owner, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._call = call

    async def _run(self) -> None:
        reply = shortuuid()
        async for piece in self._call.write():
            delta = llm.ChoiceDelta(role="assistant", content=piece)
            self._event_ch.send_nowait(llm.ChatChunk(id=reply, delta=delta))


class ScriptedTTS(tts.TTS):
    """One request a sentence, as its OpenAI plugin makes."""

    def __init__(self, call: Call) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=VOICE_RATE, num_channels=1
        )
        self._call = call

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Sentence(self, self._call, text, conn_options)


class _Sentence(tts.ChunkedStream):
    def __init__(self, owner: ScriptedTTS, call: Call, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=owner, input_text=text, conn_options=conn_options)
        self._call = call

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=shortuuid(), sample_rate=VOICE_RATE, num_channels=1, mime_type="audio/pcm"
        )
        async for chunk in self._call.speak(self.input_text):
            output_emitter.push(chunk)
        output_emitter.flush()


class WordByWordTTS(tts.TTS):
    """A voice with a text stream that sends on every word, without waiting for a sentence."""

    def __init__(self, call: Call) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True), sample_rate=VOICE_RATE, num_channels=1
        )
        self._call = call

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.SynthesizeStream:
        return _ReadAlong(self, self._call, conn_options)


class _ReadAlong(tts.SynthesizeStream):
    def __init__(self, owner: WordByWordTTS, call: Call, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=owner, conn_options=conn_options)
        self._call = call

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=shortuuid(), sample_rate=VOICE_RATE, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id=shortuuid())
        stage: Stage | None = None
        async for word in self._input_ch:
            if isinstance(word, str):
                self._mark_started()
                stage, sound = await self._call.read_along(word, stage)
                output_emitter.push(sound)
        output_emitter.end_segment()


class CallerInput(io.AudioInput):
    """The caller's microphone."""

    def __init__(self) -> None:
        super().__init__(label="caller")
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue(
            maxsize=64
        )  # 1.3 s: the session reads at once

    async def hear(self, pcm: bytes) -> None:
        await self._frames.put(rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2))

    def __aiter__(self) -> AsyncIterator[rtc.AudioFrame]:
        return self

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.get()


class CallerOutput(io.AudioOutput):
    """The caller's loudspeaker; it takes sound faster than it plays, as LiveKit's room output does."""

    def __init__(self, call: Call) -> None:
        super().__init__(
            label="caller", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=VOICE_RATE
        )
        self._call = call
        self._played_s = 0.0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        self._call.sounded(bytes(frame.data))
        self._played_s += frame.duration

    def flush(self) -> None:
        super().flush()
        self._finish(interrupted=False)

    def clear_buffer(self) -> None:
        self._finish(interrupted=True)

    def _finish(self, *, interrupted: bool) -> None:
        if self._played_s:
            self.on_playback_finished(playback_position=self._played_s, interrupted=interrupted)
            self._played_s = 0.0


def session_for(call: Call, settings: str) -> AgentSession[None]:
    streaming = call.job.asr == "streaming"
    recogniser: stt.STT = StreamingSTT(call) if streaming else BatchSTT(call)
    if settings == "default":
        return AgentSession(stt=recogniser, llm=ScriptedLLM(call), tts=ScriptedTTS(call))
    if not streaming:
        recogniser = stt.StreamAdapter(stt=recogniser, vad=inference.VAD(min_silence_duration=0.1))
    handling = TurnHandlingOptions(
        endpointing={"min_delay": 0.0}, preemptive_generation={"enabled": True, "preemptive_tts": True}
    )
    voice = WordByWordTTS(call) if settings == "words" else ScriptedTTS(call)
    return AgentSession(
        stt=recogniser, llm=ScriptedLLM(call), tts=voice, turn_handling=handling, tts_text_transforms=None
    )


async def converse(call: Call, settings: str) -> None:
    session = session_for(call, settings)
    microphone = CallerInput()
    session.input.audio = microphone
    session.output.audio = CallerOutput(call)
    await session.start(Agent(instructions="You are a helpful voice assistant."))
    try:
        await call.play(microphone.hear)
    finally:
        await session.aclose()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", choices=["default", "best", "words"], default="default")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.ERROR)
    serve(lambda call: converse(call, arguments.settings))


if __name__ == "__main__":
    main()
