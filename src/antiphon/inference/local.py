"""The ``local`` providers: the Protocols of ``providers.base`` on the shared runtimes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from antiphon.errors import AudioError, ProviderRejected
from antiphon.inference.lanes import Lane, Priority
from antiphon.inference.llama import Event, Llama
from antiphon.inference.onnx import float_to_pcm, pcm_to_float
from antiphon.inference.speech import Voice
from antiphon.providers.base import (
    SPEECH_RATE,
    Delta,
    Finished,
    LanguageOptions,
    Message,
    ProviderInfo,
    SpeechChunk,
    SpeechOptions,
    Text,
    ToolCall,
    Transcript,
    Usage,
    WordTime,
)

MAX_UTTERANCE_S = 120.0
"""Longest stretch of sound a recogniser keeps: 3.8 MB. A turn is over long before that."""


# ---- speech to text ---------------------------------------------------------------------------------------


class Recognized(Protocol):
    """What a speech model made of a stretch of sound."""

    @property
    def text(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def no_speech(self) -> float: ...


class SpeechModel(Protocol):
    """A loaded speech-to-text model; its calls are blocking runs for the lane."""

    def transcribe(self, pcm: NDArray[np.float32], *, language: str | None, prompt: str) -> Recognized: ...
    def warm_up(self) -> None: ...


class LocalRecognizer:
    """Whisper, whole stretches at a time."""

    def __init__(self, model: SpeechModel, lane: Lane, *, name: str, languages: tuple[str, ...] = ()) -> None:
        self._model = model
        self._lane = lane
        self.info = ProviderInfo(
            provider="local", model=name, streaming=False, sample_rate=SPEECH_RATE, languages=languages
        )

    def open(
        self, *, language: str | None = None, prompt: str = ""
    ) -> AbstractAsyncContextManager[LocalHearing]:
        return self._open(language, prompt)

    @asynccontextmanager
    async def _open(self, language: str | None, prompt: str) -> AsyncIterator[LocalHearing]:
        yield LocalHearing(self, language, prompt)

    def warm_up(self) -> None:
        """On the calling thread."""
        self._model.warm_up()

    async def transcribe(self, pcm: bytes, language: str | None, prompt: str) -> Transcript:
        """One run in the lane, ahead of everything else. Safe to cancel."""
        usage = Usage(audio_s=len(pcm) / 2 / SPEECH_RATE)
        if not pcm:
            return Transcript(text="", final=True, language=language or "", usage=usage)
        found = await self._lane.run(
            Priority.RECOGNITION,
            lambda: self._model.transcribe(pcm_to_float(pcm), language=language, prompt=prompt),
        )
        return Transcript(
            text=found.text.strip(),
            final=True,
            language=found.language,
            confidence=round(1.0 - found.no_speech, 3),
            usage=usage,
        )


class LocalHearing:
    """One stretch of sound: kept until ``finish``, then recognised once."""

    def __init__(self, recognizer: LocalRecognizer, language: str | None, prompt: str) -> None:
        self._recognizer = recognizer
        self._language = language
        self._prompt = prompt
        self._sound = bytearray()
        self._finished = False

    async def send(self, pcm: bytes) -> None:
        if self._finished:
            raise AudioError("Sound was sent after the end of the stretch.")
        if len(self._sound) + len(pcm) > MAX_UTTERANCE_S * SPEECH_RATE * 2:
            raise AudioError(f"A stretch of speech may last {MAX_UTTERANCE_S:.0f} s.")
        self._sound += pcm

    async def finish(self) -> None:
        self._finished = True

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        """The final transcript, once; ``finish`` comes first."""
        if not self._finished:
            raise RuntimeError("finish() the stretch before reading it: this recogniser is a batch one")
        yield await self._recognizer.transcribe(bytes(self._sound), self._language, self._prompt)


# ---- language ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a model is led to answer: what suits its size, beyond what the caller asks for."""

    top_p: float = 0.9
    min_p: float = 0.05
    max_temperature: float = 2.0
    """A caller's temperature is lowered to this."""
    repeat_penalty: float = 1.05
    """Divides the odds of every token of the last 64, the question's own among them."""
    dry_multiplier: float = 0.0
    """Against repeating what follows the same two tokens ("catatonic catatonic"); unlike ``repeat_penalty`` it
    leaves single words alone, so that an answer can use the question's. 0 is off: setting it up reads the model's
    vocabulary once for each character that ends a sequence, before every reply."""
    examples: tuple[tuple[str, str], ...] = ()
    """Questions and answers shown before the conversation."""


