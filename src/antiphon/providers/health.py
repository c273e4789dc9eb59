"""How providers do, as metrics, the operator page and ``doctor`` show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from antiphon.providers.metering import Kind

Breaker = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """One provider in one role."""

    kind: Kind
    provider: str
    """``provider:model``"""
    position: int
    """0 is the preferred one, 1 its first fallback."""
    breaker: Breaker = "closed"
    calls: int = 0
    """Requests sent since the start."""
    failures: dict[str, int] = field(default_factory=dict)
    """Cause (``timeout``, ``rate_limit``, ``bad_key``, …) → how often."""
    retries: int = 0
    hedges: int = 0
    fallbacks: int = 0
    """How often the next in the chain was asked instead."""
    first_ms: float | None = None
    """Median time to the first result of late, ms."""
    last_error: str = ""
    """For people, without keys; empty when there was none."""
