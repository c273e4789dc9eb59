"""What happens to HTTP/2 connections: the vendor closes them, resets a stream, breaks the protocol, or falls silent."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from benchmarks.vendor_servers import VendorServers
from benchmarks.vendor_servers.http2 import Http2Link
from tests.providers.test_http_pool import CHAT, events, opened, until

from antiphon.errors import ProviderError, ProviderUnavailable
from antiphon.providers.http import DOUBT_AFTER_S, Patience, Vendor

pytestmark = pytest.mark.real_time

PATIENCE = Patience(connect_s=2.0, first_byte_s=5.0, gap_s=5.0)

UPLOAD = bytes(300_000)
"""More than is sent before the vendor makes room."""


async def outcome(vendor: Vendor) -> str:
    """Of one request: the end of its answer, or the cause of its failure."""
    try:
        return (await events(vendor))[-1]
    except ProviderUnavailable as error:
        return error.cause


class Asking:
    """Requests under way, of some tenths of a second."""

    def __init__(self, servers: VendorServers, vendor: Vendor, group: asyncio.TaskGroup) -> None:
        self._servers = servers
        self._vendor = vendor
        self._group = group

    async def start(self, how_many: int = 1) -> list[asyncio.Task[str]]:
        """Outcomes to come; the vendor has begun to answer each."""
        before = self._servers.world.under_way
        tasks = [self._group.create_task(outcome(self._vendor)) for _ in range(how_many)]
        await until(lambda: self._servers.world.under_way == before + how_many)
        return tasks


def link_of(servers: VendorServers) -> Http2Link:
    (link,) = servers.http2.links
    return link


async def test_a_vendor_that_retires_a_connection_answers_what_is_under_way_and_gets_the_rest_on_a_new_one() -> (
    None
):
    async with opened("http2", tokens_per_s=20.0) as (servers, pool, vendor), asyncio.TaskGroup() as group:
        await vendor.warm()
        under_way = await Asking(servers, vendor, group).start(2)
        link = link_of(servers)
        link.go_away(link.asked[-1])
        assert await outcome(vendor) == "[DONE]"
        assert [await answer for answer in under_way] == ["[DONE]", "[DONE]"]
        assert pool.opened == 2


async def test_the_next_connection_is_opened_before_it_is_needed() -> None:
    async with opened("http2", tokens_per_s=20.0) as (servers, pool, vendor), asyncio.TaskGroup() as group:
        await vendor.warm()
        (answer,) = await Asking(servers, vendor, group).start()
        link = link_of(servers)
        link.go_away(2**31 - 1)
        assert await answer == "[DONE]"
        await until(lambda: len(pool._connections.there(vendor.origin)) == 1)
        assert await outcome(vendor) == "[DONE]"
        assert pool.opened == 2


async def test_a_request_that_a_retiring_connection_did_not_look_at_is_asked_on_the_next() -> None:
    async with opened("http2", tokens_per_s=20.0) as (servers, pool, vendor), asyncio.TaskGroup() as group:
        await vendor.warm()
        asking = Asking(servers, vendor, group)
        (first,) = await asking.start()
        servers.world.llm_ms = 200.0
        second = group.create_task(outcome(vendor))
        link = link_of(servers)
        await until(lambda: len(link.asked) == 3)  # the first is the HEAD
        link.go_away(link.asked[1])
        assert await first == "[DONE]"
        assert await second == "[DONE]"
        assert pool.opened == 2


async def test_an_upload_that_a_retiring_connection_did_not_look_at_is_sent_on_the_next() -> None:
    async with opened("http2") as (servers, pool, vendor), asyncio.TaskGroup() as group:
        await vendor.warm()

        async def upload() -> int:
            with contextlib.suppress(ProviderError):
                async with vendor.ask("POST", "/chat/completions", content=UPLOAD, patience=PATIENCE):
                    pass
            return pool.opened

        link = link_of(servers)
        link.takes_bodies = False
        uploading = group.create_task(upload())
        await until(lambda: len(link.asked) == 2)
        link.go_away(link.asked[0])
        assert await uploading == 2


async def test_a_vendor_that_takes_no_requests_at_all_says_so() -> None:
    async with opened("http2", llm_ms=5_000.0) as (servers, _, vendor), asyncio.TaskGroup() as group:
        answer = group.create_task(outcome(vendor))
        await until(lambda: bool(servers.http2.links) and bool(link_of(servers).asked))
        link_of(servers).go_away(0)
        assert await answer == "cut"


async def test_a_connection_that_is_retired_while_it_is_kept_warm_harms_nobody() -> None:
    async with opened("http2") as (servers, pool, vendor):
        await vendor.warm()
        link = link_of(servers)
        using = asyncio.ensure_future(vendor.use_idle())
        link.go_away(link.asked[-1])
        await using
        assert await outcome(vendor) == "[DONE]"
        assert pool.opened == 2


async def test_a_stream_that_is_reset_leaves_the_others_alone() -> None:
    async with opened("http2", tokens_per_s=20.0) as (servers, pool, vendor), asyncio.TaskGroup() as group:
        await vendor.warm()
        first, second = await Asking(servers, vendor, group).start(2)
        link = link_of(servers)
        link.reset(link.asked[1])
        assert await first == "cut"
        assert await second == "[DONE]"
        assert pool.opened == 1


@pytest.mark.parametrize("ending", [Http2Link.cut, Http2Link.babble])
async def test_a_connection_that_breaks_cuts_what_is_under_way_and_nothing_else(ending: object) -> None:
    async with opened("http2", tokens_per_s=20.0) as (servers, pool, vendor), asyncio.TaskGroup() as group:
        await vendor.warm()
        under_way = await Asking(servers, vendor, group).start(3)
        ending(link_of(servers))  # type: ignore[operator]
        assert [await answer for answer in under_way] == ["cut"] * 3
        assert await outcome(vendor) == "[DONE]"
        assert pool.opened == 2


async def test_a_vendor_that_answers_head_with_a_body_breaks_the_protocol() -> None:
    async with opened("http2") as (servers, _, vendor):
        servers.http2.body_of_heads = b"{}"
        with pytest.raises(ProviderUnavailable) as caught:
            await vendor.warm()
        assert caught.value.cause == "cut"
        assert await outcome(vendor) == "[DONE]"


# ---- connections that are dead and do not know it


async def given_up(vendor: Vendor) -> None:
    """Asked, and left after as long as a chain waits."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DOUBT_AFTER_S + 0.1):
            async with vendor.ask("POST", "/chat/completions", json=CHAT, patience=PATIENCE):
                raise AssertionError("a dead connection answered")


