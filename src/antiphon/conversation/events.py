"""What a conversation tells the world. The server puts these on the wire; telemetry and usage listen.

Every ``at_s`` is seconds on the session's audio clock: sound received since the session began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from antiphon.providers.base import Usage

LONGEST_NAME = 100
"""Characters of a name that a vendor gives; model paths are the longest."""

MOST = 10**12
"""Of anything that one request is said to have used; nine million such requests still add up in 64 bits."""

Count = TypeVar("Count", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """The user began to speak."""

    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStopped:
    """The user fell silent; the turn may or may not be over."""

    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptChanged:
    """The words of a turn as known now. ``final`` once, when the turn is over."""

    turn_id: str
    text: str
    final: bool
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyStarted:
    """A reply to a confirmed turn begins. Speculative replies are told of only once they are kept."""

    turn_id: str
    reply_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyText:
    """The next piece of the reply's text, as written by the model (not as spoken)."""

    reply_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStarted:
    """Sound of the reply follows, from its beginning or, after a break, from where the listener was."""

    reply_id: str
    from_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyAudio:
    """Sound to play next: PCM s16le mono at the session's output rate, 20-100 ms."""

    reply_id: str
    pcm: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioDone:
    """All sound of the reply has been sent."""

    reply_id: str
    total_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackChanged:
    """The client should turn the reply down (``duck``), pause it where it is (``hold``), or go on (``resume``)."""

    reply_id: str
    action: Literal["duck", "hold", "resume"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """The reply was cut short: drop what is queued. ``heard_text`` is what stays in the history."""

    reply_id: str
    heard_ms: int
    heard_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a turn, in ms from the end of the user's speech (negative: before it)."""

    name: str
    """``capture``, ``asr``, ``llm``, ``clause``, ``tts``, ``hold`` (see ``latency.Marks``)."""
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCall:
    """One request to a provider is over, however it ended. Told when it ends, and again in ``ReplyDone.calls``."""

    kind: Literal["asr", "llm", "tts"]
    provider: str
    """``provider:model``"""
    usage: Usage
    turn_id: str = ""
    """The turn it was made for; empty while the turn has no name yet."""
    reply_id: str = ""
    speculative: bool = False
    """Made before the turn was confirmed."""
    discarded: bool = False
    """In ``ReplyDone.calls`` only: it was speculative, and thrown away."""
    cancelled: bool = False
    model: str = ""
    """The model that answered, where the provider says."""
    transport: Literal["batch", "stream"] = "batch"
    outcome: str = "ok"
    """``ok``, ``cancelled``, or the code of what went wrong."""
    finish_reason: str = ""
    """Why a language model wrote no more: ``stop``, ``length``, ``tool_calls``, ``filtered``; empty when it did not
    come to an end."""
    first_ms: float | None = None
    """From the request to the first thing it gave; None when it gave nothing or was not timed."""
    total_ms: float = 0.0
    cached: bool = False
    """Answered from our own cache: nothing is billed."""

    def __post_init__(self) -> None:
        """A vendor may name and count what it likes; whoever is told writes UTF-8, and adds up in 64 bits."""
        names = self.model + self.outcome + self.finish_reason
        if len(names) > LONGEST_NAME or not names.isprintable():
            for name in ("model", "outcome", "finish_reason"):
                object.__setattr__(self, name, _printable(getattr(self, name)[:LONGEST_NAME]))
        if not believable(self.usage):
            object.__setattr__(self, "usage", _believed(self.usage))


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)


def believable(usage: Usage) -> bool:
    """Whether one request can have used so much. What is taken for too much, ``MOST``, cannot either."""
    return (
        0 <= usage.audio_s < MOST
        and 0 <= usage.input_tokens < MOST
        and 0 <= usage.cached_tokens < MOST
        and 0 <= usage.cache_write_tokens < MOST
        and 0 <= usage.output_tokens < MOST
        and 0 <= usage.characters < MOST
    )


def _believed(usage: Usage) -> Usage:
    return replace(
        usage,
        audio_s=_within(usage.audio_s),
        input_tokens=_within(usage.input_tokens),
        cached_tokens=_within(usage.cached_tokens),
        cache_write_tokens=_within(usage.cache_write_tokens),
        output_tokens=_within(usage.output_tokens),
        characters=_within(usage.characters),
    )


def _within(count: Count) -> Count:
    return min(count, type(count)(MOST)) if count >= 0 else type(count)(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyDone:
    """The reply is over, heard to its end or cut short."""

    turn_id: str
    reply_id: str
    text: str
    """What stays in the history."""
    latency_ms: Mapping[str, float]
    """Stage → ms on the way to the first sound, and ``first_sound``: their sum, end of speech → first sound sent."""
    stages: tuple[Stage, ...] = ()
    calls: tuple[ProviderCall, ...] = ()
    interrupted: bool = False
    error: str = ""
    """Code of what went wrong, empty when nothing did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A turn-taking signal or decision, and why: an entry of the flight recorder."""

    at_s: float
    kind: str
    """``speech``, ``pause``, ``turn_model``, ``transcript``, ``wait``, ``turn``, ``speculate``, ``release``,
    ``discard``, ``duck``, ``hold``, ``resume``, ``cancel``, ``echo``, …"""
    reason: str
    """A short sentence for people, without what was said."""
    details: Mapping[str, float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the user should know that is not an error: ``degraded``, ``budget``, ``model``."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Something went wrong in this session; it goes on unless the server closes it."""

    code: str
    message: str
    retryable: bool


Event = (
    SpeechStarted
    | SpeechStopped
    | TranscriptChanged
    | ReplyStarted
    | ReplyText
    | AudioStarted
    | ReplyAudio
    | AudioDone
    | PlaybackChanged
    | Interrupted
    | ReplyDone
    | Decision
    | Notice
    | ProviderCall
    | Failed
)
