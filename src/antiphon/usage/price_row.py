"""One price of one model, as ``prices.toml`` writes it, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from math import lcm
from typing import Literal, get_args

from antiphon.usage.money import MICROS

Meter = Literal[
    "audio", "input", "cached", "cache_write", "output", "characters", "spoken", "requests", "compute", "free"
]
"""What is counted: ms of sound; prompt tokens that no cache had; those that one had; those that were put into one;
tokens written; characters spoken; tokens of the sound made; requests; ms that calls took; nothing."""

UNITS: Mapping[str, tuple[Meter, int]] = {
    "second": ("audio", 1_000),
    "minute": ("audio", 60_000),
    "hour": ("audio", 3_600_000),
    "million_input_tokens": ("input", 1_000_000),
    "million_cached_tokens": ("cached", 1_000_000),
    "million_cache_write_tokens": ("cache_write", 1_000_000),
    "million_output_tokens": ("output", 1_000_000),
    "million_characters": ("characters", 1_000_000),
    "million_audio_tokens": ("spoken", 1_000_000),
    "request": ("requests", 1),
    "compute_hour": ("compute", 3_600_000),
    "free": ("free", 1),
}
"""Unit of a price → what is counted, and how many of it make one unit."""

Transport = Literal["any", "batch", "stream"]

FIELDS = ("provider", "model", "aliases", "transport", "unit", "price", "minimum", "step", "per_character",
          "source", "verified", "valid_from", "retired")  # fmt: skip

DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
"""How vendors mark one version of a model: ``-2024-07-18``, ``-20241022``, ``-latest``."""

NEAR_EXACT, NEAR_DATED = 10_000, 9_000
"""How near a name is to a row; a row ending in * counts the letters before it."""


class RowError(ValueError):
    """A row that cannot be used: what is wrong and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """What one model charges for one thing."""

    provider: str
    model: str
    """A name, or the beginning of names and ``*``."""
    aliases: tuple[str, ...] = ()
    transport: Transport = "any"
    unit: str
    price: Decimal
    """US dollars a unit."""
    minimum: Decimal = Decimal(0)
    """The least that a request is billed for: seconds, tokens or characters."""
    step: Decimal = Decimal(0)
    """Billed in whole steps of so many; 0: exactly."""
    per_character: Decimal = Decimal(0)
    """Tokens a character, where a voice is billed by tokens and does not count them itself."""
    source: str = ""
    verified: date | None = None
    valid_from: date = date.min
    retired: date | None = None
    """The first day on which it no longer holds."""
    file: str = ""
    number: int = 0
    """Which row of the file, from 1."""

    @property
    def meter(self) -> Meter:
        return UNITS[self.unit][0]

    @property
    def rate(self) -> Fraction:
        """Micro-dollars for one of what the meter counts."""
        return Fraction(self.price) * MICROS / UNITS[self.unit][1]

    @property
    def name(self) -> str:
        return f"{self.provider}:{self.model}"

    @property
    def place(self) -> str:
        """Where it is written, for messages."""
        return f"{self.file}, row {self.number} ({self.name}, {self.unit})"

    @property
    def least(self) -> Fraction:
        """What a request is billed for at the least, of what the meter counts."""
        return Fraction(self.minimum) * self._scale

    @property
    def whole_step(self) -> Fraction:
        """``step``, of what the meter counts."""
        return Fraction(self.step) * self._scale

    @property
    def parts(self) -> int:
        """Into how many one of what the meter counts is to be divided, so that all of this is whole."""
        exact = (self.least, self.whole_step, Fraction(self.per_character))
        return lcm(*(number.denominator for number in exact))

    @property
    def _scale(self) -> int:
        return 1_000 if self.meter == "audio" else 1

    def nearness(self, model: str) -> int:
        """How well a model's name fits this row; 0 when it does not."""
        return max((_nearness(pattern, model) for pattern in (self.model, *self.aliases)), default=0)

    def meets(self, other: PriceRow) -> bool:
        """Whether there can be a model that both are for."""
        mine, theirs = (self.model, *self.aliases), (other.model, *other.aliases)
        return self.provider == other.provider and any(_meet(one, two) for one in mine for two in theirs)

    def holds(self, day: date) -> bool:
        """Whether the price is this one on that day."""
        return self.valid_from <= day and not self.is_over(day)

    def is_over(self, day: date) -> bool:
        """Whether it was retired by that day."""
        return self.retired is not None and self.retired <= day


