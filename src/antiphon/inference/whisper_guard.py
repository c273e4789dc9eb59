"""What Whisper writes that nobody said: loops and hallucinations, told by numbers. Pure.

Loops. A short window lacks the long silence by which Whisper knows that the text is over, so now and then it
starts again: "How far away is the moon? How far away is the moon?". Where it listens tells: in a loop the second
copy is read off the same sound as the first. The overlap of the attention of a token and of its repetition was
0.78-0.98 in every loop seen and 0.08-0.55 where the speaker did repeat himself (tests/speech, windows with 0.5-28 s
of silence behind the speech; clips joined to repeat phrases).

Hallucinations. For noise, Whisper doubts its own words or says that nobody speaks: over tests/speech the mean log
probability of what it wrote was -1.3 or less for noise and -1.1 or more for speech, down to 0 dB.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LOOP_OVERLAP = 0.65
"""Overlap of attention, 0-1, from which a repetition is a loop."""
LOOP_TOKENS = 2
"""Tokens that must repeat: the attention of a single one is too vague."""
EDGE_FRAMES = 3
"""Frames at the start whose attention means nothing: Whisper parks it there when it has nowhere to look."""

NO_SPEECH = 0.6
"""Probability that nobody speaks, from which doubtful words are dropped (Whisper's own threshold)."""

THANKS = frozenset(
    {
        "you",
        "thank you",
        "thanks for watching",
        "thank you for watching",
        "thank you very much",
        "bye",
        "bye bye",
        "the end",
        "music",
        "subtitles by the amara org community",
    }
)
"""What Whisper writes for silence: how the videos ended that it was trained on."""


@dataclass(slots=True)
class LoopGuard:
    """Watches a text being written, token by token, for the moment when it starts again."""

    sound_frames: int
    """Frames (20 ms) of the window that hold sound, before the silence put behind it."""
    _tokens: list[int] = field(default_factory=list)
    _rows: list[NDArray[np.float32]] = field(default_factory=list)
    _places: dict[int, list[int]] = field(default_factory=dict)

    def add(self, token: int, attention: NDArray[np.float32]) -> int | None:
        """A token and where it was heard, one weight a frame. In a loop: how many tokens to keep."""
        row = attention[EDGE_FRAMES : max(self.sound_frames, EDGE_FRAMES + 1)]
        self._rows.append(row / max(float(row.sum()), 1e-9))
        self._tokens.append(token)
        now = len(self._tokens) - 1
        earlier = self._places.setdefault(token, [])
        kept = next(
            (keep for place in reversed(earlier) if (keep := self._loop(place, now)) is not None), None
        )
        earlier.append(now)
        return kept

    @property
    def heard_until(self) -> int:
        """The furthest frame at which a token was mostly heard."""
        peaks = [int(row.argmax()) + EDGE_FRAMES for row in self._rows if len(row)]
        return max(peaks, default=0)

    def _loop(self, place: int, now: int) -> int | None:
        """Whether the tokens up to ``now`` repeat those up to ``place``, off the same sound."""
        length = 0
        while (
            length <= place
            and length < now - place
            and self._tokens[place - length] == self._tokens[now - length]
        ):
            length += 1
        if length < LOOP_TOKENS:
            return None
        overlaps = [
            float(np.minimum(self._rows[place - step], self._rows[now - step]).sum())
            for step in range(length)
        ]
        return now - length + 1 if sum(overlaps) / length > LOOP_OVERLAP else None


def is_speech(text: str, *, no_speech: float, avg_logprob: float) -> bool:
    """Whether ``text`` was said, rather than read into noise or silence."""
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
    if not words:
        return False
    if avg_logprob < -1.25 and no_speech > 0.2:
        return False
    if avg_logprob < -1.0 and no_speech > 0.45:
        return False
    if no_speech > NO_SPEECH and avg_logprob < -0.7:
        return False
    return not (" ".join(words) in THANKS and no_speech > 0.3 and avg_logprob < -0.4)