SMALL_MANNER = Manner(
    max_temperature=0.2,
    repeat_penalty=1.0,
    dry_multiplier=0.8,
    examples=(
        ("Hello.", "Hello! What can I do for you?"),
        ("What is the tallest mountain?", "The tallest mountain is Mount Everest, in the Himalayas."),
        ("What do bees make?", "Bees make honey."),
        ("Please remind me to buy milk.", "Sure, I'll remind you to buy milk."),
    ),
)
"""For models of a few hundred million parameters: they follow examples, not instructions. SmolLM2 135M with
temperature 0.6 and instructions alone drifts into French when asked for the capital of France; so, it says Paris
72 times of 72, and keeps to a short spoken sentence."""
SMALL_MODEL_BYTES = 400_000_000
"""A model file below this is of a small model."""


class LocalLanguageModel:
    """A GGUF model in this process."""

    def __init__(self, llama: Llama, *, name: str, manner: Manner | None = None) -> None:
        self._llama = llama
        self._manner = manner or Manner()
        self.info = ProviderInfo(provider="local", model=name)

    @property
    def depth(self) -> int:
        """Replies being written or waiting for a slot."""
        return self._llama.running + self._llama.waiting

    def reply(
        self, messages: Sequence[Message], options: LanguageOptions
    ) -> AbstractAsyncContextManager[AsyncIterator[Delta]]:
        return self._reply(messages, options)

    @asynccontextmanager
    async def _reply(
        self, messages: Sequence[Message], options: LanguageOptions
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        request = self._request(messages, options)
        async with self._llama.generate(request, key=options.cache_key) as events:
            async with aclosing(self._deltas(events)) as deltas:
                yield deltas

    async def prefill(self, messages: Sequence[Message], options: LanguageOptions) -> None:
        """Evaluate what is known of the conversation. Its last message is taken as unfinished."""
        if messages:
            request = {**self._request(messages, options), "add_generation_prompt": False}
            await self._llama.prefill(request, key=options.cache_key)

    def _request(self, messages: Sequence[Message], options: LanguageOptions) -> dict[str, Any]:
        manner = self._manner
        request: dict[str, Any] = {
            "messages": [_chat_message(message) for message in _with_examples(messages, manner.examples)],
            "max_tokens": options.max_tokens,
            "temperature": min(options.temperature, manner.max_temperature),
            "top_p": manner.top_p,
            "min_p": manner.min_p,
            "repeat_penalty": manner.repeat_penalty,
            "stream_options": {"include_usage": True},
        }
        if manner.dry_multiplier:
            request["dry_multiplier"] = manner.dry_multiplier
            # One character, not llama.cpp's four: 5 ms a reply instead of 18 (57 with a vocabulary of 150,000).
            request["dry_sequence_breakers"] = ["\n"]
        if options.tools:
            request["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": dict(tool.parameters),
                    },
                }
                for tool in options.tools
            ]
        return request

    async def _deltas(self, events: AsyncIterator[Event]) -> AsyncGenerator[Delta, None]:
        reason: Literal["stop", "length", "tool_calls"] = "stop"
        usage = Usage()
        calls: dict[int, _Call] = {}
        async for event in events:
            for choice in event.get("choices", ()):
                delta = choice.get("delta", {})
                if delta.get("content"):
                    yield Text(text=delta["content"])
                for piece in delta.get("tool_calls") or ():
                    calls.setdefault(piece.get("index", 0), _Call()).add(piece)
                reason = choice.get("finish_reason") or reason
            usage = _usage(event) or usage
        for call in calls.values():
            yield call.whole()
        yield Finished(reason=reason, usage=usage, model=self.info.model)


