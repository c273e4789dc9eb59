"""The price book: what a provider call costs.

Rows come from ``prices.toml`` beside this file and, before those, from the operator's own. A model that no row names
has no price: it is never taken for free. How a sum is rounded: ``money``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from difflib import get_close_matches
from importlib import resources
from itertools import combinations, groupby
from math import lcm
from pathlib import Path
from typing import TypeVar

from antiphon.conversation.events import MOST, ProviderCall
from antiphon.errors import SettingsError
from antiphon.providers.metering import Kind
from antiphon.usage.price_row import Meter, PriceRow, RowError, parse_row

SCHEMA = 1
"""Layout of a price file that this reader understands."""

SHIPPED = "prices.toml"

STALE_AFTER = timedelta(days=180)
"""Vendors change prices about twice a year: one verified longer ago is to be looked up again."""

TARIFFS_KEPT = 256
"""Models whose rows were looked up; far more than a server uses, and names come from vendors."""

CALLS_KEPT = 512
"""Calls whose price is remembered for whoever asks next: 50 sessions with a turn under way have some 250."""

ALONE: frozenset[Meter] = frozenset({"requests", "compute", "free"})
"""Meters that price a call of any kind by themselves."""

WHOLE: Mapping[Kind, Sequence[frozenset[Meter]]] = {
    "asr": (frozenset({"audio"}), frozenset({"input", "output"})),
    "llm": (frozenset({"input", "output"}),),
    "tts": (frozenset({"characters"}), frozenset({"spoken"})),
}
"""Kind of call → sets of meters, one of which has to be priced for the call to be."""

OTHER_HALF: Mapping[Meter, tuple[frozenset[Meter], str]] = {
    "input": (
        frozenset({"output", "spoken"}),
        "prices the tokens sent but not those that come back; add a row with million_output_tokens (a voice: "
        "million_audio_tokens)",
    ),
    "output": (
        frozenset({"input"}),
        "prices the tokens that come back but not those sent; add a row with million_input_tokens",
    ),
}
"""Meter → one of which has to be priced with it, and what is said when none is."""

TURNED_AWAY = frozenset({"bad_key", "quota", "rate_limit", "invalid_request", "unknown_model", "unknown_voice",
                         "overloaded", "unreachable", "tls", "not_an_api"})  # fmt: skip
"""How a request ends that the vendor did no work for: it sends no bill either. One that timed out or broke off may have
been worked on, and counts."""


K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What a call costs."""

    micros: int
    """Micro-dollars."""
    estimated: bool = False
    """What is billed was worked out from something else, as tokens from characters, or a part of it was not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """A row that should be looked at."""

    row: PriceRow
    problem: str


@dataclass(frozen=True, slots=True)
class Counter:
    """How a meter is billed, in whole numbers: an amount is counted in parts, of which ``scale`` are one."""

    scale: int
    least: int
    """Parts that a request is billed for at the least."""
    step: int
    """Billed in whole steps of so many parts; 0: exactly."""
    per_character: int
    """Parts for a character, where the amount is not told."""
    weight: int
    """What a part costs, in those of a micro-dollar of which a tariff has ``whole``."""

    def billed(self, parts: int) -> int:
        """What is billed for so many parts: at least the minimum, in whole steps."""
        if parts <= 0:
            return 0
        parts = max(parts, self.least)
        return self.step * -(-parts // self.step) if self.step else parts


class Tariff(dict[Meter, PriceRow]):
    """The rows of one model, by what they count; made ready for adding up in whole numbers."""

    def __init__(self, rows: Mapping[Meter, PriceRow]) -> None:
        super().__init__(rows)
        priced = {meter: row for meter, row in rows.items() if meter != "free"}
        scales = {meter: row.parts for meter, row in priced.items()}
        rates = {meter: row.rate / scales[meter] for meter, row in priced.items()}
        self.whole = lcm(*(rate.denominator for rate in rates.values()))
        self.counters: dict[Meter, Counter] = {
            meter: Counter(
                scale=scales[meter],
                least=int(row.least * scales[meter]),
                step=int(row.whole_step * scales[meter]),
                per_character=int(row.per_character * scales[meter]),
                weight=int(rates[meter] * self.whole),
            )
            for meter, row in priced.items()
        }
        if "input" in self.counters:
            # Of one request, so that the minimum is met, and the step filled up, once.
            alike = replace(self.counters["input"], least=0, step=0, per_character=0)
            self.counters.setdefault("cached", alike)
            self.counters.setdefault("cache_write", alike)
        self.kinds = frozenset(kind for kind in WHOLE if is_whole(self, kind))
        """Of calls that have a price with these rows."""


class PriceBook:
    """Rows, the operator's first."""

    def __init__(self, own: Sequence[PriceRow], shipped: Sequence[PriceRow] = ()) -> None:
        self.own = tuple(own)
        self.shipped = tuple(shipped)
        self._day = DayPrices(self, date.min)

    @property
    def rows(self) -> tuple[PriceRow, ...]:
        """All, the operator's first."""
        return self.own + self.shipped

    def on(self, day: date) -> DayPrices:
        """What holds on a day. One day is remembered: calls end today."""
        if day != self._day.day:
            self._day = DayPrices(self, day)
        return self._day

    def price(self, call: ProviderCall, day: date) -> Priced | None:
        """What a call costs on a day; None when no row says so."""
        return (self._day if day == self._day.day else self.on(day)).price(call)

    def tariff(self, name: str, transport: str, day: date) -> Tariff:
        """The rows for ``provider:model``, by what they count."""
        provider, _, model = name.partition(":")
        return self.on(day).tariff(provider, model, transport)

    def knows(self, name: str, kind: Kind, day: date) -> bool:
        """Whether a model's calls have a price, by any transport."""
        return any(kind in self.tariff(name, way, day).kinds for way in ("batch", "stream"))

    def in_use(self, day: date) -> frozenset[PriceRow]:
        """The rows that were looked up for that day."""
        return frozenset(row for tariff in self.on(day).tariffs.values() for row in tariff.values())

    def stale(self, day: date, rows: Iterable[PriceRow] | None = None) -> list[Stale]:
        """Rows past their day, or verified too long ago."""
        found = []
        for row in self.rows if rows is None else rows:
            if row.is_over(day):
                found.append(Stale(row=row, problem=f"retired on {row.retired}"))
            elif row.verified is not None and day - row.verified > STALE_AFTER:
                found.append(Stale(row=row, problem=f"last verified on {row.verified}"))
        return found


