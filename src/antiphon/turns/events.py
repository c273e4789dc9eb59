"""What the turn machine is told, and what it answers.

Times (``at``, ``start``, ``end``) are seconds on the session's audio clock: sound received since the session began,
extrapolated while no sound arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# ---- in: what happened ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """A voice was detected; ``since`` is where it began, ``at`` is now."""

    since: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechPaused:
    """The voice fell silent; ``since`` is where it ended, ``at`` is now."""

    since: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechFaltered:
    """One frame without voice in the middle of speech: a stop consonant, or the beginning of a pause."""

    since: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfTurnProbability:
    """The turn model's answer to ``JudgeTurn``; ``pause`` is that command's, so that a late answer is known as one."""

    pause: float
    probability: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """Words recognised for ``Transcribe`` ``request``. A request that is not the newest is ignored."""

    request: int
    text: str
    at: float
    language: str = ""
    final: bool = True
    """False for what a streaming recogniser believes so far; the answer to the request is still to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionFailed:
    """No words can be had for ``request``."""

    request: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyReady:
    """The first sound of the reply went out."""

    reply: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaking:
    """What the reply is saying around now, for the echo guard. The newest replaces the one before."""

    reply: str
    text: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyOver:
    """The reply was heard to its end, or failed."""

    reply: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A turn in writing."""

    text: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unheard:
    """A turn was dropped because no recogniser would do its work: the user is owed a word about it."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The user says the spoken turn is over (push-to-talk released)."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """The user pressed stop."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time passed."""

    at: float


Event = (
    SpeechStarted
    | SpeechPaused
    | SpeechFaltered
    | EndOfTurnProbability
    | Transcript
    | RecognitionFailed
    | ReplyReady
    | Speaking
    | ReplyOver
    | Typed
    | Unheard
    | Commit
    | Interrupt
    | Tick
)

# ---- out: what to do --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcribe:
    """Recognise the sound from ``start`` to ``end``. It replaces any request before it."""

    request: int
    start: float
    end: float
    interim: bool
    """True while the user still speaks: worth having, not urgent."""
    overlap: bool = False
    """Whether a reply was being spoken: listeners' signs and commands are likely words."""
    turn: str = ""
    """The turn whose words these are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeTurn:
    """Ask the turn model whether the sound from ``start`` to now is a finished turn."""

    start: float
    pause: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowTranscript:
    """Tell the client the words of the turn as known now."""

    turn: str
    text: str
    final: bool
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefill:
    """These words will not change: put them into the language model's prompt cache."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartReply:
    """Answer ``text``; without any, apologise for not having heard. A speculative reply is prepared as far as the
    policy says and held back."""

    reply: str
    turn: str
    text: str
    speech_end: float | None
    """Where the user's speech ended; None for a typed turn."""
    speculative: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseReply:
    """The turn is confirmed: let the held reply be heard."""

    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardReply:
    """A speculative reply turned out wrong; nobody heard of it."""

    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReply:
    """Stop the reply. It stays in the history as far as it was heard; with ``reopen`` nothing was, and the turn it
    answered goes on."""

    reply: str
    reopen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Duck:
    """Turn the reply down: someone may be speaking."""

    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Pause the reply where it is."""

    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Go on with the reply from where it was."""

    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropTurn:
    """There were no words, or none could be had: nothing is answered."""

    turn: str
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitUntil:
    """Tick at this time, unless another ``WaitUntil`` replaces it. None: no tick is wanted."""

    at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Why: an entry for the flight recorder. Holds no words that were said."""

    at: float
    kind: str
    reason: str
    details: Mapping[str, float | str | bool] = field(default_factory=dict)


Command = (
    Transcribe
    | JudgeTurn
    | ShowTranscript
    | Prefill
    | StartReply
    | ReleaseReply
    | DiscardReply
    | CancelReply
    | Duck
    | Hold
    | Resume
    | DropTurn
    | WaitUntil
    | Note
)
