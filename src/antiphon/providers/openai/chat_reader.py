"""Chat completions out of their chunks; knows no socket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from antiphon.errors import ProviderError
from antiphon.providers.base import Delta, Finished, Text, ToolCall, Usage
from antiphon.providers.vendor_errors import Names, cut, empty, malformed, read_object, refused
from antiphon.providers.vendor_json import count_of

Reason = Literal["stop", "length", "tool_calls", "filtered"]

REASONS: Mapping[str, Reason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "filtered",
}

OPEN, CLOSE = "<think>", "</think>"
MOST_TOOL_CALLS = 32
"""In one reply: more is a model that went wrong."""


class Thoughts:
    """Takes out what a reasoning model thinks aloud at the beginning of its text, which nobody should hear."""

    def __init__(self) -> None:
        self._at: Literal["start", "inside", "after", "said"] = "start"
        self._held = ""

    def push(self, text: str) -> str:
        """What of it is to be said."""
        if self._at == "said":
            return text
        self._held += text
        if self._at == "start":
            start = self._held.lstrip()
            if not start.startswith(OPEN):
                # It may still become a thought.
                return "" if OPEN.startswith(start) else self.end()
            self._at, self._held = "inside", start.removeprefix(OPEN)
        if self._at == "inside":
            thought, closed, rest = self._held.partition(CLOSE)
            self._held = rest if closed else thought[-len(CLOSE) :]
            self._at = "after" if closed else "inside"
        if self._at == "after":
            self._held = self._held.lstrip()
            return self.end() if self._held else ""
        return ""

    def end(self) -> str:
        """What was held back and turned out to be no thought."""
        held = "" if self._at == "inside" else self._held
        self._at, self._held = "said", ""
        return held


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ChatReader:
    """Chunks in, deltas out. Raises ProviderError for what the server says went wrong."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._thoughts = Thoughts()
        self._calls: dict[int, _Call] = {}
        self._reason = ""
        self._usage = Usage()
        self._model = ""
        self._said = False
        self._done = False

    def push(self, data: str) -> Iterator[Delta]:
        """One event's data."""
        if data.strip() == "[DONE]":
            self._done = True
            return
        chunk = read_object(self._names, data, "a piece of a reply")
        if chunk.get("error"):
            raise failure(self._names, chunk)
        yield from self.chunk(chunk)

    @property
    def done(self) -> bool:
        """Whether the server said that this is all."""
        return self._done

    def chunk(self, chunk: Mapping[str, Any]) -> Iterator[Delta]:
        """A chunk, or a whole completion."""
        self._model = str(chunk.get("model") or self._model)
        self._count(chunk.get("usage"))
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return  # Azure's filter results, OpenAI's usage
        choice = choices[0]
        delta = choice.get("delta") or choice.get("message") or {}
        if not isinstance(delta, dict):
            raise malformed(self._names, "a piece of a reply without text or call")
        content = delta.get("content")
        if isinstance(content, str) and (text := self._thoughts.push(content)):
            self._said = True
            yield Text(text=text)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            self._add_call(call)
        self._reason = str(choice.get("finish_reason") or self._reason)

    def end(self) -> Iterator[Delta]:
        """No more chunks: what was held back, the calls, and ``Finished``."""
        if held := self._thoughts.end():
            self._said = True
            yield Text(text=held)
        if not self._reason and not self._done:
            raise cut(self._names)
        calls = [self._calls[index] for index in sorted(self._calls)]
        for call in calls:
            if not call.name:
                raise malformed(self._names, "a call of a function without a name")
            yield ToolCall(id=call.id, name=call.name, arguments="".join(call.arguments) or "{}")
        reason = REASONS.get(self._reason, "stop")
        if not self._said and not calls and reason != "filtered":
            raise self._nothing(reason)
        yield Finished(
            reason="tool_calls" if calls and reason == "stop" else reason,
            usage=self._usage,
            model=self._model,
        )

    def _nothing(self, reason: Reason) -> ProviderError:
        if reason == "length":
            return empty(
                self._names,
                "thought until its tokens were used up and said nothing; raise ANTIPHON_REPLY_TOKENS, or choose a "
                f"model that does not reason in {self._names.model_setting}",
            )
        return empty(self._names)

    def _add_call(self, piece: object) -> None:
        if not isinstance(piece, dict):
            raise malformed(self._names, "a call of a function that is no object")
        index = piece.get("index")
        # Some servers send calls whole and without an index.
        place = index if isinstance(index, int) else len(self._calls)
        if place not in self._calls and len(self._calls) >= MOST_TOOL_CALLS:
            raise malformed(self._names, f"more than {MOST_TOOL_CALLS} calls of functions")
        call = self._calls.setdefault(place, _Call())
        function = piece.get("function")
        if not isinstance(function, dict):
            function = {}
        call.id = str(piece.get("id") or call.id)
        call.name = str(function.get("name") or call.name)
        call.arguments.append(str(function.get("arguments") or ""))

    def _count(self, usage: object) -> None:
        """OpenAI's prompt tokens hold the cached ones already."""
        if not isinstance(usage, dict):
            return
        details = usage.get("prompt_tokens_details")
        cached = (
            details.get("cached_tokens")
            if isinstance(details, dict)
            else usage.get("prompt_cache_hit_tokens")
        )
        prompt = count_of(usage.get("prompt_tokens"))
        self._usage = Usage(
            input_tokens=prompt,
            cached_tokens=min(count_of(cached), prompt),
            output_tokens=count_of(usage.get("completion_tokens")),
        )


def failure(names: Names, chunk: Mapping[str, Any]) -> ProviderError:
    """An error inside an answer that began well."""
    error = chunk["error"]
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    text = json.dumps(error)
    if "rate_limit" in text or "quota" in text:
        status = 429
    return refused(names, status, {}, json.dumps({"error": error}).encode())
