"""Turn-taking settings: the presets, and what each number means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Speculation = Literal["off", "asr", "llm", "tts"]
"""How far to work ahead on a turn that may not be over: not at all, recognise, write, or also speak (and hold)."""

Preset = Literal["quick", "balanced", "patient", "silence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPolicy:
    """How turns are taken. Times in seconds of audio."""

    preset: Preset = "balanced"
    sure_wait_s: float = 0.2
    """Silence that ends a turn when the turn model and the words are sure."""
    unsure_wait_s: float = 1.2
    """Silence that ends a turn when they say it is not over."""
    silence_s: float = 0.5
    """With the ``silence`` preset: plain silence that ends a turn, whatever was said."""
    speculation: Speculation = "tts"
    barge_in: bool = True
    """Whether speech over a reply can stop it."""
    push_to_talk: bool = False
    """The client says when a turn begins and ends; pauses end nothing."""
    interim_late: bool = False
    """Whether interim words may lack the last that was said: a streaming recogniser tells what it believes so far, a
    batch one hears all it is given. Late words are shown, and never end a turn."""
    interim_every_s: float = 0.8
    """How often the words are recognised again while the user speaks; 0 never (batch recognisers that cost money)."""
    speculate_above: float = 0.2
    """How sure a pause must be the end before a reply is prepared in it, 0-1."""
    max_turn_s: float = 60.0
    """A turn that goes on longer is taken as it is (music, a television)."""

    @staticmethod
    def of(
        preset: Preset, *, speculation: Speculation = "tts", silence_s: float = 0.5, barge_in: bool = True
    ) -> TurnPolicy:
        """The named preset."""
        waits = {
            "quick": (0.15, 0.8),
            "balanced": (0.2, 1.2),
            "patient": (0.35, 1.8),
            "silence": (silence_s, silence_s),
        }
        sure, unsure = waits[preset]
        return replace(
            TurnPolicy(),
            preset=preset,
            sure_wait_s=sure,
            unsure_wait_s=unsure,
            silence_s=silence_s,
            speculation=speculation,
            barge_in=barge_in,
        )
