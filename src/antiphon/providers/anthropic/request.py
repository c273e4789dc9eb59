"""A conversation as Anthropic's Messages API wants it. Pure.

The system prompt stands apart, user and assistant take turns and the user begins, nothing is empty, tools' answers are
the user's. Everything up to the last message but one is marked for the prompt cache: it is the beginning of the next
request too. (Marks on prompts shorter than the model's least, 1024 tokens or more, do nothing and cost nothing.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from antiphon.providers.base import LanguageOptions, Message, Tool
from antiphon.providers.vendor_json import read_json

BEGINNING = "(The conversation begins.)"
"""Said for the user when the assistant spoke first: the API wants the user to begin."""

EPHEMERAL = {"type": "ephemeral"}
"""Kept for five minutes from its last use: longer than any pause in a conversation."""


def request(
    model: str, messages: Sequence[Message], options: LanguageOptions, *, temperature: bool = True
) -> dict[str, Any]:
    """The body of ``POST /v1/messages``, streaming. Models since Claude Opus 4.7 refuse a temperature."""
    system = "\n\n".join(
        message.content for message in messages if message.role == "system" and message.content
    )
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": options.max_tokens,
        "stream": True,
        "messages": turns(messages),
    }
    if system:
        body["system"] = [{"type": "text", "text": system, "cache_control": EPHEMERAL}]
    if temperature:
        body["temperature"] = min(options.temperature, 1.0)
    if options.tools:
        body["tools"] = [_tool(tool) for tool in options.tools]
    return body


def turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Alternating user and assistant messages, the user first, marked for the cache."""
    taken: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system" or not (blocks := _blocks(message)):
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if taken and taken[-1]["role"] == role:
            taken[-1]["content"] += blocks
        else:
            taken.append({"role": role, "content": blocks})
    if not taken or taken[0]["role"] == "assistant":
        taken.insert(0, {"role": "user", "content": [{"type": "text", "text": BEGINNING}]})
    if taken[-1]["role"] == "assistant":  # it would be taken for the beginning of the answer
        taken.append({"role": "user", "content": [{"type": "text", "text": "…"}]})
    _mark(taken)
    return taken


def _mark(taken: list[dict[str, Any]]) -> None:
    """The last assistant message, and the newest user message: the one that an earlier request ended with is found
    again by either."""
    for number in {len(taken) - 1, max(len(taken) - 2, 0)}:
        taken[number]["content"][-1] = {**taken[number]["content"][-1], "cache_control": EPHEMERAL}


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}]
    text = message.content.rstrip() if message.role == "assistant" else message.content
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text.strip() else []
    calls = (
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _arguments(call.arguments)}
        for call in message.tool_calls
    )
    blocks.extend(calls)
    return blocks


def _arguments(text: str) -> Mapping[str, Any]:
    try:
        arguments = read_json(text or "{}")
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def _tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