class DayPrices:
    """A price book on one day. The same models answer again and again, and a call's price is asked for by the ledger,
    metrics, the operator's page and the caller's message, when it ends and when its reply does: both are kept."""

    def __init__(self, book: PriceBook, day: date) -> None:
        self.day = day
        self.tariffs: dict[tuple[str, str, str], Tariff] = {}
        """Provider, model and transport → its rows."""
        self._book = book
        self._calls: dict[int, tuple[ProviderCall, Priced | None]] = {}
        """``id`` of a call, which is nobody else's as long as the call is kept here → that call, its price."""

    def price(self, call: ProviderCall) -> Priced | None:
        """What a call costs; None when no row says so."""
        known = self._calls.get(id(call))
        if known is None:
            known = _kept(self._calls, CALLS_KEPT)[id(call)] = call, self._price(call)
        return known[1]

    def tariff(self, provider: str, model: str, transport: str) -> Tariff:
        """The rows for a model, by what they count."""
        key = provider, model, transport
        found = self.tariffs.get(key)
        if found is None:
            found = _kept(self.tariffs, TARIFFS_KEPT)[key] = self._look_up(*key)
        return found

    def _price(self, call: ProviderCall) -> Priced | None:
        """By the name of the model that answered, then by the one that was asked."""
        if call.cached or (call.outcome in TURNED_AWAY and call.first_ms is None):
            return Priced(micros=0)
        provider, _, asked = call.provider.partition(":")
        for model in (call.model, asked) if call.model else (asked,):
            tariff = self.tariff(provider, model, call.transport)
            if call.kind in tariff.kinds:
                return _priced(tariff, call)
        return None

    def _look_up(self, provider: str, model: str, transport: str) -> Tariff:
        """Rows that hold; what is over where none does."""

        def fits(row: PriceRow) -> bool:
            return (
                row.provider == provider and row.transport in ("any", transport) and row.nearness(model) > 0
            )

        fitting = [[row for row in rows if fits(row)] for rows in (self._book.own, self._book.shipped)]

        def found(wanted: Callable[[PriceRow], bool]) -> dict[Meter, PriceRow]:
            own, shipped = (_nearest(filter(wanted, rows), model) for rows in fitting)
            return _before(own, shipped)

        held = found(lambda row: row.holds(self.day))
        tariff = Tariff(held)
        return tariff if tariff.kinds else Tariff(_before(held, found(lambda row: row.is_over(self.day))))


