"""No adapter repeats its key, whatever a vendor says: a key that looks like nothing in particular comes back in every
refusal."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import quote

import pytest
from tests.providers.conformance.behaviour import hear, speak, unwrapped, write

from antiphon.errors import ProviderError
from antiphon.providers import anthropic, deepgram, elevenlabs
from antiphon.providers.http import HttpPool
from antiphon.providers.openai import Endpoint, OpenAILanguageModel
from antiphon.providers.vendor_errors import Names, refused

KEY = "quiet/words+of.mine"

FORMS = (KEY, quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode().rstrip("="))

NAMES = Names(
    provider="vendor:model",
    key_setting="ANTIPHON_VENDOR_API_KEY",
    url_setting="ANTIPHON_VENDOR_BASE_URL",
    model_setting="ANTIPHON_LLM",
    key=KEY,
)


def shown(message: str) -> list[str]:
    return [form for form in FORMS if form in message]


@asynccontextmanager
async def open_telltale() -> AsyncIterator[str]:
    """A vendor that repeats everything; gives its address."""

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert KEY in head
        body = json.dumps({"error": {"message": f"{FORMS[1]} {FORMS[2]} {KEY} teapot", "type": "x"}}).encode()
        writer.write(b"HTTP/1.1 418 No\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(tell, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _openai(pool: HttpPool, url: str, stack: AsyncExitStack) -> object:
    return await write(OpenAILanguageModel(pool, Endpoint(base_url=url + "/v1", key=KEY), "m"))


async def _anthropic(pool: HttpPool, url: str, stack: AsyncExitStack) -> object:
    return await write(anthropic.AnthropicChat(anthropic.Account(api_key=KEY, base_url=url), pool))


async def _elevenlabs(pool: HttpPool, url: str, stack: AsyncExitStack) -> object:
    return await speak(elevenlabs.ElevenLabsHttp(elevenlabs.Account(api_key=KEY, base_url=url), pool))


async def _elevenlabs_sockets(pool: HttpPool, url: str, stack: AsyncExitStack) -> object:
    account = elevenlabs.Account(api_key=KEY, base_url=url)
    return await speak(await stack.enter_async_context(elevenlabs.open_stream_input(account)))


async def _deepgram(pool: HttpPool, url: str, stack: AsyncExitStack) -> object:
    return await speak(deepgram.DeepgramVoice(deepgram.Account(api_key=KEY, base_url=url), pool))


async def _deepgram_sockets(pool: HttpPool, url: str, stack: AsyncExitStack) -> object:
    account = deepgram.Account(api_key=KEY, base_url=url)
    return await hear(await stack.enter_async_context(deepgram.open_recognizer(account)))


@pytest.mark.real_time
@pytest.mark.parametrize(
    "ask", [_openai, _anthropic, _elevenlabs, _elevenlabs_sockets, _deepgram, _deepgram_sockets]
)
async def test_a_vendor_that_repeats_everything_is_not_repeated(
    ask: Callable[[HttpPool, str, AsyncExitStack], Awaitable[object]],
) -> None:
    async with open_telltale() as url, HttpPool() as pool, AsyncExitStack() as stack:
        with pytest.raises(ProviderError) as caught:
            await unwrapped(ask(pool, url, stack))
        assert "teapot" in caught.value.message
        assert shown(caught.value.message) == []


def test_not_even_the_beginning_of_a_key_that_is_where_a_message_is_cut() -> None:
    for before in range(170, 200):
        message = refused(NAMES, 400, {}, json.dumps({"message": "." * before + KEY}).encode()).message
        assert KEY[:3] not in message


def test_nor_where_a_redirect_leads() -> None:
    assert shown(refused(NAMES, 302, {"location": f"https://other.example/{KEY}"}, b"").message) == []


def test_a_key_that_is_a_word_leaves_other_words_alone() -> None:
    names = Names(
        provider="vllm:m", key_setting="K", url_setting="U", model_setting="ANTIPHON_LLM", key="none"
    )
    assert "none of them" in refused(names, 400, {}, b'{"message": "none of them"}').message
