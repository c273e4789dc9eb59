"""ElevenLabs' voices: over WebSockets that stay open (``stream_input``), or over HTTP (``http_stream``)."""

from __future__ import annotations

from antiphon.providers.elevenlabs.account import Account
from antiphon.providers.elevenlabs.http_stream import ElevenLabsHttp
from antiphon.providers.elevenlabs.stream_input import ElevenLabsStreamInput, open_stream_input
from antiphon.providers.elevenlabs.voices import DEFAULT_MODEL, OVER_HTTP_ONLY

__all__ = [
    "DEFAULT_MODEL",
    "OVER_HTTP_ONLY",
    "Account",
    "ElevenLabsHttp",
    "ElevenLabsStreamInput",
    "open_stream_input",
]
