"""OpenAI's wire formats: transcription, chat, speech, and its errors as it words them."""

from __future__ import annotations

import asyncio
import io
import json
import re
import wave
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from benchmarks.vendor_servers.world import Asked, Fault, Kind, VendorWorld, client_gone, shaped
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from antiphon.audio.coded_speech import coded_text, speech_sound

PAGE = "<!doctype html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"

VOICES = "'alloy', 'ash', 'ballad', 'cedar', 'coral', 'echo', 'fable', 'marin', 'nova', 'onyx', 'sage' or 'shimmer'"

PIECE_S = 0.1
"""Seconds of speech in one piece of an answer."""

WORDS: Mapping[Fault, tuple[int, str, str, str | None, str | None]] = {
    "fail": (
        500,
        "The server had an error while processing your request. Sorry about that!",
        "server_error",
        None,
        None,
    ),
    "overloaded": (
        503,
        "The engine is currently overloaded, please try again later",
        "server_error",
        None,
        None,
    ),
    "rate_limit": (
        429,
        "Rate limit reached for gpt-4o-mini in organization org-x on requests per min (RPM): Limit 3, Used 3, "
        "Requested 1. Please try again in 20s.",
        "requests",
        None,
        "rate_limit_exceeded",
    ),
    "quota": (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        None,
        "insufficient_quota",
    ),
    "bad_key": (
        401,
        "Incorrect API key provided: sk-wrong*********1234. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        "invalid_request_error",
        None,
        "invalid_api_key",
    ),
    "unknown_model": (
        404,
        "The model `no-such-model` does not exist or you do not have access to it.",
        "invalid_request_error",
        None,
        "model_not_found",
    ),
    "unknown_voice": (
        400,
        "[{'type': 'enum', 'loc': ('body', 'voice'), 'msg': \"Input should be " + VOICES + '", '
        "'input': 'no-such-voice'}]",
        "invalid_request_error",
        None,
        None,
    ),
    "invalid_request": (400, "Invalid value for 'input'.", "invalid_request_error", "input", "invalid_value"),
    "filtered": (
        400,
        "Your request was rejected as a result of our safety system.",
        "invalid_request_error",
        None,
        "content_policy_violation",
    ),
}
"""Fault → status, message, type, param, code."""


def routes(world: VendorWorld) -> list[Route]:
    """Under ``/v1``, and where Azure has them."""
    vendor = _OpenAI(world)
    azure = "/openai/deployments/{deployment}"
    return [
        Route(f"{at}{path}", handler, methods=["POST"])
        for at in ("/v1", azure)
        for path, handler in (
            ("/audio/transcriptions", vendor.transcribe),
            ("/chat/completions", vendor.chat),
            ("/audio/speech", vendor.speak),
        )
    ] + [Route("/v1/models", vendor.models, methods=["GET"])]


def error(status: int, message: str, kind: str, param: str | None, code: str | None) -> JSONResponse:
    """As OpenAI words it."""
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": param, "code": code}}, status_code=status
    )


