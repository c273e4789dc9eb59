"""How one conversation is to be held: what its caller asked for and what the operator set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from antiphon.providers.base import LanguageModel, Recognizer, Synthesizer, TurnModel, VoiceDetector
from antiphon.turns.policy import TurnPolicy

DEFAULT_INSTRUCTIONS = (
    "You are Antiphon, a friendly voice assistant. Everything you write is spoken aloud, so answer in one to three "
    "short, plain sentences without lists or markup. Begin with the answer itself."
)

INTERIM_S = 0.2
"""How often the interim words of a streaming recogniser are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """Who hears, thinks and speaks in this conversation. Shared by all sessions."""

    recognizer: Recognizer
    language_model: LanguageModel
    synthesizer: Synthesizer
    voice_detector: VoiceDetector
    turn_model: TurnModel | None = None
    """None: silence and words alone end a turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationConfig:
    """One session's wishes, already validated."""

    input_rate: int = 16_000
    """Hz of the microphone sound: 8000-48000."""
    output_rate: int = 24_000
    """Hz of the reply's sound: 8000-48000."""
    language: str = "auto"
    """ISO 639-1, or ``auto``."""
    asr_prompt: str = ""
    """Names and jargon that the recogniser should expect."""
    voice: str = ""
    speed: float = 1.0
    """Pace of the voice, 0.5-2.0."""
    instructions: str = ""
    """Added to the operator's own."""
    mode: Literal["open_mic", "push_to_talk"] = "open_mic"
    system_prompt: str = DEFAULT_INSTRUCTIONS
    policy: TurnPolicy = field(default_factory=TurnPolicy)
    max_reply_tokens: int = 300
    temperature: float = 0.6
    recorded: bool = True
    """Whether the flight recorder runs."""
    context_tokens: int = 2_000
    """What is kept of the conversation for the language model; older turns are dropped, the system prompt never."""

    def turn_policy(self, *, streaming: bool) -> TurnPolicy:
        """The policy as this session's mode and recogniser (``streaming`` or batch) want it."""
        policy = replace(self.policy, push_to_talk=self.mode == "push_to_talk")
        # A streaming recogniser's interim words are there anyway: looking at them often costs nothing.
        return replace(policy, interim_every_s=INTERIM_S, interim_late=True) if streaming else policy
