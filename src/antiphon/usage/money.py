"""Money: whole micro-dollars, a millionth of a US dollar each.

A call's cost is worked out exactly, as a fraction, and rounded once, to the nearest micro-dollar, a half to the even
one (what ``round`` does). Sums are sums of whole numbers, so that whoever adds up again gets the same.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

MICROS = 1_000_000
"""Micro-dollars in a dollar."""


def micros(dollars: float | Decimal | Fraction) -> int:
    """Dollars → whole micro-dollars. A float is taken as it is written: 0.1 is a tenth."""
    exact = Decimal(repr(dollars)) if isinstance(dollars, float) else dollars
    return round(Fraction(exact) * MICROS)


def dollars(amount: int) -> float:
    """Micro-dollars → dollars, for JSON and metrics."""
    return amount / MICROS


def shown(amount: int) -> str:
    """For people: ``$12.34``; below ten cents with the digits that say something: ``$0.0123``."""
    sign = "-" if amount < 0 else ""
    value = Decimal(abs(amount)) / MICROS
    return f"{sign}${value:.2f}" if value >= Decimal("0.1") or not value else f"{sign}${value:.4f}"