class _OpenAI:
    def __init__(self, world: VendorWorld) -> None:
        self._world = world

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model"}]})

    # ---- speech to text

    async def transcribe(self, request: Request) -> Response:
        form = read_form(request.headers["content-type"], await request.body())
        fields = {name: len(value) if name == "file" else value.decode() for name, value in form.items()}
        refusal, fault = await self._begin("asr", request, fields)
        if refusal is not None:
            return refusal
        if await client_gone(request, self._world.asr_ms / 1000):
            return Response(status_code=499)
        pcm, rate = _unwrapped(form["file"])
        text = "" if fault == "empty" else coded_text(pcm, rate=rate) or self._world.transcript
        return self._json(
            _transcription(text, str(fields.get("response_format", "json")), len(pcm) / 2 / rate), fault
        )

    # ---- language

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        refusal, fault = await self._begin("llm", request, body)
        if refusal is not None:
            return refusal
        if await client_gone(request, self._world.llm_ms / 1000):
            return Response(status_code=499)
        if fault == "malformed":
            return Response(b'data: {"choices": [{"delta": {"content": \n\n', media_type="text/event-stream")
        pieces = shaped(self._written(body, fault), fault, self._world.stall_s)
        return StreamingResponse(self._world.counted(pieces), media_type="text/event-stream")

    async def _written(self, body: Mapping[str, Any], fault: Fault | None) -> AsyncGenerator[bytes, None]:
        world = self._world
        text = "" if fault == "empty" else world.reply
        limit = int(body.get("max_completion_tokens") or body.get("max_tokens") or 1_000)
        tokens = [word + " " for word in text.split()]
        if fault == "huge":
            tokens = ["word " * 400_000]
        if tokens:
            tokens[-1] = tokens[-1].rstrip()
        yield self._chunk(body, {"role": "assistant", "content": ""}, None)
        for number, token in enumerate(tokens[:limit]):
            if number:
                await asyncio.sleep(1 / world.tokens_per_s)
            yield self._chunk(body, {"content": token}, None)
        reason = "length" if len(tokens) > limit else "stop"
        yield self._chunk(body, {}, reason)
        if body.get("stream_options", {}).get("include_usage"):
            prompt = sum(len(str(message.get("content", "")).split()) for message in body["messages"])
            yield self._chunk(body, None, None, usage=_usage(prompt, min(len(tokens), limit)))
        yield b"data: [DONE]\n\n"

    def _chunk(
        self,
        body: Mapping[str, Any],
        delta: Mapping[str, str] | None,
        reason: str | None,
        usage: Mapping[str, Any] | None = None,
    ) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
        chunk = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": f"{body['model']}-2024-07-18",
            "choices": choices,
            "usage": usage,
        }
        return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()

    # ---- text to speech

    async def speak(self, request: Request) -> Response:
        body = await request.json()
        refusal, fault = await self._begin("tts", request, body)
        if refusal is not None:
            return refusal
        if await client_gone(request, self._world.tts_ms / 1000):
            return Response(status_code=499)
        kind = str(body.get("response_format", "mp3"))
        match fault:
            case "malformed":
                return JSONResponse({"audio": None})
            case "wrong_format":
                return Response(b"ID3\x04" + bytes(3_000), media_type="audio/mpeg")
            case "wrong_rate":
                sound = _wrapped(speech_sound(str(body["input"]), rate=22_050), 22_050)
                return Response(sound, media_type="audio/wav")
        pieces = shaped(self._spoken(str(body["input"]), kind, fault), fault, self._world.stall_s)
        return StreamingResponse(self._world.counted(pieces), media_type=f"audio/{kind}")

    async def _spoken(self, text: str, kind: str, fault: Fault | None) -> AsyncGenerator[bytes, None]:
        world = self._world
        pcm = b"" if fault == "empty" else speech_sound(text, rate=world.rate)
        if fault == "huge":
            pcm = pcm * (1 + 30_000_000 // max(len(pcm), 1))
        if kind == "wav":
            pcm = _wrapped(pcm, world.rate)
        size = 2 * round(PIECE_S * world.rate)
        for at in range(0, len(pcm), size):
            if at and world.real_time_factor:
                await asyncio.sleep(PIECE_S * world.real_time_factor)
            yield pcm[at : at + size]

    # ---- what all have in common

    async def _begin(
        self, kind: Kind, request: Request, body: Mapping[str, Any]
    ) -> tuple[Response | None, Fault | None]:
        """Note the request; a refusal where there is one, else what goes wrong later."""
        world = self._world
        world.asked.append(
            Asked(
                kind=kind,
                path=request.url.path,
                query=dict(request.query_params),
                headers=dict(request.headers),
                body=body,
            )
        )
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not world.knows_key(request.headers.get("api-key", given)):
            return error(*WORDS["bad_key"]), None
        for name in sorted(world.refuses):
            refused, _, value = name.partition("=")
            if refused in body and value in ("", str(body[refused])):
                message = f"Unsupported parameter: '{refused}' is not supported with this model."
                return error(400, message, "invalid_request_error", refused, "unsupported_parameter"), None
        if "no-such" in str(body.get("model", "")):
            return error(*WORDS["unknown_model"]), None
        if "no-such" in str(body.get("voice", "")):
            return error(*WORDS["unknown_voice"]), None
        fault = world.draw(kind)
        return await refusal(fault, request, world.stall_s, WORDS), fault

    def _json(self, body: Mapping[str, Any], fault: Fault | None) -> Response:
        raw = json.dumps(body, ensure_ascii=False).encode()
        if fault == "malformed":
            return Response(raw[: len(raw) // 2], media_type="application/json")
        if fault == "huge":
            raw = raw[:-1] + b" " * 20_000_000 + b"}"

        async def once() -> AsyncGenerator[bytes, None]:
            yield raw

        pieces = self._world.counted(shaped(once(), fault, self._world.stall_s))
        return StreamingResponse(pieces, media_type="application/json")


async def refusal(
    fault: Fault | None,
    request: Request,
    stall_s: float,
    words: Mapping[Fault, tuple[int, str, str, str | None, str | None]],
    worded: Callable[[int, str, str, str | None, str | None], JSONResponse] = error,
) -> Response | None:
    """The answer to a request that is not let in, as its vendor words it; None for faults that come later."""
    if fault == "stall":
        await client_gone(request, stall_s)
        return Response(status_code=504)
    if fault == "gateway":
        return Response(PAGE.replace("It works!", "502 Bad Gateway"), status_code=502, media_type="text/html")
    if fault == "html":
        return Response(PAGE, media_type="text/html")
    if fault == "redirect":
        return Response(status_code=301, headers={"location": "https://elsewhere.example/v1?token=secret"})
    if fault is None or fault not in words:
        return None
    answer = worded(*words[fault])
    if fault == "rate_limit":
        answer.headers["retry-after"] = "1"
        answer.headers["x-ratelimit-remaining-requests"] = "0"
        answer.headers["x-ratelimit-reset-requests"] = "20s"
    return answer


def _usage(prompt: int, written: int) -> dict[str, Any]:
    """Half of the prompt came from the cache."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": prompt // 2, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _transcription(text: str, kind: str, seconds: float) -> dict[str, Any]:
    if kind != "verbose_json":
        tokens = {"text_tokens": 0, "audio_tokens": round(seconds * 10)}
        usage = {
            "type": "tokens",
            "input_tokens": round(seconds * 10),
            "input_token_details": tokens,
            "output_tokens": len(text.split()),
            "total_tokens": round(seconds * 10) + len(text.split()),
        }
        return {"text": text, "usage": usage}
    segment = {
        "id": 0,
        "start": 0.0,
        "end": seconds,
        "text": text,
        "avg_logprob": -0.2,
        "no_speech_prob": 0.01,
    }
    return {
        "task": "transcribe",
        "language": "english",
        "duration": seconds,
        "text": text,
        "segments": [segment] if text else [],
        "usage": {"type": "duration", "seconds": -(-seconds // 1)},
    }


def read_form(content_type: str, body: bytes) -> dict[str, bytes]:
    """The fields of a multipart form."""
    boundary = b"--" + content_type.partition("boundary=")[2].strip('"').encode()
    fields: dict[str, bytes] = {}
    for part in (b"\r\n" + body).split(b"\r\n" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        if name := re.search(rb'[; ]name="([^"]*)"', head):
            fields[name[1].decode()] = content
    return fields


def _unwrapped(wav: bytes) -> tuple[bytes, int]:
    with wave.open(io.BytesIO(wav)) as reader:
        return reader.readframes(reader.getnframes()), reader.getframerate()


def _wrapped(pcm: bytes, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return out.getvalue()
