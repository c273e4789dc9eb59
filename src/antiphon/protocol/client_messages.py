"""What a client says: the JSON messages of antiphon.v1 from client to server. ``docs/protocol.md`` tells
them to people; a test keeps the two in step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

MIN_RATE = 8_000
MAX_RATE = 48_000
"""Hz. What microphones and loudspeakers of phones and computers use lies between."""

MAX_TEXT = 4_000
"""Characters of a typed turn: about five minutes of speech."""

MAX_INSTRUCTIONS = 2_000
"""Characters of a caller's own instructions: they are sent to the language model with every turn."""

MAX_SEQ = 2**53 - 1
"""Of a message: the largest whole number that every client's JSON keeps exactly."""

Rate = Annotated[int, Field(ge=MIN_RATE, le=MAX_RATE)]
ShortName = Annotated[str, Field(max_length=100)]
Identifier = Annotated[str, Field(min_length=1, max_length=100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How far a reply has come out of the loudspeaker."""

    reply_id: Identifier
    ms: Annotated[float, Field(ge=0, le=86_400_000)]
    """From the reply's beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Which session to go on with."""

    session_id: Identifier
    token: Annotated[str, Field(max_length=500)]
    last_seq: Annotated[int, Field(ge=0, le=MAX_SEQ)]
    """The last ``seq`` received."""
    played: Heard | None = None
    """Of the reply that was being played."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The first message: how the caller wants to talk."""

    TYPE: ClassVar[str] = "start"
    input_rate: Rate = 16_000
    """Hz of the microphone sound."""
    output_rate: Rate = 24_000
    """Hz of the reply's sound."""
    language: ShortName = ""
    """ISO 639-1, ``auto``, or empty for the server's choice."""
    voice: ShortName = ""
    """Empty for the server's choice."""
    speed: Annotated[float, Field(ge=0.5, le=2.0)] | None = None
    """Pace of the voice, 1 is its own; null for the server's choice."""
    instructions: Annotated[str, Field(max_length=MAX_INSTRUCTIONS)] = ""
    """Added to the operator's own."""
    mode: Literal["open_mic", "push_to_talk"] = "open_mic"
    timeline: bool = False
    """Whether to send ``decision`` messages."""
    resume: Resume | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A typed turn."""

    TYPE: ClassVar[str] = "text"
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Push-to-talk: my turn is over."""

    TYPE: ClassVar[str] = "commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """Stop speaking."""

    TYPE: ClassVar[str] = "interrupt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How much of a reply has come out of the loudspeaker."""

    TYPE: ClassVar[str] = "played"
    reply_id: Identifier
    ms: Annotated[float, Field(ge=0, le=86_400_000)]
    """Heard so far, from the reply's beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Are you there?"""

    TYPE: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye:
    """The caller hangs up."""

    TYPE: ClassVar[str] = "bye"


ClientMessage = Start | Text | Commit | Interrupt | Played | Ping | Bye
