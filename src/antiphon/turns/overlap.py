"""What speech over a reply is: an interruption, a backchannel, the assistant's own echo, or nothing."""

from __future__ import annotations

from enum import Enum

from antiphon.turns.backchannel import is_assent, is_backchannel
from antiphon.turns.echo import is_echo

QUESTION_MARKS = ("?", "？", "؟")


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
    if is_assent(text, language) and said.rstrip().endswith(QUESTION_MARKS):
        return Verdict.INTERRUPTION  # "yes" to what is being asked is an answer
    if is_backchannel(text, language):
        return Verdict.BACKCHANNEL
    return Verdict.INTERRUPTION
