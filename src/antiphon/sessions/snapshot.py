"""A session as it is kept while nobody holds it, or in case whoever holds it dies. Holds what was said: it goes to the
store that the operator named, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from antiphon.conversation.memory import Memory

VERSION = 1
"""Of the format. Another one's snapshots are not read: during an upgrade that changes it conversations begin anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that another replica needs to go on."""

    version: int = VERSION
    epoch: int
    """Milliseconds since 1970 when the conversation began."""
    caller_key: str = ""
    """Whose session it is; only they may go on with it."""
    memory: Memory = field(default_factory=Memory)
    seq: int = 0
    """Of the last message that the client was told."""
    tail: tuple[tuple[int, str], ...] = ()
    """(seq, text) of the last messages, for a client that missed some. Only when the session was handed over."""
    handed_over: bool = False
    """Whether whoever held it let go of it in order: nothing happened since."""
    turns: int = 0
    replies: int = 0
    interrupted: int = 0
    failures: int = 0
    audio_in_s: float = 0.0
    audio_out_s: float = 0.0
    cost_usd: float | None = 0.0
    """The session's counts so far."""


_ADAPTER = TypeAdapter(Snapshot)


def pack(snapshot: Snapshot) -> bytes:
    """JSON."""
    return _ADAPTER.dump_json(snapshot)


def unpack(record: bytes) -> Snapshot | None:
    """What ``pack`` gave; None for what this version cannot read."""
    try:
        snapshot = _ADAPTER.validate_json(record)
    except ValidationError:
        return None
    return snapshot if snapshot.version == VERSION else None
