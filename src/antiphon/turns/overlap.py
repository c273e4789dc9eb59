"""What speech over a reply is: an interruption, a backchannel, the assistant's own echo, or nothing."""

from __future__ import annotations

from enum import Enum

from antiphon.turns.backchannel import is_backchannel
from antiphon.turns.echo import is_echo


class Verdict(Enum):
    """What to make of it."""

    INTERRUPTION = "interruption"
    BACKCHANNEL = "backchannel"
    ECHO = "echo"
    NOTHING = "nothing"


def judge_overlap(text: str, *, said: str, language: str) -> Verdict:
    """``text`` was recognised while the assistant was saying ``said``."""
    if not text.strip():
        return Verdict.NOTHING
    if said and is_echo(text, said):
        return Verdict.ECHO
    if is_backchannel(text, language):
        return Verdict.BACKCHANNEL
    return Verdict.INTERRUPTION