def _nearness(pattern: str, model: str) -> int:
    if pattern == model:
        return NEAR_EXACT
    if pattern.endswith("*"):
        return len(pattern) if model.startswith(pattern[:-1]) else 0
    return NEAR_DATED if DATED.sub("", model) == pattern else 0


def _meet(one: str, other: str) -> bool:
    if one.endswith("*") and other.endswith("*"):
        return one.startswith(other[:-1]) or other.startswith(one[:-1])
    return _nearness(one, other) > 0 or _nearness(other, one) > 0


def parse_row(values: Mapping[str, object], *, file: str, number: int) -> PriceRow:
    """One ``[[price]]`` table. Raises RowError."""
    for field in values:
        if field not in FIELDS:
            near = get_close_matches(field, FIELDS, n=1)
            raise RowError(
                f"{field!r} is no field of a price" + (f"; did you mean {near[0]!r}?" if near else "")
            )
    unit = _text(values, "unit", required=True)
    if unit not in UNITS:
        near = get_close_matches(unit, UNITS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "use one of " + ", ".join(UNITS)
        raise RowError(f"unit is {unit!r}, which there is not; {hint}")
    if (unit == "free") == ("price" in values):
        raise RowError("a free row has no price" if unit == "free" else "price is missing: US dollars a unit")
    transport = _text(values, "transport") or "any"
    if transport not in get_args(Transport):
        raise RowError(f"transport is {transport!r}; write batch, stream or any")
    row = PriceRow(
        provider=_text(values, "provider", required=True),
        model=_text(values, "model", required=True),
        aliases=_names(values.get("aliases", [])),
        transport=transport,  # type: ignore[arg-type]
        unit=unit,
        price=_amount(values, "price"),
        minimum=_amount(values, "minimum"),
        step=_amount(values, "step"),
        per_character=_amount(values, "per_character"),
        source=_text(values, "source"),
        verified=_day(values, "verified"),
        valid_from=_day(values, "valid_from") or date.min,
        retired=_day(values, "retired"),
        file=file,
        number=number,
    )
    if row.retired is not None and row.retired <= row.valid_from:
        raise RowError("retired is not after valid_from: it would never hold")
    return row


def _text(values: Mapping[str, object], field: str, *, required: bool = False) -> str:
    value = values.get(field, "")
    if not isinstance(value, str):
        raise RowError(f"{field} is {value!r}; write it in quotes")
    if required and not value.strip():
        raise RowError(f"{field} is missing")
    if "*" in value[:-1]:
        raise RowError(f"{field} is {value!r}; a * may only be at the end")
    return value.strip()


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise RowError('aliases is not a list of names: write aliases = ["name", "other"]')
    return tuple(_text({"aliases": name}, "aliases", required=True) for name in value)


def _amount(values: Mapping[str, object], field: str) -> Decimal:
    value = values.get(field, 0)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise RowError(f"{field} is {value!r}; write a number, such as 0.006, without quotes")
    amount = Decimal(value)
    if not amount.is_finite() or amount < 0:
        raise RowError(f"{field} is {value}; it cannot be below zero, or infinite")
    return amount


def _day(values: Mapping[str, object], field: str) -> date | None:
    value = values.get(field)
    if value is None or type(value) is date:
        return value
    raise RowError(f"{field} is {value!r}; write a day without quotes: 2026-11-20")
