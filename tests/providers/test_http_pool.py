"""The pool over real sockets: nothing opened during a turn, nothing lost when a request is left, patience."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import get_args

import pytest
from benchmarks.vendor_servers import VendorServers, VendorWorld, open_vendor_servers
from benchmarks.vendor_servers.serving import Speaking

from antiphon.errors import ProviderError, ProviderRejected, ProviderUnavailable
from antiphon.providers.http import HttpPool, Patience, Vendor
from antiphon.providers.sockets import Address, dial
from antiphon.providers.vendor_errors import Names, cut
from antiphon.providers.warmth import SPARE

pytestmark = pytest.mark.real_time

NAMES = Names(
    provider="openai:gpt-4o-mini",
    key_setting="ANTIPHON_OPENAI_API_KEY",
    url_setting="ANTIPHON_OPENAI_BASE_URL",
    model_setting="ANTIPHON_LLM",
)
CHAT = {
    "model": "gpt-4o-mini",
    "stream": True,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
SPEECH = {"model": "tts-1", "voice": "alloy", "input": "word " * 400, "response_format": "pcm"}

every = pytest.mark.parametrize("speaking", get_args(Speaking))


@asynccontextmanager
async def opened(
    speaking: Speaking = "http", **world: float
) -> AsyncIterator[tuple[VendorServers, HttpPool, Vendor]]:
    async with open_vendor_servers(VendorWorld(**world), speaking=speaking) as servers:  # type: ignore[arg-type]
        async with HttpPool(trust=servers.trust()) as pool:
            patience = Patience(connect_s=2.0, first_byte_s=0.5, gap_s=0.5)
            yield servers, pool, pool.vendor(NAMES, base_url=servers.url + "/v1", patience=patience)


async def events(vendor: Vendor) -> list[str]:
    async with vendor.ask("POST", "/chat/completions", json=CHAT) as answer:
        return [event.data async for event in answer.events()]


async def until(what: Callable[[], bool]) -> None:
    """Wait for something on the other side of a socket, which tells nobody."""
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def idle(pool: HttpPool) -> int:
    return sum(connection.is_idle() for connection in pool._connections.connections)


@every
async def test_turns_open_no_connections(speaking: Speaking) -> None:
    async with opened(speaking) as (servers, pool, vendor):
        await vendor.warm()
        warm = pool.opened
        assert warm == (1 if speaking == "http2" else SPARE)
        for _ in range(20):
            answers = await asyncio.gather(events(vendor), events(vendor))
            assert all(answer[-1] == "[DONE]" for answer in answers)
        assert pool.opened == warm
        assert len(servers.world.connections) == warm


@every
async def test_what_a_cancelled_request_took_along_is_replaced_before_it_is_needed(
    speaking: Speaking,
) -> None:
    async with opened(speaking, tokens_per_s=20.0) as (servers, pool, vendor):
        await vendor.warm()
        for _ in range(SPARE):
            async with vendor.ask("POST", "/chat/completions", json=CHAT) as answer:
                async with contextlib.aclosing(answer.events()) as stream:
                    await anext(stream)
        await until(lambda: servers.world.left_early == SPARE)
        await until(lambda: idle(pool) >= (1 if speaking == "http2" else SPARE))
        before = pool.opened
        servers.world.tokens_per_s = 10_000.0
        await asyncio.gather(*(events(vendor) for _ in range(SPARE)))
        assert pool.opened == before


async def test_one_http2_connection_survives_hundreds_of_requests_left_in_the_middle() -> None:
    """Speech that nobody reads must not fill the connection's window: 16 MiB are 340 s of it."""
    async with opened("http2") as (_, pool, vendor):
        await vendor.warm()
        for _ in range(60):
            async with vendor.ask("POST", "/audio/speech", json=SPEECH) as answer:
                async with contextlib.aclosing(answer.pieces()) as pieces:
                    await anext(pieces)
        assert (await events(vendor))[-1] == "[DONE]"
        async with vendor.ask("POST", "/audio/speech", json=SPEECH) as answer:
            assert len(await answer.whole()) > 4_000_000
        assert pool.opened == 1


async def test_cancelling_at_any_moment_leaves_an_http2_connection_whole() -> None:
    async with opened("http2", llm_ms=5.0) as (_, pool, vendor):
        await vendor.warm()

        async def hasty(patience: float) -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await events(vendor)

        for number in range(20):
            await asyncio.gather(*(hasty(0.0005 * number + 0.0001 * other) for other in range(10)))
        assert (await events(vendor))[-1] == "[DONE]"
        assert pool.opened == 1


async def test_a_stalled_answer_leaves_the_others_on_its_connection_alone() -> None:
    async with opened("http2", stall_s=3.0, tokens_per_s=10.0) as (servers, pool, vendor):
        await vendor.warm()
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(events(vendor))
            await until(lambda: servers.world.under_way == 1)
            servers.world.fault_next("llm", "stall")
            with pytest.raises(ProviderUnavailable):
                await events(vendor)
        assert slow.result()[-1] == "[DONE]"
        assert pool.opened == 1, "it was the vendor, not the connection"


