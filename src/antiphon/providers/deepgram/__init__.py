"""Deepgram: streaming recognition (``listen``) and the Aura voices (``speak``)."""

from __future__ import annotations

from antiphon.providers.deepgram.account import Account
from antiphon.providers.deepgram.listen import DEFAULT_MODEL as LISTEN_MODEL
from antiphon.providers.deepgram.listen import DeepgramRecognizer, open_recognizer
from antiphon.providers.deepgram.speak import DEFAULT_MODEL as SPEAK_MODEL
from antiphon.providers.deepgram.speak import DeepgramVoice

__all__ = ["LISTEN_MODEL", "SPEAK_MODEL", "Account", "DeepgramRecognizer", "DeepgramVoice", "open_recognizer"]
