"""Deepgram's wire format over HTTP: ``/v1/speak``, plain PCM, and its errors. Its WebSockets: ``deepgram_sockets``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from benchmarks.vendor_servers.openai import refusal
from benchmarks.vendor_servers.world import Asked, Fault, VendorWorld, client_gone, shaped
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from antiphon.audio.coded_speech import speech_sound

PIECE_S = 0.1

WORDS: Mapping[Fault, tuple[int, str, str, str | None, str | None]] = {
    "fail": (500, "An internal error occurred.", "INTERNAL_SERVER_ERROR", None, None),
    "overloaded": (503, "Please try again later.", "SERVICE_UNAVAILABLE", None, None),
    "rate_limit": (429, "Too many requests. Please try again later.", "TOO_MANY_REQUESTS", None, None),
    "quota": (402, "Project does not have enough credits.", "ASR_PAYMENT_REQUIRED", None, None),
    "bad_key": (401, "Invalid credentials.", "INVALID_AUTH", None, None),
    "unknown_model": (
        400,
        "No such model/version combination found.",
        "Bad Request",
        None,
        None,
    ),
    "unknown_voice": (400, "No such model/version combination found.", "Bad Request", None, None),
    "invalid_request": (400, "Failed to deserialize JSON payload.", "PAYLOAD_ERROR", None, None),
    "filtered": (400, "Refused by content_policy.", "Bad Request", None, None),
}
"""Fault → status, message, the word for it."""


def routes(world: VendorWorld) -> list[Route]:
    """Under ``/v1``."""
    return [Route("/v1/speak", _Deepgram(world).speak, methods=["POST"])]


def error(status: int, message: str, kind: str, param: str | None, code: str | None) -> JSONResponse:
    """As Deepgram words it."""
    return JSONResponse({"err_code": kind, "err_msg": message, "request_id": "0b3"}, status_code=status)


class _Deepgram:
    def __init__(self, world: VendorWorld) -> None:
        self._world = world

    async def speak(self, request: Request) -> Response:
        world = self._world
        body, query = await request.json(), request.query_params
        world.asked.append(
            Asked(
                kind="tts",
                path=request.url.path,
                query=dict(query),
                headers=dict(request.headers),
                body=body,
            )
        )
        if not world.knows_key(request.headers.get("authorization", "").removeprefix("Token ")):
            return error(*WORDS["bad_key"])
        if "no-such" in query["model"]:
            return error(*WORDS["unknown_model"])
        fault = world.draw("tts")
        refused = await refusal(fault, request, world.stall_s, WORDS, error)
        if refused is not None:
            return refused
        if await client_gone(request, world.tts_ms / 1000):
            return Response(status_code=499)
        if fault == "malformed":
            return JSONResponse({"audio": None})
        if fault == "wrong_format":
            return Response(b"ID3\x04" + bytes(3_000), media_type="audio/mpeg")
        rate = 22_050 if fault == "wrong_rate" else int(query["sample_rate"])
        pieces = shaped(self._spoken(body["text"], rate, fault), fault, world.stall_s)
        return StreamingResponse(world.counted(pieces), media_type=f"audio/l16;rate={rate};channels=1")

    async def _spoken(self, text: str, rate: int, fault: Fault | None) -> AsyncGenerator[bytes, None]:
        pcm = b"" if fault == "empty" else speech_sound(text, rate=rate)
        if fault == "huge":
            pcm = pcm * (1 + 30_000_000 // max(len(pcm), 1))
        size = 2 * round(PIECE_S * rate)
        for at in range(0, len(pcm), size):
            if at and self._world.real_time_factor:
                await asyncio.sleep(PIECE_S * self._world.real_time_factor)
            yield pcm[at : at + size]