async def test_a_vendor_that_restarted_is_reached_again() -> None:
    async with open_vendor_servers() as servers, HttpPool() as pool:
        vendor = pool.vendor(NAMES, base_url=servers.url + "/v1")
        await vendor.warm()
        port = servers.port
        async with open_vendor_servers() as other:
            assert other.port != port
    async with HttpPool() as pool:
        vendor = pool.vendor(NAMES, base_url=f"http://127.0.0.1:{port}/v1")
        with pytest.raises(ProviderUnavailable) as caught:
            await vendor.warm()
        assert caught.value.cause == "unreachable"
        assert "ANTIPHON_OPENAI_BASE_URL" in caught.value.message
        async with open_vendor_servers(port=port):
            assert (await events(vendor))[-1] == "[DONE]"
        # The vendor closed its connections: that is noticed before one is used.
        async with open_vendor_servers(port=port):
            assert (await events(vendor))[-1] == "[DONE]"


async def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    async with open_vendor_servers(speaking="https") as servers, HttpPool() as pool:
        vendor = pool.vendor(NAMES, base_url=servers.url + "/v1")
        with pytest.raises(ProviderRejected) as caught:
            await events(vendor)
        assert caught.value.cause == "tls"
        assert "self-signed" in caught.value.message.lower().replace("self signed", "self-signed")


async def test_tls_where_there_is_none() -> None:
    async with open_vendor_servers() as servers, HttpPool() as pool:
        vendor = pool.vendor(NAMES, base_url=servers.url.replace("http:", "https:") + "/v1")
        with pytest.raises(ProviderError) as caught:
            await events(vendor)
        assert caught.value.cause == "tls"


async def test_a_name_that_does_not_exist() -> None:
    async with HttpPool() as pool:
        vendor = pool.vendor(NAMES, base_url="http://no-such-host.invalid/v1")
        with pytest.raises(ProviderUnavailable) as caught:
            await events(vendor)
        assert caught.value.cause == "unreachable"
        assert "no-such-host.invalid:80" in caught.value.message


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
async def test_a_name_that_cannot_be_one(host: str) -> None:
    async with HttpPool() as pool:
        vendor = pool.vendor(NAMES, base_url=f"http://{host}/v1")
        with pytest.raises(ProviderUnavailable) as caught:
            await events(vendor)
        assert caught.value.cause == "unreachable"
        line = Address(names=NAMES, url=f"ws://{host}/v1", ended=lambda code, reason: cut(NAMES))
        with pytest.raises(ProviderUnavailable) as caught:
            await dial(line)
        assert caught.value.cause == "unreachable"


async def body_that_fails() -> None:
    async with opened() as (_, _, vendor):
        await vendor.warm()
        raise KeyError("ours")


async def test_an_error_of_the_body_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError):
        await body_that_fails()


async def test_adapters_of_one_vendor_that_are_warmed_at_once_share_it_and_end_with_the_pool() -> None:
    async with open_vendor_servers(VendorWorld()) as servers:
        before = len(asyncio.all_tasks())
        async with asyncio.timeout(10), HttpPool() as pool:
            vendors = [pool.vendor(NAMES, base_url=servers.url + "/v1") for _ in range(3)]
            await asyncio.gather(*(vendor.warm() for vendor in vendors))
            assert pool.opened == SPARE
        assert len(asyncio.all_tasks()) <= before + SPARE  # the server's own, one a connection


async def test_adapters_of_one_vendor_warm_it_once_and_the_pool_closes() -> None:
    async with open_vendor_servers() as servers:
        async with asyncio.timeout(10), HttpPool() as pool:
            vendors = [pool.vendor(NAMES, base_url=servers.url + "/v1") for _ in range(3)]
            await asyncio.gather(*(vendor.warm() for vendor in vendors))
            assert pool.opened == SPARE


async def test_a_vendor_that_is_away_at_the_start_says_so_each_time_and_is_warmed_when_it_is_back() -> None:
    async with open_vendor_servers() as servers:
        port = servers.port
    async with asyncio.timeout(10), HttpPool() as pool:
        vendor = pool.vendor(NAMES, base_url=f"http://127.0.0.1:{port}/v1")
        for _ in range(2):
            with pytest.raises(ProviderUnavailable):
                await vendor.warm()
        async with open_vendor_servers(port=port):
            await vendor.warm()
            assert pool.opened == SPARE


async def test_a_vendor_that_is_away_is_told_in_the_name_of_each_that_asks() -> None:
    async with open_vendor_servers() as servers:
        port = servers.port
    async with asyncio.timeout(10), HttpPool() as pool:
        for provider in ("openai:hears", "openai:writes"):
            vendor = pool.vendor(replace(NAMES, provider=provider), base_url=f"http://127.0.0.1:{port}/v1")
            with pytest.raises(ProviderUnavailable, match=provider):
                await vendor.warm()