def _with_examples(messages: Sequence[Message], examples: Sequence[tuple[str, str]]) -> list[Message]:
    """The examples between the system prompt and the conversation."""
    begin = next((n for n, message in enumerate(messages) if message.role != "system"), len(messages))
    shown = [
        message
        for question, answer in examples
        for message in (Message(role="user", content=question), Message(role="assistant", content=answer))
    ]
    return [*messages[:begin], *shown, *messages[begin:]]


@dataclass(slots=True)
class _Call:
    """A tool call whose arguments are still coming in."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def add(self, piece: dict[str, Any]) -> None:
        self.id = piece.get("id") or self.id
        function = piece.get("function", {})
        self.name = function.get("name") or self.name
        self.arguments.append(function.get("arguments") or "")

    def whole(self) -> ToolCall:
        return ToolCall(id=self.id, name=self.name, arguments="".join(self.arguments))


def _usage(event: Event) -> Usage | None:
    counted = event.get("usage")
    if not counted:
        return None
    return Usage(
        input_tokens=counted.get("prompt_tokens", 0),
        cached_tokens=counted.get("prompt_tokens_details", {}).get("cached_tokens", 0),
        output_tokens=counted.get("completion_tokens", 0),
    )


def _chat_message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        written["tool_call_id"] = message.tool_call_id
    return written


# ---- text to speech ---------------------------------------------------------------------------------------

FIRST_CHUNK_S = 0.1
"""Seconds of the first chunk of a text: what a client can start to play."""
EARLY_S = 0.3
"""Seconds of sound until which a text's steps count as its first sound in the lane: with less than that ahead, the
sound would soon stop if others' first sounds came before it."""
CHUNK_S = 0.4
"""Seconds of later chunks: few messages, and little to throw away on a barge-in."""


class LocalSynthesizer:
    """Piper or Kokoro."""

    def __init__(self, voice: Voice, lane: Lane, *, name: str, languages: tuple[str, ...] = ()) -> None:
        self._voice = voice
        self._lane = lane
        self.info = ProviderInfo(
            provider="local",
            model=name,
            sample_rate=voice.sample_rate,
            languages=languages,
            voices=voice.voices,
        )

    def warm_up(self) -> None:
        """On the calling thread."""
        self._voice.warm_up()

    def speak(
        self, text: str, options: SpeechOptions
    ) -> AbstractAsyncContextManager[AsyncIterator[SpeechChunk]]:
        return self._speak(text, options)

    @asynccontextmanager
    async def _speak(self, text: str, options: SpeechOptions) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        if options.voice and options.voice not in self.info.voices:
            raise ProviderRejected(
                f"{self.info.name} has no voice {options.voice!r}; it has {', '.join(self.info.voices)}.",
                provider=self.info.name,
            )
        async with aclosing(self._chunks(text, options)) as chunks:
            yield chunks

    async def _chunks(self, text: str, options: SpeechOptions) -> AsyncGenerator[SpeechChunk, None]:
        voice = options.voice or self._voice.voice_for(options.language)
        utterance = self._voice.speak(text, voice=voice, speed=min(2.0, max(0.5, options.speed)))
        made_s = 0.0
        words: tuple[WordTime, ...] = ()
        while True:
            priority = Priority.FIRST_SOUND if made_s < EARLY_S else Priority.SPEECH
            piece = await self._lane.run(priority, utterance.step)
            if piece is None:
                return
            pcm = float_to_pcm(piece.sound)
            words += piece.words
            at = 0
            while at < len(pcm):
                size = 2 * round((CHUNK_S if made_s else FIRST_CHUNK_S) * self._voice.sample_rate)
                chunk = pcm[at : at + size]
                yield SpeechChunk(pcm=chunk, words=words)
                at, words, made_s = at + size, (), made_s + len(chunk) / 2 / self._voice.sample_rate
