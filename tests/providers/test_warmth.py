"""Connections are used before vendors close them, and replaced when they are lost. Virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from antiphon.errors import ProviderUnavailable
from antiphon.providers.warmth import SPARE, WARM_AT_LEAST_EVERY_S, WARM_EVERY_S, Warmth


@dataclass
class Vendor:
    """Closes connections that were idle for ``patience_s``."""

    version: str = "HTTP/1.1"
    patience_s: float = 1e9
    away: bool = False
    odd: bool = False
    """Fails in a way that nobody thought of."""
    opened: int = 0
    knocks: list[float] = field(default_factory=list)
    _used: dict[int, float] = field(default_factory=dict)

    def there(self) -> int:
        self._used = {name: at for name, at in self._used.items() if now() - at < self.patience_s}
        return len(self._used)

    def lose(self) -> None:
        self._used.popitem()

    async def open(self) -> str:
        self._asked()
        self.opened += 1
        name = self.opened
        await asyncio.sleep(0.01)
        self._used[name] = now()
        return self.version

    async def use(self) -> None:
        self.there()
        for name in list(self._used):
            if self.away:
                del self._used[name]
            else:
                self._asked()
                self._used[name] = now()

    def _asked(self) -> None:
        if self.odd:
            raise RuntimeError("nobody thought of this")
        if self.away:
            raise ProviderUnavailable("away", provider="v:m", cause="unreachable")
        self.knocks.append(now())


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def kept(vendor: Vendor) -> AsyncIterator[Warmth]:
    """Warm, and being kept so."""
    warmth = Warmth(open=vendor.open, use=vendor.use, there=vendor.there)
    await warmth.warm()
    keeping = asyncio.ensure_future(warmth.keep())
    try:
        yield warmth
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def test_http1_gets_as_many_as_a_turn_needs_and_http2_one() -> None:
    for version, wanted in (("HTTP/1.1", SPARE), ("HTTP/2", 1)):
        vendor = Vendor(version)
        async with kept(vendor):
            assert (vendor.opened, vendor.there()) == (wanted, wanted)


async def test_idle_connections_are_used_every_now_and_then() -> None:
    vendor = Vendor("HTTP/2")
    async with kept(vendor):
        await asyncio.sleep(4 * WARM_EVERY_S + 1)
        assert len(vendor.knocks) == 5
        assert vendor.opened == 1


async def test_a_vendor_that_closes_soon_is_asked_more_often_until_it_does_not() -> None:
    vendor = Vendor(patience_s=5.0)
    async with kept(vendor):
        await asyncio.sleep(300)
        opened, asked = vendor.opened, len(vendor.knocks)
        await asyncio.sleep(300)
        assert vendor.opened == opened, "none is lost any more"
        assert vendor.there() == SPARE
        assert len(vendor.knocks) - asked <= SPARE * 300 / WARM_AT_LEAST_EVERY_S + SPARE


async def test_a_lost_connection_is_replaced_at_once_and_changes_no_habit() -> None:
    vendor = Vendor()
    async with kept(vendor) as warmth:
        vendor.lose()
        warmth.lost()
        await asyncio.sleep(0.1)
        assert vendor.there() == SPARE
        asked = len(vendor.knocks)
        await asyncio.sleep(WARM_EVERY_S - 1)
        assert len(vendor.knocks) == asked


async def test_a_vendor_that_is_away_is_waited_for() -> None:
    vendor = Vendor("HTTP/2", patience_s=1.0)
    async with kept(vendor):
        vendor.away = True
        await asyncio.sleep(100)
        vendor.away = False
        await asyncio.sleep(WARM_EVERY_S + 1)
        assert vendor.knocks[-1] > 100


async def test_an_error_that_nobody_thought_of_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    vendor = Vendor("HTTP/2")
    async with kept(vendor):
        vendor.odd = True
        await asyncio.sleep(WARM_EVERY_S + 1)
        assert "kept warm" in caplog.text
        vendor.odd = False
        await asyncio.sleep(WARM_EVERY_S + 1)
        assert vendor.knocks[-1] > WARM_EVERY_S + 1


async def test_an_http2_connection_that_ends_after_an_answer_is_replaced_at_once() -> None:
    vendor = Vendor("HTTP/2")
    async with kept(vendor) as warmth:
        warmth.used()
        await asyncio.sleep(0.1)
        assert vendor.opened == 1
        vendor.lose()
        warmth.used()
        await asyncio.sleep(0.1)
        assert (vendor.opened, vendor.there()) == (2, 1)
