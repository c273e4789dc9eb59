"""What the server says: the JSON messages of antiphon.v1 from server to client. Each goes out with a
``seq``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client must keep to."""

    max_message_bytes: int
    """Of one message, binary or text."""
    text_max: int
    """Characters of a typed turn."""
    instructions_max: int
    """Characters of ``start.instructions``."""
    idle_timeout_ms: int
    """A connection that sends nothing for so long is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The answer to ``start``: the conversation is open."""

    TYPE: ClassVar[str] = "session"
    session_id: str
    epoch: int
    """Counts up when a conversation begins anew; the history of an older epoch is gone."""
    resume_token: str | None
    """For ``start.resume``; null when this server cannot resume."""
    input_rate: int
    output_rate: int
    resumed: bool
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """The caller began to speak."""

    TYPE: ClassVar[str] = "speech_started"
    at_ms: int
    """Of microphone sound received since ``start``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStopped:
    """The caller fell silent; the turn may or may not be over."""

    TYPE: ClassVar[str] = "speech_stopped"
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """The caller's words as known now; each replaces the one before with the same ``turn_id``."""

    TYPE: ClassVar[str] = "transcript"
    turn_id: str
    text: str
    final: bool
    language: str
    """ISO 639-1, empty when unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseStarted:
    """A reply begins."""

    TYPE: ClassVar[str] = "response_started"
    turn_id: str
    reply_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseText:
    """The next piece of the reply's text."""

    TYPE: ClassVar[str] = "response_text"
    reply_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStarted:
    """The binary messages that follow are this reply's sound."""

    TYPE: ClassVar[str] = "audio_started"
    reply_id: str
    from_ms: int = 0
    """Where in the reply's sound they begin: not at 0 when a session goes on after a break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioDone:
    """All of the reply's sound has been sent."""

    TYPE: ClassVar[str] = "audio_done"
    reply_id: str
    total_ms: int
    """Length of the sound sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Playback:
    """Turn the reply down, pause it where it is, or go on at full loudness."""

    TYPE: ClassVar[str] = "playback"
    reply_id: str
    action: Literal["duck", "hold", "resume"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """The reply was cut short: drop what is queued."""

    TYPE: ClassVar[str] = "interrupted"
    reply_id: str
    heard_ms: int
    heard_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a turn, in ms from the end of the caller's speech (negative: before it)."""

    name: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """What providers consumed."""

    calls: int = 0
    audio_s: float = 0.0
    """Seconds of sound recognised."""
    input_tokens: int = 0
    """Prompt tokens, the cached ones included."""
    cached_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0
    """Characters spoken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a reply consumed; ``discarded`` is the part of it that was worked ahead and thrown away."""

    calls: int = 0
    audio_s: float = 0.0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0
    discarded: Consumption = field(default_factory=Consumption)
    providers: Mapping[str, str] = field(default_factory=dict)
    """``asr``, ``llm``, ``tts`` → ``provider:model``."""
    cost_usd: float | None = None
    """0 when nothing is billed (embedded and scripted providers); null when the price is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseDone:
    """The reply is over: heard to its end, or cut short."""

    TYPE: ClassVar[str] = "response_done"
    turn_id: str
    reply_id: str
    text: str
    """What stays in the history."""
    latency_ms: Mapping[str, float]
    """Stage → ms on the way to the first sound, and ``first_sound``, their sum."""
    stages: tuple[Stage, ...]
    usage: Usage
    interrupted: bool
    error: str
    """Code of what went wrong, empty when nothing did."""
    trace_id: str = ""
    """Of the session's OpenTelemetry trace, hex; empty while traces are off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A turn-taking signal or decision, and why (with ``start.timeline``)."""

    TYPE: ClassVar[str] = "decision"
    at_ms: int
    kind: str
    reason: str
    details: Mapping[str, float | str | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the caller should know that is not an error."""

    TYPE: ClassVar[str] = "notice"
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoingAway:
    """The server is about to stop: the reply being spoken is finished, then the connection closes."""

    TYPE: ClassVar[str] = "going_away"
    reconnect_in_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Something went wrong; the session goes on unless the connection closes."""

    TYPE: ClassVar[str] = "error"
    code: str
    message: str
    """For people: what was wrong, what was expected, what to do."""
    retryable: bool
    """Whether the same may succeed later."""
    retry_after_ms: int | None = None
    """When to try again, where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The answer to ``ping``."""

    TYPE: ClassVar[str] = "pong"


ServerMessage = (
    Session
    | SpeechStarted
    | SpeechStopped
    | Transcript
    | ResponseStarted
    | ResponseText
    | AudioStarted
    | AudioDone
    | Playback
    | Interrupted
    | ResponseDone
    | Decision
    | Notice
    | GoingAway
    | Error
    | Pong
)
