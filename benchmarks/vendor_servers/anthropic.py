"""Anthropic's wire format: ``/v1/messages``, streamed, and its errors as it words them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from itertools import pairwise
from typing import Any

from benchmarks.vendor_servers.openai import refusal
from benchmarks.vendor_servers.world import Asked, Fault, VendorWorld, client_gone, shaped
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

WORDS: Mapping[Fault, tuple[int, str, str, str | None, str | None]] = {
    "fail": (500, "Internal server error", "api_error", None, None),
    "overloaded": (529, "Overloaded", "overloaded_error", None, None),
    "rate_limit": (
        429,
        "This request would exceed your organization's rate limit of 50 requests per minute.",
        "rate_limit_error",
        None,
        None,
    ),
    "quota": (
        400,
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or "
        "purchase credits.",
        "invalid_request_error",
        None,
        None,
    ),
    "bad_key": (401, "invalid x-api-key", "authentication_error", None, None),
    "unknown_model": (404, "model: claude-no-such", "not_found_error", None, None),
    "invalid_request": (
        400,
        "messages: at least one message is required",
        "invalid_request_error",
        None,
        None,
    ),
    "filtered": (400, "Output blocked by content filtering policy", "invalid_request_error", None, None),
}
"""Fault → status, message, type; Anthropic has no param and no code."""


def routes(world: VendorWorld) -> list[Route]:
    """Under ``/v1``."""
    return [Route("/v1/messages", _Anthropic(world).messages, methods=["POST"])]


def error(status: int, message: str, kind: str, param: str | None, code: str | None) -> JSONResponse:
    """As Anthropic words it."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011"}
    return JSONResponse(body, status_code=status)


def event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data}, ensure_ascii=False)}\n\n".encode()


class _Anthropic:
    def __init__(self, world: VendorWorld) -> None:
        self._world = world

    async def messages(self, request: Request) -> Response:
        world = self._world
        body = await request.json()
        world.asked.append(
            Asked(
                kind="llm",
                path=request.url.path,
                query=dict(request.query_params),
                headers=dict(request.headers),
                body=body,
            )
        )
        if not world.knows_key(request.headers.get("x-api-key", "")):
            return error(*WORDS["bad_key"])
        if problem := _problem(body, world.refuses):
            return error(400, problem, "invalid_request_error", None, None)
        if "no-such" in body["model"]:
            return error(*WORDS["unknown_model"])
        fault = world.draw("llm")
        refused = await refusal(fault, request, world.stall_s, WORDS, error)
        if refused is not None:
            return refused
        if await client_gone(request, world.llm_ms / 1000):
            return Response(status_code=499)
        if fault == "malformed":
            return Response(b'event: message_start\ndata: {"type": "mess\n\n', media_type="text/event-stream")
        pieces = shaped(self._written(body, fault), fault, world.stall_s)
        return StreamingResponse(world.counted(pieces), media_type="text/event-stream")

    async def _written(self, body: Mapping[str, Any], fault: Fault | None) -> AsyncGenerator[bytes, None]:
        world = self._world
        words = [] if fault == "empty" else [word + " " for word in world.reply.split()]
        if fault == "huge":
            words = ["word " * 400_000]
        if words:
            words[-1] = words[-1].rstrip()
        prompt = len(json.dumps(body["messages"]).split())
        usage = {
            "input_tokens": prompt,
            "cache_creation_input_tokens": 7,
            "cache_read_input_tokens": 20,
            "output_tokens": 1,
        }
        message = {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": body["model"],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        yield event("message_start", message=message)
        yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield event("ping")
        limit = int(body["max_tokens"])
        for number, word in enumerate(words[:limit]):
            if number:
                await asyncio.sleep(1 / world.tokens_per_s)
            yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
        yield event("content_block_stop", index=0)
        reason = "max_tokens" if len(words) > limit else "end_turn"
        yield event(
            "message_delta",
            delta={"stop_reason": reason, "stop_sequence": None},
            usage={"output_tokens": min(len(words), limit)},
        )
        yield event("message_stop")


def _problem(body: Mapping[str, Any], refuses: frozenset[str]) -> str:
    """What the vendor would not take; empty when all is well."""
    messages = body.get("messages") or []
    for name in sorted(refuses & body.keys()):
        return f"`{name}` is deprecated for this model."
    if not messages or messages[0]["role"] != "user":
        return "messages: first message must use the user role"
    if any(one["role"] == two["role"] for one, two in pairwise(messages)):
        return "messages: roles must alternate between user and assistant"
    blocks = [block for message in messages for block in message["content"]]
    if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
        return "messages: text content blocks must be non-empty"
    marked = [block for block in [*blocks, *body.get("system", [])] if "cache_control" in block]
    return "A maximum of 4 blocks with cache_control may be provided." if len(marked) > 4 else ""
