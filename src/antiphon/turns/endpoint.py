"""How long to wait in a pause before it is our turn: from the sound, the words and the silence."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.turns.policy import TurnPolicy
from antiphon.turns.words import completeness

SURE = 0.85
"""Confidence from which the short wait applies. smart-turn's answers are bimodal: 9 in 10 complete turns are above."""

UNSURE = 0.15
"""Confidence below which the long wait applies."""

UNKNOWN = 0.5
"""Confidence before the turn model has answered, and without one."""

NO_WORDS_WAIT_S = 0.3
"""Silence after which a pause in which no word was recognised is let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """How much silence ends the turn, and why."""

    seconds: float
    confidence: float
    reason: str


def confidence_of(probability: float | None, text: str, language: str) -> tuple[float, str]:
    """How sure it is that the turn is over, 0-1, and what decided.

    The words can veto the sound ("… and", "four seven two"), settle it ("Stop."), or speak for an end (a whole
    question); otherwise the sound decides.
    """
    heard = UNKNOWN if probability is None else probability
    words = completeness(text, language)
    if words.verdict == "unfinished":
        return min(heard, UNSURE), words.reason
    if words.verdict == "complete":
        return max(heard, SURE), words.reason
    if words.verdict == "likely":
        # A whole question may still go on ("What is the capital? … of France"): it gets the benefit of the doubt.
        return max(heard, (heard + SURE) / 2), words.reason
    return heard, "the sound decides" if probability is not None else "nothing decides yet"


def wait_for(policy: TurnPolicy, *, probability: float | None, text: str, language: str) -> Wait:
    """The silence that ends this turn, seconds, by the curve from ``sure_wait_s`` to ``unsure_wait_s``."""
    if policy.preset == "silence":
        return Wait(seconds=policy.silence_s, confidence=UNKNOWN, reason="plain silence")
    confidence, reason = confidence_of(probability, text, language)
    doubt = min(1.0, max(0.0, (SURE - confidence) / (SURE - UNSURE)))
    seconds = policy.sure_wait_s + (policy.unsure_wait_s - policy.sure_wait_s) * doubt
    return Wait(seconds=seconds, confidence=confidence, reason=reason)