def _kept(found: dict[K, V], most: int) -> dict[K, V]:
    """With room for one more: forgotten all at once, as it is quickly found again."""
    if len(found) >= most:
        found.clear()
    return found


def _before(first: Mapping[Meter, PriceRow], others: Mapping[Meter, PriceRow]) -> dict[Meter, PriceRow]:
    """Rows that come before others: what they do not price the others do. A meter that prices alone ends those after
    it, and is ended by any before it."""
    if not first or not ALONE.isdisjoint(first):
        return dict(first or others)
    return {meter: row for meter, row in others.items() if meter not in ALONE} | dict(first)


def _nearest(rows: Iterable[PriceRow], model: str) -> dict[Meter, PriceRow]:
    """Each meter's row, that of the nearest name; of one name the transport's own, the newest."""
    found: dict[Meter, PriceRow] = {}
    ranked = sorted(rows, key=lambda row: (row.nearness(model), row.transport != "any", row.valid_from))
    for _, alike in groupby(reversed(ranked), key=lambda row: row.nearness(model)):
        level: dict[Meter, PriceRow] = {}
        for row in alike:
            if not level or "free" not in (row.meter, *level):
                level.setdefault(row.meter, row)
        found = _before(found, level)
    return found


def is_whole(tariff: Tariff, kind: Kind) -> bool:
    """Whether a call of this kind has a price with these rows."""
    return any(meter in tariff for meter in ALONE) or any(need <= tariff.keys() for need in WHOLE[kind])


def _priced(tariff: Tariff, call: ProviderCall) -> Priced:
    if "free" in tariff:
        return Priced(micros=0)
    counted = quantities(call)
    estimated = call.usage.estimated and "output" in tariff
    parts = 0
    for meter, counter in tariff.counters.items():
        amount = counted.get(meter, 0) * counter.scale
        if not amount and call.kind == "tts" and counter.per_character:
            amount, estimated = counter.per_character * call.usage.characters, True
        parts += counter.billed(amount) * counter.weight
    return Priced(micros=min(_half_even(parts, tariff.whole), MOST), estimated=estimated)


def _half_even(parts: int, whole: int) -> int:
    """``round(Fraction(parts, whole))``, a call's worth faster."""
    micros, rest = divmod(parts, whole)
    up = 2 * rest > whole or (2 * rest == whole and micros % 2 == 1)
    return micros + up


def quantities(call: ProviderCall) -> dict[Meter, int]:
    """What each meter counted in a call. Cached tokens are not counted twice."""
    usage = call.usage
    counted: dict[Meter, int] = {"requests": 1, "compute": round(call.total_ms)}
    match call.kind:
        case "asr":
            counted |= {
                "audio": round(usage.audio_s * 1_000),
                "input": usage.input_tokens,
                "output": usage.output_tokens,
            }
        case "llm":
            cached = min(usage.cached_tokens, usage.input_tokens)
            kept = min(usage.cache_write_tokens, usage.input_tokens - cached)
            counted |= {
                "input": usage.input_tokens - cached - kept,
                "cached": cached,
                "cache_write": kept,
                "output": usage.output_tokens,
            }
        case "tts":
            counted |= {
                "characters": usage.characters,
                "input": usage.input_tokens,
                "spoken": usage.output_tokens,
            }
    return counted


# ---- reading ----------------------------------------------------------------------------------------------


