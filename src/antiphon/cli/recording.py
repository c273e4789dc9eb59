"""A WAV file made ready to be said to a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from antiphon.audio.level import speech_end
from antiphon.audio.wav import read_wav
from antiphon.cli.voice_client import SPEECH_RATE

TRAILING_S = 0.2
"""Quiet at the end of a file that is shorter than this belongs to its last word; longer quiet is silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a caller will say."""

    path: Path
    pcm: bytes
    """PCM s16le mono at ``SPEECH_RATE``."""
    end_s: float
    """Where its speech ends, in seconds from its start."""
    notes: tuple[str, ...]
    """What was converted or found, for people."""


def read_recording(path: Path) -> Recording:
    """Read, convert and look where the speech ends. Raises AudioError."""
    sound = read_wav(path).at_rate(SPEECH_RATE)
    loud_until_s = speech_end(sound.pcm, SPEECH_RATE) / SPEECH_RATE
    notes = list(sound.notes)
    end_s = sound.duration_s
    if not loud_until_s:
        notes.append("it holds nothing as loud as speech")
    elif sound.duration_s - loud_until_s > TRAILING_S:
        end_s = loud_until_s
        notes.append(f"its speech ends at {end_s:.2f} s of {sound.duration_s:.2f} s; times count from there")
    return Recording(path=path, pcm=sound.pcm, end_s=end_s, notes=tuple(notes))
