"""Which requests go through a proxy, and that nothing is lost inside a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from benchmarks.vendor_servers import VendorWorld, open_vendor_servers
from tests.providers.test_http_pool import CHAT, NAMES, events

from antiphon.errors import ProviderUnavailable, SettingsError
from antiphon.providers import sockets
from antiphon.providers.http import DOUBT_AFTER_S, HttpPool, Patience
from antiphon.providers.proxies import Proxies

BOTH = {"http": "http://proxy:1", "https": "http://proxy:2"}


@pytest.mark.parametrize(
    ("named", "url", "proxy"),
    [
        (BOTH, "http://vendor.example/v1", "http://proxy:1"),
        (BOTH, "https://vendor.example/v1", "http://proxy:2"),
        (BOTH, "ws://vendor.example/v1", "http://proxy:1"),
        (BOTH, "wss://vendor.example/v1", "http://proxy:2"),
        ({"https": "http://proxy:2"}, "http://vendor.example", None),
        ({"all": "http://proxy:3"}, "https://vendor.example", "http://proxy:3"),
        ({"all": "http://proxy:3", **BOTH}, "https://vendor.example", "http://proxy:2"),
        ({"https": "proxy:2"}, "https://vendor.example", "http://proxy:2"),
        ({"all": "socks5://proxy:3"}, "https://vendor.example", None),
        (BOTH, "http://127.0.0.1:11434/v1", None),
        (BOTH, "http://127.1.2.3/v1", None),
        (BOTH, "http://[::1]:11434/v1", None),
        (BOTH, "http://localhost:11434/v1", None),
        (BOTH, "http://192.168.1.20:11434/v1", "http://proxy:1"),
        ({**BOTH, "no": "vendor.example"}, "https://vendor.example", None),
        ({**BOTH, "no": "vendor.example"}, "https://api.vendor.example", None),
        ({**BOTH, "no": "vendor.example"}, "https://othervendor.example", "http://proxy:2"),
        ({**BOTH, "no": "a.example, .vendor.example"}, "https://api.vendor.example", None),
        ({**BOTH, "no": "*.vendor.example"}, "https://api.vendor.example", None),
        ({**BOTH, "no": "vendor.example:444"}, "https://vendor.example", "http://proxy:2"),
        ({**BOTH, "no": "vendor.example:444"}, "https://vendor.example:444", None),
        ({**BOTH, "no": "*"}, "https://vendor.example", None),
        ({}, "https://vendor.example", None),
        ({"https": "http://me@proxy:2/path?x"}, "https://vendor.example", "http://me:@proxy:2"),
        ({"https": "[::1]:2"}, "https://vendor.example", "http://[::1]:2"),
        ({"https": "http://proxy:port"}, "http://vendor.example", None),
        ({"https": "http://proxy:port"}, "https://127.0.0.1", None),
    ],
)
def test_which_proxy_it_goes_through(named: dict[str, str], url: str, proxy: str | None) -> None:
    assert Proxies(named).address_for(url) == proxy


WRONG = [
    ("http://proxy:port", "its port is not a number"),
    ("http://me:SECRET@proxy:port", "its port is not a number"),
    ("http://me:SECRET/1@proxy:3128", "its port is not a number"),
    ("proxy:99999", "its port is not a number"),
    ("http://[bad", "no host can be called that"),
    ("http://me:SECRET@" + "x" * 70 + ":3128", "no host can be called that"),
    ("http://a b:3128", "no host can be called that"),
    ("http://me:SECRET@", "there is no host in it"),
    ("http://:3128", "there is no host in it"),
]


@pytest.mark.parametrize(("address", "why"), WRONG)
@pytest.mark.parametrize("named", ["https", "all"])
def test_a_proxy_that_is_named_wrongly_is_told_without_its_password(
    named: str, address: str, why: str
) -> None:
    with pytest.raises(SettingsError) as told:
        Proxies({named: address}).address_for("wss://vendor.example/v1")
    assert told.value.message.startswith(f"{named.upper()}_PROXY is not the address of a proxy: {why}")
    assert "SECRET" not in told.value.message


async def test_it_is_told_as_an_adapter_is_put_together_not_in_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = Proxies({"https": "http://proxy:port"})
    with pytest.raises(SettingsError, match="HTTPS_PROXY"):
        HttpPool(proxies=wrong).vendor(NAMES, base_url="https://vendor.example/v1")
    HttpPool(proxies=wrong).vendor(NAMES, base_url="http://127.0.0.1:11434/v1")
    monkeypatch.setattr(sockets, "of_environment", lambda: wrong)
    with pytest.raises(SettingsError, match="HTTPS_PROXY"):
        async with sockets.open_lines("https://vendor.example/v1"):
            pass


@dataclass
class Proxy:
    """A proxy that takes every name for this machine."""

    port: int = 0
    refuses: bool = False
    asked: list[list[str]] = field(default_factory=list)
    """Of each connection: the lines of its head."""

    @property
    def address(self) -> str:
        return f"http://me:secret@127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            self.asked.append(head)
            if self.refuses:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            else:
                port = int(head[0].split()[1].rpartition(":")[2])
                there, onwards = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass_on(reader, onwards))
                    group.create_task(_pass_on(there, writer))
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def open_proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


@pytest.mark.real_time
async def test_a_tunnel_has_all_that_a_connection_has() -> None:
    async with (
        open_proxy() as proxy,
        open_vendor_servers(VendorWorld(tokens_per_s=50.0), speaking="http2") as servers,
    ):
        trust = servers.trust()
        trust.check_hostname = False
        async with HttpPool(trust=trust, proxies=Proxies({"https": proxy.address})) as pool:
            patience = Patience(connect_s=2.0, first_byte_s=5.0)
            vendor = pool.vendor(NAMES, base_url=f"https://vendor.test:{servers.port}/v1", patience=patience)
            await vendor.warm()
            assert proxy.asked[0][0] == f"CONNECT vendor.test:{servers.port} HTTP/1.1"
            assert "Proxy-Authorization: Basic bWU6c2VjcmV0" in proxy.asked[0]
            async with vendor.ask("POST", "/chat/completions", json=CHAT) as answer:
                async with contextlib.aclosing(answer.events()) as stream:
                    await anext(stream)
            async with asyncio.timeout(5):
                while not servers.world.left_early:
                    await servers.world.settled.wait()
                    servers.world.settled.clear()
            assert (await events(vendor))[-1] == "[DONE]"
            assert pool.opened == 1
            servers.http2.links[0].deaf = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DOUBT_AFTER_S + 0.1):
                    await events(vendor)
            assert (await events(vendor))[-1] == "[DONE]"
            assert len(proxy.asked) == 2


@pytest.mark.real_time
async def test_a_proxy_that_refuses_is_named() -> None:
    async with open_proxy() as proxy:
        proxy.refuses = True
        async with HttpPool(proxies=Proxies({"https": proxy.address})) as pool:
            vendor = pool.vendor(NAMES, base_url="https://vendor.test/v1")
            with pytest.raises(ProviderUnavailable, match="through the proxy") as caught:
                await events(vendor)
            assert caught.value.cause == "unreachable"
            assert "407" in caught.value.message
            assert "secret" not in caught.value.message


@pytest.mark.real_time
async def test_a_server_on_this_machine_is_asked_without_a_proxy() -> None:
    nobody = {"http": "http://127.0.0.1:9", "https": "http://127.0.0.1:9"}
    async with open_vendor_servers() as servers, HttpPool(proxies=Proxies(nobody)) as pool:
        vendor = pool.vendor(NAMES, base_url=servers.url + "/v1")
        assert (await events(vendor))[-1] == "[DONE]"