async def test_a_connection_that_died_silently_costs_one_request() -> None:
    async with opened("http2") as (servers, pool, vendor):
        await vendor.warm()
        link_of(servers).deaf = True
        await given_up(vendor)
        assert await outcome(vendor) == "[DONE]"
        assert pool.opened == 2


async def test_who_asks_beside_a_request_that_gets_no_answer_is_answered() -> None:
    async with opened("http2") as (servers, _, vendor), asyncio.TaskGroup() as group:
        await vendor.warm()
        link_of(servers).deaf = True
        waiting = group.create_task(given_up(vendor))
        await asyncio.sleep(DOUBT_AFTER_S + 0.05)
        assert await outcome(vendor) == "[DONE]"
        await waiting


async def test_a_connection_that_dies_in_the_middle_of_an_answer_gets_no_new_requests() -> None:
    async with opened("http2", tokens_per_s=20.0) as (servers, _, vendor):
        await vendor.warm()
        async with vendor.ask("POST", "/chat/completions", json=CHAT, patience=PATIENCE) as answer:
            async with contextlib.aclosing(answer.events()) as stream:
                await anext(stream)
                link_of(servers).deaf = True
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(DOUBT_AFTER_S + 0.1):
                        async for _ in stream:
                            pass
        asked = list(servers.http2.links[0].asked)
        assert await outcome(vendor) == "[DONE]"
        assert servers.http2.links[0].asked == asked


async def test_a_slow_vendor_on_a_connection_that_lives_keeps_it() -> None:
    async with opened("http2", llm_ms=(DOUBT_AFTER_S + 0.2) * 1_000) as (servers, pool, vendor):
        await vendor.warm()
        async with vendor.ask("POST", "/chat/completions", json=CHAT, patience=PATIENCE) as answer:
            await answer.whole()
        servers.world.llm_ms = 0.0
        assert await outcome(vendor) == "[DONE]"
        assert pool.opened == 1


# ---- more than one connection


async def test_no_request_waits_for_another_when_the_vendor_takes_few_at_once() -> None:
    async with opened("http2", tokens_per_s=20.0) as (servers, pool, vendor), asyncio.TaskGroup() as group:
        servers.http2.most_streams = 2
        await vendor.warm()
        answers = await Asking(servers, vendor, group).start(8)
        assert pool.opened == 4
        assert [await answer for answer in answers] == ["[DONE]"] * 8
        again = await Asking(servers, vendor, group).start(8)
        assert [await answer for answer in again] == ["[DONE]"] * 8
        assert pool.opened == 4


async def test_a_vendor_that_takes_many_at_once_gets_one_connection() -> None:
    async with opened("http2", tokens_per_s=20.0) as (servers, pool, vendor), asyncio.TaskGroup() as group:
        await vendor.warm()
        answers = await Asking(servers, vendor, group).start(30)
        assert [await answer for answer in answers] == ["[DONE]"] * 30
        assert pool.opened == 1