def open_prices(own: Path | None = None, *, compute_hour_usd: float = 0.0) -> PriceBook:
    """The shipped prices and the operator's. ``compute_hour_usd`` is what an hour of embedded models' work costs.
    Raises SettingsError naming file, row and what to do."""
    rows = read_prices(own) if own is not None else ()
    if compute_hour_usd and not any(row.provider == "local" for row in rows):
        rows += (
            PriceRow(
                provider="local",
                model="*",
                unit="compute_hour",
                price=Decimal(repr(compute_hour_usd)),
                source="ANTIPHON_COMPUTE_HOUR_USD",
                file="settings",
            ),
        )
    shipped = resources.files("antiphon.usage").joinpath(SHIPPED).read_text(encoding="utf-8")
    book = PriceBook(rows, parse_prices(shipped, file=SHIPPED))
    _refuse_unknown_providers(book)
    _refuse_half_prices(book.rows)
    return book


def read_prices(path: Path) -> tuple[PriceRow, ...]:
    """The operator's file. Raises SettingsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"ANTIPHON_PRICES={path} cannot be read: {reason}.") from error
    return parse_prices(text, file=str(path))


def parse_prices(text: str, *, file: str) -> tuple[PriceRow, ...]:
    """TOML → rows that fit together. Raises SettingsError."""
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The price file {file} is not TOML: {error}.") from error
    for name in document:
        if name not in ("schema", "price"):
            raise SettingsError(f"The price file {file} has {name!r}; a price is a table [[price]].")
    if document.get("schema", SCHEMA) != SCHEMA:
        raise SettingsError(
            f"The price file {file} has schema {document['schema']!r}; write schema = {SCHEMA}."
        )
    tables = document.get("price", [])
    if not isinstance(tables, list):
        raise SettingsError(f"The price file {file} has one table [price]; write [[price]] above each row.")
    rows = tuple(_row(values, file, number) for number, values in enumerate(tables, 1))
    _refuse_overlaps(rows)
    return rows


def _row(values: object, file: str, number: int) -> PriceRow:
    if not isinstance(values, dict):
        raise SettingsError(
            f"The price file {file}, row {number}: it is {values!r} and no table; write [[price]] above each row."
        )
    try:
        return parse_row(values, file=file, number=number)
    except RowError as error:
        named = ":".join(str(values[field]) for field in ("provider", "model") if field in values)
        where = f"row {number}" + (f" ({named})" if named else "")
        raise SettingsError(f"The price file {file}, {where}: {error}.") from error


def _refuse_overlaps(rows: Sequence[PriceRow]) -> None:
    for one, other in combinations(rows, 2):
        if _overlap(one, other):
            raise SettingsError(
                f"The price file {other.place} says again what row {one.number} says: both hold on the same day. "
                "Remove one, or give the older a `retired` day and the newer a `valid_from` day."
            )


def _overlap(one: PriceRow, other: PriceRow) -> bool:
    names = {one.model, *one.aliases} & {other.model, *other.aliases}
    same_meter = one.meter == other.meter or "free" in (one.meter, other.meter)
    same_way = one.transport == other.transport or "any" in (one.transport, other.transport)
    in_time = one.valid_from < (other.retired or date.max) and other.valid_from < (one.retired or date.max)
    return one.provider == other.provider and bool(names) and same_meter and same_way and in_time


def _refuse_unknown_providers(book: PriceBook) -> None:
    """A row that nobody would ever be billed by. The shipped rows name every provider."""
    known = sorted({row.provider for row in book.shipped})
    for row in book.own:
        if row.provider not in known:
            near = get_close_matches(row.provider.casefold(), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "write one of " + ", ".join(known)
            raise SettingsError(f"The price file {row.place}: there is no provider {row.provider!r}; {hint}")


def _refuse_half_prices(rows: Sequence[PriceRow]) -> None:
    """Tokens in without tokens out is a row forgotten, not a gift."""
    for row in rows:
        others, problem = OTHER_HALF.get(row.meter, (frozenset(), ""))
        if others and not any(other.meter in others and row.meets(other) for other in rows):
            raise SettingsError(f"The price file {row.place} {problem}.")
