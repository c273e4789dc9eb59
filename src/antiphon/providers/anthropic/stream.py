"""What comes back from ``POST /v1/messages``, event by event. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from antiphon.errors import ProviderError
from antiphon.providers.base import Delta, Finished, Text, ToolCall, Usage
from antiphon.providers.vendor_errors import Names, cut, empty, malformed, read_object, refused
from antiphon.providers.vendor_json import count_of

Reason = Literal["stop", "length", "tool_calls", "filtered"]

REASONS: Mapping[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "filtered",
}

STATUS = {
    "overloaded_error": 529,
    "api_error": 500,
    "rate_limit_error": 429,
    "authentication_error": 401,
    "permission_error": 403,
    "billing_error": 402,
    "not_found_error": 404,
    "timeout_error": 504,
}
"""The status that an error in the middle of an answer would have had as one of its own."""

LONGEST_ARGUMENTS = 256 * 1024
"""Characters of a tool call: more is no call."""


class MessageStream:
    """One answer."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._model = ""
        self._usage: dict[str, int] = {}
        self._reason: Reason = "stop"
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        """Index → id, name and arguments so far of tool calls being written."""
        self._wrote = False
        self.finished = False

    @property
    def usage(self) -> Usage:
        """What was used so far. Tokens read from and written to the cache are counted apart by the vendor; here all
        of them are prompt tokens."""
        written = self._usage.get("cache_creation_input_tokens", 0)
        read = self._usage.get("cache_read_input_tokens", 0)
        return Usage(
            input_tokens=self._usage.get("input_tokens", 0) + written + read,
            cached_tokens=read,
            cache_write_tokens=written,
            output_tokens=self._usage.get("output_tokens", 0),
        )

    def take(self, data: str) -> Delta | None:
        """One event's data. Raises ProviderError."""
        event = read_object(self._names, data, "an event")
        try:
            delta = self._take(event)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            raise malformed(self._names, "an event without its parts") from None
        self._wrote |= delta is not None
        return delta

    def end(self) -> None:
        """The body is over. Raises ProviderError when the answer is not."""
        if not self.finished:
            raise cut(self._names)

    def _take(self, event: Mapping[str, Any]) -> Delta | None:
        match event["type"]:
            case "message_start":
                self._model = str(event["message"].get("model") or "")
                self._count(event["message"].get("usage"))
            case "content_block_start":
                block = event["content_block"]
                if block["type"] == "tool_use":
                    self._calls[int(event["index"])] = (str(block["id"]), str(block["name"]), [])
                elif block["type"] == "text" and block.get("text"):
                    return Text(text=str(block["text"]))
            case "content_block_delta":
                return self._delta(int(event["index"]), event["delta"])
            case "content_block_stop":
                return self._call(int(event["index"]))
            case "message_delta":
                self._reason = REASONS.get(str(event["delta"].get("stop_reason")), "stop")
                self._count(event.get("usage"))
            case "message_stop":
                self.finished = True
                if not self._wrote and self._reason in ("stop", "length"):
                    raise empty(self._names, "wrote nothing")
                return Finished(reason=self._reason, usage=self.usage, model=self._model)
            case "error":
                raise self._refused(event["error"])
        return None  # pings, and kinds that are new

    def _delta(self, index: int, delta: Mapping[str, Any]) -> Delta | None:
        if delta["type"] == "text_delta" and delta["text"]:
            return Text(text=str(delta["text"]))
        if delta["type"] == "input_json_delta" and index in self._calls:
            pieces = self._calls[index][2]
            pieces.append(str(delta["partial_json"]))
            if sum(map(len, pieces)) > LONGEST_ARGUMENTS:
                raise ValueError("arguments without end")
        return None  # thinking is not spoken

    def _call(self, index: int) -> ToolCall | None:
        if index not in self._calls:
            return None
        call_id, name, pieces = self._calls.pop(index)
        return ToolCall(id=call_id, name=name, arguments="".join(pieces) or "{}")

    def _count(self, usage: Any) -> None:
        for name, count in (usage or {}).items():
            self._usage[name] = count_of(count)  # running totals, not increments

    def _refused(self, error: Mapping[str, Any]) -> ProviderError:
        status = STATUS.get(str(error.get("type")), 400)
        return refused(self._names, status, {}, json.dumps({"error": dict(error)}).encode())
