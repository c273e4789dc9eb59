"""ElevenLabs' wire format over HTTP: ``stream/with-timestamps``, a JSON object a line, and its errors. Its WebSockets:
``elevenlabs_sockets``."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from benchmarks.vendor_servers.openai import refusal
from benchmarks.vendor_servers.world import Asked, Fault, VendorWorld, client_gone, shaped
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from antiphon.providers.scripted import ScriptedSynthesizer

LETTER_S = 0.03
"""Seconds a character takes to say."""

PIECE_S = 0.1
"""Seconds of speech in one line."""

WORDS: Mapping[Fault, tuple[int, str, str, str | None, str | None]] = {
    "fail": (500, "Internal server error.", "internal_server_error", None, None),
    "overloaded": (503, "We are experiencing heavy traffic.", "system_busy", None, None),
    "rate_limit": (
        429,
        "Too many concurrent requests. Your subscription allows a maximum of 5 concurrent requests.",
        "too_many_concurrent_requests",
        None,
        None,
    ),
    "quota": (
        401,
        "This request exceeds your quota of 10000. You have 5 credits remaining, while 21 credits are required.",
        "quota_exceeded",
        None,
        None,
    ),
    "bad_key": (401, "Invalid API key", "invalid_api_key", None, None),
    "unknown_model": (
        400,
        "A model with model ID no-such does not exist.",
        "model_not_found",
        None,
        None,
    ),
    "unknown_voice": (
        404,
        "A voice with the voice_id no-such was not found.",
        "voice_not_found",
        None,
        None,
    ),
    "invalid_request": (400, "Invalid text.", "invalid_text", None, None),
    "filtered": (403, "The text violates our terms.", "content_against_policy", None, None),
}
"""Fault → status, message, the word for it."""


def routes(world: VendorWorld) -> list[Route]:
    """Under ``/v1``."""
    vendor = _ElevenLabs(world)
    path = "/v1/text-to-speech/{voice}/stream/with-timestamps"
    return [Route(path, vendor.speak, methods=["POST"])]


def error(status: int, message: str, kind: str, param: str | None, code: str | None) -> JSONResponse:
    """As ElevenLabs words it."""
    return JSONResponse({"detail": {"status": kind, "message": message}}, status_code=status)


def sound_of(text: str, rate: int) -> tuple[bytes, str, list[float]]:
    """Coded speech, its characters and when each begins."""
    said = text.strip()
    pcm, _ = ScriptedSynthesizer(rate=rate, letter_s=LETTER_S).says(said)
    return pcm, said, [n * LETTER_S for n in range(len(said))]


class _ElevenLabs:
    def __init__(self, world: VendorWorld) -> None:
        self._world = world

    async def speak(self, request: Request) -> Response:
        world = self._world
        body = await request.json()
        world.asked.append(
            Asked(
                kind="tts",
                path=request.url.path,
                query=dict(request.query_params),
                headers=dict(request.headers),
                body=body,
            )
        )
        if not world.knows_key(request.headers.get("xi-api-key", "")):
            return error(*WORDS["bad_key"])
        if "no-such" in request.path_params["voice"]:
            return error(*WORDS["unknown_voice"])
        fault = world.draw("tts")
        refused = await refusal(fault, request, world.stall_s, WORDS, error)
        if refused is not None:
            return refused
        if await client_gone(request, world.tts_ms / 1000):
            return Response(status_code=499)
        rate = int(request.query_params["output_format"].removeprefix("pcm_"))
        pieces = shaped(self._spoken(body["text"], rate, fault), fault, world.stall_s)
        return StreamingResponse(world.counted(pieces), media_type="application/json")

    async def _spoken(self, text: str, rate: int, fault: Fault | None) -> AsyncGenerator[bytes, None]:
        pcm, chars, starts = sound_of(text, 22_050 if fault == "wrong_rate" else rate)
        match fault:
            case "malformed":
                yield b'{"audio_base64": "AAAA\n'
                return
            case "wrong_format":
                pcm = b"ID3\x04" + bytes(3_000)
            case "huge":
                pcm = pcm * (1 + 30_000_000 // len(pcm))
            case "empty":
                pcm = b""
        size = 2 * round(PIECE_S * rate)
        for at in range(0, len(pcm), size):
            if at and self._world.real_time_factor:
                await asyncio.sleep(PIECE_S * self._world.real_time_factor)
            begin_s, end_s = at / 2 / rate, (at + size) / 2 / rate
            inside = [n for n, start in enumerate(starts) if begin_s <= start + LETTER_S / 2 < end_s]
            line: dict[str, Any] = {
                "audio_base64": base64.b64encode(pcm[at : at + size]).decode(),
                "alignment": {
                    "characters": [chars[n] for n in inside],
                    "character_start_times_seconds": [starts[n] for n in inside],
                    "character_end_times_seconds": [starts[n] + LETTER_S for n in inside],
                },
                "normalized_alignment": None,
            }
            yield json.dumps(line).encode() + b"\n"
