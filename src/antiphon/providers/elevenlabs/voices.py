"""ElevenLabs' names: its stock voices, the models made for conversation, and what each understands."""

from __future__ import annotations

DEFAULT_MODEL = "eleven_flash_v2_5"
"""The fastest one (about 75 ms of inference, says the vendor), at half the price of the large models."""

VOICES = {
    "sarah": "EXAVITQu4vr4xnSDxMaL",
    "george": "JBFqnCBsd6RMkjVDRZzb",
    "alice": "Xb7hH8MSUJpSbSDYk0k2",
    "brian": "nPczCjzI2devNBz1zQrb",
    "charlie": "IKne3meq5aSn9XLyUdCD",
    "chris": "iP95p4xoKVk53GoZ742B",
    "daniel": "onwK4e9ZLuTAKqWW03F9",
    "eric": "cjVigY5qzO86Huf0OWal",
    "jessica": "cgSgspJ2msm6clMCkdW9",
    "laura": "FGY2WhTYpPnrIDTdsKH5",
    "liam": "TX3LPaxmHKxFdv7VOQHJ",
    "lily": "pFZP5JQG7iQjIQuC4Bku",
    "matilda": "XrExE9yKIg1WjnnlVkGX",
    "river": "SAz9YHcvj6GT2YYXdXww",
    "roger": "CwhRBWXzGAHq8TQ4Fs17",
    "will": "bIHbv24MWmeRgasZH58o",
}
"""Stock voices that every account has, the default first. Any other voice is asked for by its id."""

LANGUAGES = (
    *("en", "ja", "zh", "de", "hi", "fr", "ko", "pt", "it", "es", "id", "nl", "tr", "fil", "pl", "sv", "bg"),
    *("ro", "ar", "cs", "el", "fi", "hr", "ms", "sk", "da", "ta", "uk", "ru", "hu", "no", "vi"),
)
"""What Flash v2.5 and Turbo v2.5 speak."""

TAKE_LANGUAGE = frozenset({"eleven_flash_v2_5", "eleven_turbo_v2_5"})
"""Models that can be told the language; others hear it from the text and refuse to be told."""

OVER_HTTP_ONLY = frozenset({"eleven_v3"})
"""Models whose WebSockets the vendor refuses with a 403."""

SLOWEST, FASTEST = 0.7, 1.2
"""The pace that the vendor allows; what is asked beyond is cut to it."""

RATES = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
"""Hz of its PCM formats; 44 100 and above need a Pro account."""


def voice_id(voice: str) -> str:
    """A stock voice's id; anything else is an id already."""
    return VOICES[next(iter(VOICES))] if not voice else VOICES.get(voice.lower(), voice)


def languages(model: str) -> tuple[str, ...]:
    """ISO 639-1 codes the model speaks; empty when not known."""
    if model in TAKE_LANGUAGE:
        return LANGUAGES
    return ("en",) if model in ("eleven_flash_v2", "eleven_turbo_v2") else ()


def language_code(model: str, language: str) -> str:
    """What to tell the model, empty for nothing."""
    return language if model in TAKE_LANGUAGE and language in LANGUAGES else ""


def voice_settings(speed: float) -> dict[str, float]:
    """Only what differs from the voice's own settings."""
    return {} if speed == 1.0 else {"speed": min(max(speed, SLOWEST), FASTEST)}
