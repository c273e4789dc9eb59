"""Language: chat completions, streamed."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from antiphon.errors import ProviderEmpty, ProviderError, ProviderRejected
from antiphon.providers.base import Delta, LanguageOptions, Message, ProviderInfo, Tool
from antiphon.providers.http import Answer, HttpPool
from antiphon.providers.openai.chat_reader import ChatReader, failure
from antiphon.providers.openai.dialect import Dialect, Wording
from antiphon.providers.openai.endpoint import Endpoint

REASONS_FIRST = re.compile(r"(o\d|gpt-5)(?!.*chat)")
"""OpenAI's models that think before they speak: they take no temperature."""

THINKING_TOKENS = 256
"""Added to the longest reply of a model that cannot but think, and whose thoughts count: at the least effort it thinks
some dozens of tokens."""

TOKEN_LIMITS = ("max_completion_tokens", "max_tokens")
"""The new name and the old; a reply without either may have no end."""

LAST_BYTES_S = 0.1
"""After ``[DONE]`` the connection's last bytes come with it; HTTP/1.1 needs them read to use it again."""


class OpenAILanguageModel:
    """``POST /chat/completions``."""

    def __init__(self, pool: HttpPool, endpoint: Endpoint, model: str) -> None:
        self._vendor = endpoint.vendor(pool, model)
        self._model = model
        self._official = endpoint.official
        self._loads_models = endpoint.loads_models
        self._reasons_first = endpoint.official and REASONS_FIRST.match(model) is not None
        self._effort = _least_effort(model) if self._reasons_first or "gpt-oss" in model else ""
        """Empty for models that are not told how much to think."""
        self._dialect = Dialect(
            "stream_options",
            "prompt_cache_key",
            "reasoning_effort",
            "temperature",
            *TOKEN_LIMITS,
            callers=TOKEN_LIMITS,
            needed=TOKEN_LIMITS,
        )
        self.info = ProviderInfo(provider=endpoint.provider, model=model)

    async def warm(self) -> None:
        """Open connections before the first turn, and have the model loaded where that takes a while. Raises
        ProviderError."""
        await self._vendor.warm()
        if self._loads_models:
            one_word = [Message(role="user", content="Hi")]
            with contextlib.suppress(ProviderEmpty):  # a model that thinks first
                async with self.reply(one_word, LanguageOptions(max_tokens=1)) as deltas:
                    async for _ in deltas:
                        pass

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], options: LanguageOptions
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        """Leaving it early stops the model: the stream is reset, or the connection closed."""
        async with AsyncExitStack() as stack:
            answer = await self._ask(stack, messages, options)
            async with aclosing(self._deltas(answer)) as deltas:
                yield deltas

    async def prefill(self, messages: Sequence[Message], options: LanguageOptions) -> None:
        """Vendors fill their prompt caches by themselves; a request for it would be billed."""

    async def _ask(
        self, stack: AsyncExitStack, messages: Sequence[Message], options: LanguageOptions
    ) -> Answer:
        wording = self._dialect.request()
        while True:
            body = self._body(messages, options, wording)
            try:
                answer = await stack.enter_async_context(
                    self._vendor.ask("POST", "/chat/completions", json=body)
                )
            except ProviderRejected as error:
                if not wording.refused(error, body):
                    raise
            else:
                wording.taken(body)
                return answer

    def _body(
        self, messages: Sequence[Message], options: LanguageOptions, wording: Wording
    ) -> dict[str, Any]:
        """What stays the same from turn to turn comes first, for the vendor's prompt cache: tools and
        instructions, then the conversation, which only grows at its end."""
        optional: dict[str, Any] = {"stream_options": {"include_usage": True}}
        if self._official and options.cache_key:
            optional["prompt_cache_key"] = options.cache_key
        if self._effort:
            optional["reasoning_effort"] = self._effort
        if not self._reasons_first:
            optional["temperature"] = options.temperature
        names = TOKEN_LIMITS if self._official else reversed(TOKEN_LIMITS)
        if limit := next(filter(wording.takes, names), ""):
            optional[limit] = options.max_tokens + (0 if self._effort in ("", "none") else THINKING_TOKENS)
        body: dict[str, Any] = {"model": self._model, "stream": True}
        body |= {name: value for name, value in optional.items() if wording.takes(name)}
        if options.tools:
            body["tools"] = [_tool(tool) for tool in options.tools]
        body["messages"] = [_message(message) for message in messages]
        return body

    async def _deltas(self, answer: Answer) -> AsyncGenerator[Delta, None]:
        reader = ChatReader(self._vendor.names)
        if answer.content_type == "application/json":  # a server that cannot stream
            whole = await answer.json()
            if whole.get("error"):
                raise failure(self._vendor.names, whole)
            for delta in reader.chunk(whole):
                yield delta
        else:
            async with aclosing(answer.events()) as events:
                async for event in events:
                    for delta in reader.push(event.data):
                        yield delta
                    if reader.done:
                        break
                with contextlib.suppress(TimeoutError, ProviderError):
                    async with asyncio.timeout(LAST_BYTES_S):
                        async for _ in events:
                            pass
        for delta in reader.end():
            yield delta


def _least_effort(model: str) -> str:
    """As little thinking as the model can: every second of it is silence."""
    if model.startswith("gpt-5."):
        return "none"
    return "minimal" if model.startswith("gpt-5") else "low"


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}


def _message(message: Message) -> Mapping[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        said["tool_call_id"] = message.tool_call_id
    return said
