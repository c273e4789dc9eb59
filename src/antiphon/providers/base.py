"""The provider Protocols: what a recogniser, a language model, a voice and an ear must do.

Sound is PCM s16le mono everywhere. Every stream is an async context manager: leaving it early is the one way
to cancel, it is always safe, and it frees what the provider holds. Adapters raise only ``errors.ProviderError``
(or ``errors.ModelError``); vendor exceptions are mapped at their edge.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

SPEECH_RATE = 16_000
"""Hz. The rate at which recognisers, detectors and turn models hear."""

VOICE_FRAME = 512
"""Samples at ``SPEECH_RATE`` per voice-detector frame: 32 ms (fixed by Silero VAD)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one provider call consumed, as the provider counts it. Fields that do not apply stay 0."""

    audio_s: float = 0.0
    """Seconds of sound sent to a recogniser."""
    input_tokens: int = 0
    """Prompt tokens, the cached ones included."""
    cached_tokens: int = 0
    """Prompt tokens served from a cache."""
    cache_write_tokens: int = 0
    """Prompt tokens that a vendor charges extra for because it keeps them in its cache; part of ``input_tokens``."""
    output_tokens: int = 0
    """Tokens generated."""
    characters: int = 0
    """Characters sent to a voice."""
    estimated: bool = False
    """Nobody counted the tokens: a request was cut short, or its provider does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """Who a provider is; ``model`` is the real model, not an alias."""

    provider: str
    """``local``, ``scripted``, ``openai``, …"""
    model: str
    streaming: bool = True
    """Recognisers: whether interim transcripts arrive while sound is being sent. Batch ones say False."""
    sample_rate: int = SPEECH_RATE
    """Hz: what a recogniser wants, or what a voice gives."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes; empty when the provider does not say."""
    voices: tuple[str, ...] = ()
    """Voice names, the default first; empty when any name is passed through."""
    resilient: bool = False
    """It retries and falls back by itself: whoever asks it need not."""

    @property
    def name(self) -> str:
        """``provider:model``, as settings, logs and metrics write it."""
        return f"{self.provider}:{self.model}"


# ---- speech to text ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """Words recognised in the sound sent so far."""

    text: str
    """Trimmed; empty when no speech was found in the sound."""
    final: bool
    """False for an interim transcript, which later ones replace."""
    language: str = ""
    """ISO 639-1, empty when unknown."""
    confidence: float | None = None
    """0-1, None when the provider does not say."""
    ended: bool = False
    """The recogniser takes the utterance to be over, by its own endpointing; on interim ones only."""
    usage: Usage = field(default_factory=Usage)
    """What this transcript's request consumed; on final ones only."""


class RecognizerStream(Protocol):
    """One stretch of sound being recognised."""

    async def send(self, pcm: bytes) -> None:
        """More sound: PCM s16le mono at the recogniser's ``info.sample_rate``. A batch recogniser only keeps it."""

    async def finish(self) -> None:
        """No more sound. The iterator then gives the final transcript and ends."""

    def __aiter__(self) -> AsyncIterator[Transcript]:
        """Interim transcripts (streaming ones only), then exactly one final, even for silence (text empty)."""


class Recognizer(Protocol):
    """Speech to text."""

    @property
    def info(self) -> ProviderInfo: ...

    def open(
        self, *, language: str | None = None, prompt: str = ""
    ) -> AbstractAsyncContextManager[RecognizerStream]:
        """Open a stream. ``language`` is ISO 639-1 or None to detect; ``prompt`` is context, may be ignored."""


# ---- language ---------------------------------------------------------------------------------------------

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of the conversation as the language model sees it."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """On assistant messages: the calls it made."""
    tool_call_id: str = ""
    """On tool messages: the call this answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function the model may call; ``parameters`` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A whole call, arguments joined. ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """The next piece of the reply, any length, never empty."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last delta of a reply."""

    reason: Literal["stop", "length", "tool_calls", "filtered"]
    usage: Usage
    model: str = ""
    """The model that answered, where the provider says."""


Delta = Text | ToolCall | Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageOptions:
    """How to reply."""

    max_tokens: int = 400
    temperature: float = 0.6
    cache_key: str = ""
    """The session, so that its prompt cache can be found again."""
    tools: tuple[Tool, ...] = ()


class LanguageModel(Protocol):
    """Messages in, deltas out."""

    @property
    def info(self) -> ProviderInfo: ...

    def reply(
        self, messages: Sequence[Message], options: LanguageOptions
    ) -> AbstractAsyncContextManager[AsyncIterator[Delta]]:
        """Stream a reply: text deltas and tool calls, then one ``Finished``. Leaving the context stops generation
        within a token."""

    async def prefill(self, messages: Sequence[Message], options: LanguageOptions) -> None:
        """Put a conversation whose last user message is still being spoken into the prompt cache. A no-op where
        there is none to fill. Safe to cancel."""


# ---- text to speech ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTime:
    """When a word is spoken, in seconds from the start of the synthesis. ``end_char`` is the offset in the text
    sent just past the word."""

    end_char: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechChunk:
    """The next stretch of synthesised sound: PCM s16le mono at ``info.sample_rate``, never empty, any length."""

    pcm: bytes
    words: tuple[WordTime, ...] = ()
    """Times of the words in this chunk, when the voice knows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOptions:
    """How to speak."""

    voice: str = ""
    """One of ``info.voices``; empty for the default."""
    language: str = ""
    """ISO 639-1; empty for the voice's own."""
    speed: float = 1.0
    """1.0 is the voice's own pace; 0.5-2.0."""
    context_id: str = ""
    """The reply this text belongs to, for voices that keep their intonation across texts; no two sessions share one."""


class Synthesizer(Protocol):
    """Text to speech, one clause or sentence a call."""

    @property
    def info(self) -> ProviderInfo: ...

    def speak(
        self, text: str, options: SpeechOptions
    ) -> AbstractAsyncContextManager[AsyncIterator[SpeechChunk]]:
        """Stream the sound of ``text``, the first chunk as early as the voice can give it."""


# ---- the ear ----------------------------------------------------------------------------------------------


class VoiceStream(Protocol):
    """One session's voice detector: it remembers what came before."""

    async def detect(self, pcm: bytes) -> tuple[float, ...]:
        """Sound at ``SPEECH_RATE``, whole frames of ``VOICE_FRAME`` samples → the speech probability of each."""

    def reset(self) -> None:
        """Forget what came before (a new turn after silence)."""


class VoiceDetector(Protocol):
    """Is someone speaking? One detector serves every session."""

    @property
    def info(self) -> ProviderInfo: ...

    def open(self) -> VoiceStream: ...


class TurnModel(Protocol):
    """Does that sound finished? One model serves every session."""

    @property
    def info(self) -> ProviderInfo: ...

    async def end_of_turn(self, pcm: bytes) -> float:
        """The turn so far at ``SPEECH_RATE`` (the model uses its last seconds) → probability 0-1 that it is over.
        Safe to cancel."""
