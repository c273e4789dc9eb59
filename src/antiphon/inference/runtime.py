"""The embedded runtimes of one server: loaded together, warmed, shared by all sessions, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeVar, assert_never

from antiphon.errors import AntiphonError, ModelError
from antiphon.inference.catalog import shipped_catalog
from antiphon.inference.kokoro import KokoroVoice
from antiphon.inference.lanes import BACKGROUND_NICE, Lane, Priority, be_nice
from antiphon.inference.llama import Llama, LlamaConfig
from antiphon.inference.local import (
    SMALL_MANNER,
    SMALL_MODEL_BYTES,
    LocalLanguageModel,
    LocalRecognizer,
    LocalSynthesizer,
    Manner,
)
from antiphon.inference.memory import few_arenas, give_back
from antiphon.inference.piper import PiperVoice
from antiphon.inference.smart_turn import SmartTurn
from antiphon.inference.speech import Voice
from antiphon.inference.store import ModelFiles
from antiphon.inference.vad import SileroDetector, on_onnxruntime
from antiphon.inference.whisper import WhisperModel
from antiphon.providers.base import (
    LanguageModel,
    LanguageOptions,
    Message,
    Recognizer,
    Synthesizer,
    TurnModel,
    VoiceDetector,
)

Stage = Literal["loading", "warming", "warm", "failed"]
StageReport = Callable[[str, Stage], None]
"""Told, on the event loop, the id of a model and what is happening to it."""

T = TypeVar("T")
Closable = TypeVar("Closable", bound=AbstractContextManager[Any])
_Loaded = SileroDetector | SmartTurn | LocalRecognizer | LocalLanguageModel | LocalSynthesizer


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """How the machine is shared out."""

    cores: int = 2
    """Processor cores for the models."""
    slots: int = 3
    """Conversations whose prompt cache the language model keeps, and replies written at once: two cores write no more
    than that in time to be spoken, and each slot of a small model costs 15 to 30 MB."""
    slot_tokens: int = 2560
    """Context of one conversation: its history, the reply, and the template's own tokens."""
    system_prompt: str = ""
    """What conversations begin with: evaluated at the start, so that no first turn pays for it."""

    @property
    def run_threads(self) -> int:
        """Cores that one recognition or synthesis is spread over. Beyond two they gain little."""
        return min(2, self.cores)

    @property
    def reply_threads(self) -> int:
        """Cores that the language model is spread over. Its threads wait for each other at every layer: where there
        are more than two cores, one is left to everything else."""
        return self.cores if self.cores <= 2 else min(8, self.cores - 1)

    @property
    def lanes(self) -> int:
        """Recognitions and syntheses side by side."""
        return max(1, self.cores // 2)


class LocalRuntimes:
    """An async context manager: entering loads and warms all models, leaving frees them and their threads.

    What it gives is for the event loop that entered it, while it is entered.
    """

    def __init__(
        self,
        models: Sequence[ModelFiles],
        config: RuntimeConfig | None = None,
        report: StageReport = lambda model, stage: None,
    ) -> None:
        """``models`` of any kinds, several of a kind if wanted; each is known by its id."""
        self._models = {model.id: model for model in models}
        self._config = config or RuntimeConfig()
        self._report = report
        self._stack = ExitStack()
        self._loaded: dict[str, _Loaded] = {}
        self.lane: Lane | None = None
        """Where recognition and speech queue."""
        self._slow_lane: Lane | None = None
        # Loading holds a model twice or more for a moment (whisper four times): one after the other, the peak is
        # 200 MB lower and the start about a second later. They warm up beside each other.
        self._one_load = asyncio.Lock()

    async def __aenter__(self) -> LocalRuntimes:
        """Load and warm everything, side by side. Raises ``ModelError``, the first when several fail."""
        self.lane = self._stack.enter_context(Lane("local", workers=self._config.lanes))
        few_arenas()
        # As many at a time as there are cores: more would only need more memory at once.
        loaders = ThreadPoolExecutor(
            self._config.cores,
            thread_name_prefix="load",
            initializer=be_nice,
            initargs=(BACKGROUND_NICE,),
        )
        try:
            async with asyncio.TaskGroup() as group:
                for model in sorted(self._models.values(), key=_slowest_first):
                    group.create_task(self._open(model, loaders))
        except BaseExceptionGroup as failures:
            await self._close(loaders)
            raise _first(failures) from failures
        except asyncio.CancelledError:
            await self._close(loaders)
            raise
        await asyncio.get_running_loop().run_in_executor(loaders, give_back)
        loaders.shutdown()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(None)

    def recognizer(self, model: str) -> Recognizer:
        """The recogniser on the model of this id."""
        return self._of_kind(model, LocalRecognizer)

    def language_model(self, model: str) -> LanguageModel:
        return self._of_kind(model, LocalLanguageModel)

    def synthesizer(self, model: str) -> Synthesizer:
        return self._of_kind(model, LocalSynthesizer)

    def voice_detector(self, model: str) -> VoiceDetector:
        return self._of_kind(model, SileroDetector)

    def turn_model(self, model: str) -> TurnModel:
        return self._of_kind(model, SmartTurn)

    def depths(self) -> dict[str, int]:
        """Work waiting or under way, by what it is; for metrics."""
        depths = {"recognition": 0, "speech": 0, "reply": 0, "voice_detection": 0, "turn_detection": 0}
        for lane in (self.lane, self._slow_lane):
            for priority, depth in lane.depth().items() if lane is not None else ():
                depths["recognition" if priority is Priority.RECOGNITION else "speech"] += depth
        for loaded in self._loaded.values():
            match loaded:
                case LocalLanguageModel():
                    depths["reply"] += loaded.depth
                case SileroDetector():
                    depths["voice_detection"] += loaded.depth
                case SmartTurn():
                    depths["turn_detection"] += loaded.depth
        return depths

    def _of_kind(self, model: str, kind: type[T]) -> T:
        loaded = self._loaded.get(model)
        if not isinstance(loaded, kind):
            raise ModelError(f"{model} is not loaded as a {kind.__name__}.", model_id=model)
        return loaded

    async def _open(self, model: ModelFiles, loaders: Executor) -> None:
        """One model from file to warm. If cancelled, what its thread loads is still closed by ``_close``."""
        loop = asyncio.get_running_loop()
        self._report(model.id, "loading")
        try:
            async with self._one_load:
                loaded = await loop.run_in_executor(loaders, self._load, model)
                await loop.run_in_executor(loaders, give_back)
            self._report(model.id, "warming")
            if isinstance(loaded, LocalLanguageModel):
                await self._warm_conversations(loaded)
            else:
                await loop.run_in_executor(loaders, loaded.warm_up)
        except AntiphonError:
            self._report(model.id, "failed")
            raise
        self._loaded[model.id] = loaded
        self._report(model.id, "warm")

    def _load(self, model: ModelFiles) -> _Loaded:
        """On a loader's thread."""
        assert self.lane is not None
        name = model.id.rpartition("/")[2]
        threads = self._config.run_threads
        match model.kind:
            case "vad":
                return self._keep(SileroDetector(on_onnxruntime(model.main)))
            case "turn":
                return self._keep(SmartTurn(model.main))
            case "asr":
                whisper = WhisperModel(model, threads=threads)
                return LocalRecognizer(whisper, self.lane, name=name, languages=_languages(model))
            case "tts":
                voice = open_voice(model, threads=threads)
                return LocalSynthesizer(
                    voice, self._voice_lane(voice), name=name, languages=_languages(model)
                )
            case "llm":
                llama = self._keep(Llama.open(model.main, self._llama_config(model)))
                return LocalLanguageModel(
                    llama, name=name, manner=SMALL_MANNER if _is_small(model) else Manner()
                )
            case _:
                assert_never(model.kind)

    def _voice_lane(self, voice: Voice) -> Lane:
        """A voice that speaks whole sentences at a time (a second or two) would have recognitions wait for that
        long in a common lane: it gets one of its own."""
        assert self.lane is not None
        if voice.by_stretches:
            return self.lane
        self._slow_lane = self._keep(Lane("local voice", workers=self._config.lanes))
        return self._slow_lane

    def _keep(self, runtime: Closable) -> Closable:
        """Have it closed on leaving."""
        self._stack.enter_context(runtime)
        return runtime

    def _llama_config(self, model: ModelFiles) -> LlamaConfig:
        config = self._config
        return LlamaConfig(
            model_id=model.id,
            threads=config.reply_threads,
            # Beside a voice at work, one thread writes 34 tokens a second where two, waiting for each other at
            # every layer, write 13; alone 90 against 150. A small model's 90 are plenty, a large one needs both.
            writing_threads=1 if _is_small(model) else config.reply_threads,
            slots=config.slots,
            slot_tokens=config.slot_tokens,
        )

    async def _warm_conversations(self, model: LocalLanguageModel) -> None:
        """Have the system prompt in every slot, and one short answer written."""
        messages = [Message(role="system", content=self._config.system_prompt or "You are helpful.")]
        greeting = [*messages, Message(role="user", content="Hello.")]
        for slot in range(self._config.slots):
            await model.prefill(messages, LanguageOptions(cache_key=f"warm-up {slot}"))
        async with model.reply(greeting, LanguageOptions(max_tokens=4, cache_key="warm-up 0")) as deltas:
            async for _ in deltas:
                pass

    async def _close(self, loaders: Executor | None) -> None:
        """Wait for loads under way, end all threads, free the models."""
        self._loaded.clear()

        def close() -> None:
            if loaders is not None:
                loaders.shutdown()
            self._stack.close()
            give_back()

        with ThreadPoolExecutor(1, thread_name_prefix="close") as closer:
            await asyncio.get_running_loop().run_in_executor(closer, close)


def open_voice(model: ModelFiles, *, threads: int) -> Voice:
    """Load a voice: Kokoro when there is a folder of voices beside it, else piper with its ``.onnx.json``."""
    voices = model.folder / "voices"
    if voices.is_dir():
        return KokoroVoice(model.main, voices, model_id=model.id, threads=threads)
    config = model.main.with_name(f"{model.main.name}.json")
    return PiperVoice(model.main, config, model_id=model.id, threads=threads)


def _is_small(model: ModelFiles) -> bool:
    return model.main.stat().st_size < SMALL_MODEL_BYTES


def _slowest_first(model: ModelFiles) -> int:
    return ("llm", "asr", "tts", "turn", "vad").index(model.kind)


def _languages(model: ModelFiles) -> tuple[str, ...]:
    """What the catalog says; empty for all, or for a model that is not in it."""
    entry = shipped_catalog().get(model.id)
    return entry.languages if entry is not None and "*" not in entry.languages else ()


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error that is not a group."""
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
