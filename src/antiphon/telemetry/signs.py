"""What the flight recorder's decisions mean to an operator."""

from __future__ import annotations

from enum import StrEnum

from antiphon.conversation.events import Decision, ReplyDone


class Sign(StrEnum):
    """Something worth counting."""

    KEPT = "kept"
    """An answer prepared before the turn was over was used."""
    DISCARDED = "discarded"
    """… was thrown away, because the user went on or the words changed."""
    BACKCHANNEL = "backchannel"
    """An "uh-huh" over a reply, which went on."""
    NOISE = "noise"
    """A sound over a reply that held no words for it; the reply went on."""
    ECHO = "echo"
    """Its own voice came back through the microphone."""
    FALSE_START = "false_start"
    """It answered too soon: the user went on before the answer was heard."""
    DROPPED = "dropped"
    """A turn that nothing is answered to: no words, or nobody's."""


_BY_KIND = {
    "release": Sign.KEPT,
    "discard": Sign.DISCARDED,
    "echo": Sign.ECHO,
    "drop": Sign.DROPPED,
}


def sign(decision: Decision) -> Sign | None:
    """What a decision is a sign of; None for the everyday ones."""
    kind = decision.kind
    if kind == "resume":
        if decision.reason.endswith("backchannel"):
            return Sign.BACKCHANNEL
        # Its own voice is told by an ``echo`` of its own.
        return None if decision.reason.endswith("echo") else Sign.NOISE
    if kind == "cancel":
        return Sign.FALSE_START if "the same turn" in decision.reason else None
    return _BY_KIND.get(kind)


def withdrawn(done: ReplyDone) -> bool:
    """Whether a reply was taken back before any of it was heard: the same turn goes on, and is answered anew."""
    return done.interrupted and not done.error and "first_sound" not in done.latency_ms
