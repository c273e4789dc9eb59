"""Pipecat on the scripted stages: the pipeline that its own project generator writes.

That is: transport, speech to text, user aggregator with Silero VAD and the default turn strategies (with
smart-turn), language model, voice, transport, assistant aggregator.

``default``: what ``pipecat init`` generates.
``best``: VAD ``stop_secs`` 0.1 instead of 0.2, so that recognition and the turn model start earlier; no other
setting helps with these stages (docs/benchmarks.md).
``words``: ``best``, and ``TextAggregationMode.TOKEN`` into a voice that is fed word by word.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from types import SimpleNamespace

from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService, STTService
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner
from stages import RATE, STAGES, VOICE_RATE, Call, Stage, serve

NO_VOICE = TTSSettings(model=None, voice=None, language=None)
ASR_P99_S = float(STAGES["asr_s"])
"""What Pipecat asks an operator to tell it about the recogniser."""


class BatchSTT(SegmentedSTTService):
    """Transcribes the segment that the VAD cut, as its OpenAI and Whisper services do."""

    def __init__(self, call: Call) -> None:
        super().__init__(ttfs_p99_latency=ASR_P99_S, settings=STTSettings(model=None, language=None))
        self._call = call

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame, None]:
        yield TranscriptionFrame(await self._call.recognise(), "", time_now_iso8601())


class StreamingSTT(STTService):
    """Interim transcripts while sound comes in, the last one marked final, as its Deepgram service does."""

    def __init__(self, call: Call) -> None:
        super().__init__(ttfs_p99_latency=ASR_P99_S, settings=STTSettings(model=None, language=None))
        self._call = call
        self._following: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        self._following = self.create_task(self._follow())

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._following:
            await self.cancel_task(self._following)
            self._following = None

    async def _follow(self) -> None:
        async for text, final in self._call.follow():
            if final:
                await self.push_frame(TranscriptionFrame(text, "", time_now_iso8601(), finalized=True))
            else:
                await self.push_frame(InterimTranscriptionFrame(text, "", time_now_iso8601()))

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        yield None


class ScriptedLLM(OpenAILLMService):
    """Its OpenAI service, the network left out."""

    def __init__(self, call: Call) -> None:
        super().__init__(api_key="none")
        self._call = call

    async def get_chat_completions(self, context: LLMContext) -> AsyncIterator[SimpleNamespace]:
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[SimpleNamespace]:
        async for piece in self._call.write():
            delta = SimpleNamespace(content=piece, tool_calls=None)
            yield SimpleNamespace(usage=None, model="scripted", choices=[SimpleNamespace(delta=delta)])


class ScriptedTTS(TTSService):
    """One request a sentence, as its OpenAI and Piper services make."""

    def __init__(self, call: Call) -> None:
        super().__init__(
            push_start_frame=True, push_stop_frames=True, sample_rate=VOICE_RATE, settings=NO_VOICE
        )
        self._call = call

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame, None]:
        async for chunk in self._call.speak(text):
            yield TTSAudioRawFrame(chunk, VOICE_RATE, 1, context_id=context_id)


class WordByWordTTS(TTSService):
    """A voice that takes the model's tokens as they come, as its Deepgram Flux service does."""

    def __init__(self, call: Call) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            sample_rate=VOICE_RATE,
            settings=NO_VOICE,
            text_aggregation_mode=TextAggregationMode.TOKEN,
        )
        self._call = call
        self._stage: Stage | None = None

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame, None]:
        self._stage, sound = await self._call.read_along(text, self._stage)
        yield TTSAudioRawFrame(sound, VOICE_RATE, 1, context_id=context_id)


class CallerInput(BaseInputTransport):
    """The caller's microphone."""

    def __init__(self, params: TransportParams) -> None:
        super().__init__(params)
        self.ready = asyncio.Event()

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self.ready.set()

    async def hear(self, pcm: bytes) -> None:
        await self.push_audio_frame(InputAudioRawFrame(pcm, RATE, 1))


class CallerOutput(BaseOutputTransport):
    """The caller's loudspeaker, which takes sound at the pace it plays, as its WebSocket transport does."""

    def __init__(self, params: TransportParams, call: Call) -> None:
        super().__init__(params)
        self._call = call
        self._next_s = 0.0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self._call.sounded(frame.audio)
        self._next_s = max(self._next_s, time.monotonic())
        await asyncio.sleep(max(self._next_s - time.monotonic(), 0.0))
        self._next_s += len(frame.audio) / 2 / VOICE_RATE
        return True


async def converse(call: Call, settings: str) -> None:
    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
    microphone, loudspeaker = CallerInput(params), CallerOutput(params, call)
    vad = SileroVADAnalyzer() if settings == "default" else SileroVADAnalyzer(params=VADParams(stop_secs=0.1))
    user, assistant = LLMContextAggregatorPair(
        LLMContext(), user_params=LLMUserAggregatorParams(vad_analyzer=vad)
    )
    stt = StreamingSTT(call) if call.job.asr == "streaming" else BatchSTT(call)
    tts = WordByWordTTS(call) if settings == "words" else ScriptedTTS(call)
    pipeline = Pipeline([microphone, stt, user, ScriptedLLM(call), tts, loudspeaker, assistant])
    worker = PipelineWorker(pipeline, params=PipelineParams(enable_metrics=True, enable_usage_metrics=True))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(runner.run())
        await microphone.ready.wait()
        await call.play(microphone.hear)
        await worker.cancel()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", choices=["default", "best", "words"], default="default")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    if not arguments.verbose:
        logger.remove()
    serve(lambda call: converse(call, arguments.settings))


if __name__ == "__main__":
    main()
