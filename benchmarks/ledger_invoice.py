"""What a vendor writes on its invoice: amounts from its own edge, the shipped prices, and arithmetic of its own.

Nothing here comes from ``antiphon.usage``: a slip in the price book, its reader or its rounding shows as a difference.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

import antiphon

TODAY = date(2026, 11, 23)
"""When it all takes place."""

MICRO = Decimal(1_000_000)

SECONDS = {"second": 1, "minute": 60, "hour": 3_600}

LETTERS_A_TOKEN = 4
"""The stated rule (docs/costs.md) for a reply whose count of tokens never reached the client: four letters are one."""


@dataclass(slots=True, kw_only=True)
class Bill:
    """One request, as its vendor saw it."""

    vendor: str
    """``provider:model``"""
    kind: Literal["asr", "llm", "tts"]
    transport: Literal["batch", "stream"] = "batch"
    samples: int = 0
    """Sound that arrived, at 16 kHz."""
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0
    """To be spoken."""
    letters_in: int = 0
    letters_out: int = 0
    """Of a prompt, and of what was delivered of the reply."""
    counted: bool = False
    """Whether the count of tokens was delivered to the client."""
    turned_away: bool = False
    """Refused before any work: no bill."""

    @property
    def micros(self) -> int:
        """Micro-dollars, each request rounded half to even."""
        if self.turned_away:
            return 0
        dollars = {"asr": self._heard, "llm": self._written, "tts": self._spoken}[self.kind]()
        return int((dollars * MICRO).quantize(Decimal(1), ROUND_HALF_EVEN))

    def _heard(self) -> Decimal:
        """Whole milliseconds, as the ledger keeps them."""
        ms = (Decimal(self.samples) / 16).quantize(Decimal(1), ROUND_HALF_EVEN)
        row, seconds = _sound_row(self.vendor, self.transport)
        least = Decimal(row.get("minimum", 0)) * 1_000
        return max(ms, least) / 1_000 / seconds * Decimal(row["price"]) if ms else Decimal(0)

    def _written(self) -> Decimal:
        price = _prices(self.vendor)
        plain, cached, kept, wrote = self._tokens()
        dear = price["million_input_tokens"]
        return (
            plain * dear
            + cached * price.get("million_cached_tokens", dear)
            + kept * price.get("million_cache_write_tokens", dear)
            + wrote * price["million_output_tokens"]
        ) / MICRO

    def _tokens(self) -> tuple[int, int, int, int]:
        if self.counted:
            plain = self.input_tokens - self.cached_tokens - self.cache_write_tokens
            return plain, self.cached_tokens, self.cache_write_tokens, self.output_tokens
        return -(-self.letters_in // LETTERS_A_TOKEN), 0, 0, -(-self.letters_out // LETTERS_A_TOKEN)

    def _spoken(self) -> Decimal:
        return self.characters * _prices(self.vendor)["million_characters"] / MICRO


@dataclass
class Invoices:
    """All vendors' bills; with a file, one text line at the begin and one at the end of each request."""

    file: int | None = None
    bills: list[Bill] = field(default_factory=list)
    begun: int = 0

    def begin(self) -> int:
        self.begun += 1
        self._write(f"B {self.begun}")
        return self.begun

    def end(self, number: int, bill: Bill) -> None:
        self.bills.append(bill)
        self._write(f"E {number} {bill.micros}")

    def by_provider(self) -> dict[str, int]:
        """Micro-dollars."""
        found: dict[str, int] = {}
        for bill in self.bills:
            provider = bill.vendor.partition(":")[0]
            found[provider] = found.get(provider, 0) + bill.micros
        return found

    def _write(self, text: str) -> None:
        if self.file is not None:
            os.write(self.file, (text + "\n").encode())


@cache
def _shipped() -> list[Mapping[str, Any]]:
    text = (Path(antiphon.__file__).parent / "usage" / "prices.toml").read_text()
    rows: list[Mapping[str, Any]] = tomllib.loads(text, parse_float=Decimal)["price"]
    return [
        row
        for row in rows
        if row.get("valid_from", date.min) <= TODAY and row.get("retired", date.max) > TODAY
    ]


def _rows(vendor: str) -> list[Mapping[str, Any]]:
    provider, _, model = vendor.partition(":")
    return [row for row in _shipped() if (row["provider"], row["model"]) == (provider, model)]


@cache
def _prices(vendor: str) -> dict[str, Decimal]:
    return {row["unit"]: Decimal(row["price"]) for row in _rows(vendor)}


@cache
def _sound_row(vendor: str, transport: str) -> tuple[Mapping[str, Any], int]:
    (row,) = [row for row in _rows(vendor) if row.get("transport", transport) in (transport, "any")]
    return row, SECONDS[row["unit"]]
