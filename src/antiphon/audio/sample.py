"""A question in a human-like voice that ships with the package, to try a server or a recogniser with."""

from __future__ import annotations

from importlib import resources

from antiphon.audio.wav import read_wav

QUESTION = "What is the capital of France?"
"""What is said in it."""


def question_pcm() -> bytes:
    """1.4 s of speech: PCM s16le mono at 16 000 Hz, speech to its last sample. Made with Kokoro-82M (Apache-2.0)."""
    return read_wav(resources.files("antiphon.audio").joinpath("samples/question.wav").read_bytes()).pcm
