"""Claude, through Anthropic's Messages API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field

from antiphon.errors import ProviderError, ProviderRejected
from antiphon.providers.anthropic.request import request
from antiphon.providers.anthropic.stream import MessageStream
from antiphon.providers.base import Delta, LanguageOptions, Message, ProviderInfo
from antiphon.providers.http import Answer, HttpPool, Patience
from antiphon.providers.server_sent import ServerSent
from antiphon.providers.vendor_errors import Names

BASE_URL = "https://api.anthropic.com"
DEFAULT_MODEL = "claude-haiku-4-5"
"""The fastest of the family: a spoken answer is worth most soon."""

VERSION = "2023-06-01"

END_S = 0.2
"""How long the end of a body may take after its last event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An Anthropic account and what is wanted of it."""

    api_key: str = field(repr=False)
    model: str = DEFAULT_MODEL
    base_url: str = BASE_URL
    """With or without ``/v1``."""
    patience: Patience = field(default_factory=Patience)

    @property
    def names(self) -> Names:
        return Names(
            provider=f"anthropic:{self.model}",
            key_setting="ANTIPHON_ANTHROPIC_API_KEY",
            url_setting="ANTIPHON_ANTHROPIC_BASE_URL",
            model_setting="ANTIPHON_LLM",
            key=self.api_key,
        )

    @property
    def root(self) -> str:
        """``https://host/v1``"""
        return self.base_url.rstrip("/").removesuffix("/v1") + "/v1"


class AnthropicChat:
    """A LanguageModel."""

    def __init__(self, account: Account, pool: HttpPool) -> None:
        self._account = account
        self._names = account.names
        headers = {"x-api-key": account.api_key, "anthropic-version": VERSION}
        self._vendor = pool.vendor(
            self._names,
            base_url=account.root,
            headers=headers,
            patience=account.patience,
            warm_path="/models",
        )
        self._takes_temperature = True
        self._info = ProviderInfo(provider="anthropic", model=account.model)

    @property
    def info(self) -> ProviderInfo:
        return self._info

    async def warm(self) -> None:
        """Open the connection that the first reply will need. Raises ProviderError."""
        await self._vendor.warm()

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], options: LanguageOptions
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        """Safe to cancel at any point; leaving tells the vendor to stop."""
        async with AsyncExitStack() as stack:
            answer = await self._ask(messages, options, stack)
            yield await stack.enter_async_context(aclosing(self._deltas(answer)))

    async def prefill(self, messages: Sequence[Message], options: LanguageOptions) -> None:
        """Nothing: the vendor's cache is filled by asking, and asking costs."""

    async def _ask(
        self, messages: Sequence[Message], options: LanguageOptions, stack: AsyncExitStack
    ) -> Answer:
        try:
            return await self._send(messages, options, stack)
        except ProviderRejected as error:
            # Newer models take no temperature and say so at once, unbilled; from then on they get none.
            if not (
                self._takes_temperature
                and error.cause == "invalid_request"
                and "temperature" in error.message
            ):
                raise
            self._takes_temperature = False
        return await self._send(messages, options, stack)

    async def _send(
        self, messages: Sequence[Message], options: LanguageOptions, stack: AsyncExitStack
    ) -> Answer:
        body = request(self._account.model, messages, options, temperature=self._takes_temperature)
        return await stack.enter_async_context(self._vendor.ask("POST", "/messages", json=body))

    async def _deltas(self, answer: Answer) -> AsyncGenerator[Delta, None]:
        stream = MessageStream(self._names)
        async with aclosing(answer.events()) as events:
            async for event in events:
                if (delta := stream.take(event.data)) is not None:
                    yield delta
                if stream.finished:
                    await _to_the_end(events)
                    return
        stream.end()


async def _to_the_end(events: AsyncIterator[ServerSent]) -> None:
    """Nothing follows; read so far, the connection can be used again."""
    with suppress(TimeoutError, ProviderError):
        async with asyncio.timeout(END_S):
            async for _ in events:
                pass
