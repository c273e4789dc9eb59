"""A stretch of time as people want to see it: stages against the budget, providers and what they cost, what went
wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from antiphon.telemetry.latency_budget import LIMIT_MS, STAGES
from antiphon.telemetry.pricing import MICRO
from antiphon.telemetry.tally import ProviderTally, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One stage of the turns, in ms."""

    stage: str
    budget_ms: float | None
    """None: the course gives it none."""
    typical_ms: float | None
    """Half of the turns took no longer (the median)."""
    p95_ms: float | None
    """Nineteen in twenty took no longer."""
    within: float | None
    """Share of the turns, 0-1, that kept to the budget; exact."""
    late: bool
    """Whether most of them did not."""
    turns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """One provider in one role."""

    kind: str
    provider: str
    calls: int
    cached: int
    failed: int
    errors: Mapping[str, int]
    first_ms: float | None
    """Median time to its first result."""
    first_p95_ms: float | None
    audio_minutes: float
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    characters: int
    cost_usd: float
    wasted_usd: float
    """The part of ``cost_usd`` for answers that were prepared and thrown away."""
    unpriced: int
    """Calls whose price is not known, and which are missing in ``cost_usd``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A day, or any other stretch."""

    sessions: int
    most_sessions: int
    refused: Mapping[str, int]
    turns: int
    interrupted: int
    failed: int
    errors: Mapping[str, int]
    signs: Mapping[str, int]
    first_sound: StageRow
    stages: tuple[StageRow, ...]
    providers: tuple[ProviderRow, ...]
    cost_usd: float
    wasted_usd: float
    unpriced: int

    @classmethod
    def of(cls, tally: Tally) -> Report:
        """What a tally comes to."""
        names = [*STAGES, *sorted(set(tally.stages) - set(STAGES))]
        providers = sorted(
            tally.providers.items(), key=lambda item: (KIND_ORDER.get(item[0][0], 9), -item[1].calls)
        )
        return cls(
            sessions=tally.sessions,
            most_sessions=tally.most_sessions,
            refused=dict(tally.refused.most_common()),
            turns=tally.turns,
            interrupted=tally.interrupted,
            failed=tally.failed,
            errors=dict(tally.errors.most_common()),
            signs=dict(tally.signs),
            first_sound=stage_row(tally, "first_sound"),
            stages=tuple(stage_row(tally, name) for name in names if name in tally.stages),
            providers=tuple(_provider(*key, found) for key, found in providers),
            cost_usd=tally.cost_micro / MICRO,
            wasted_usd=sum(found.wasted_micro for found in tally.providers.values()) / MICRO,
            unpriced=sum(found.unpriced for found in tally.providers.values()),
        )

    def to_json(self) -> dict[str, Any]:
        """As the operator's API and ``antiphon report --json`` tell it."""
        return asdict(self)


KIND_ORDER = {"asr": 0, "llm": 1, "tts": 2}
"""Of providers; those of a newer version come after these."""


def stage_row(tally: Tally, name: str) -> StageRow:
    """A stage, or ``first_sound``."""
    spread, budget_ms = tally.stage(name), LIMIT_MS.get(name)
    within = None if budget_ms is None or not spread.total else tally.within[name] / spread.total

    def quantile(share: float) -> float | None:
        found = spread.quantile(share)
        if found is not None and budget_ms is not None and within is not None:
            # Near the budget its bucket may lie on the wrong side of it; which side is known.
            found = min(found, budget_ms) if within >= share else max(found, budget_ms)
        return rounded(found)

    return StageRow(
        stage=name,
        budget_ms=budget_ms,
        typical_ms=quantile(0.5),
        p95_ms=quantile(0.95),
        within=within,
        late=within is not None and within < 0.5,
        turns=spread.total,
    )


def _provider(kind: str, name: str, tally: ProviderTally) -> ProviderRow:
    return ProviderRow(
        kind=kind,
        provider=name,
        calls=tally.calls,
        cached=tally.cached,
        failed=tally.errors.total(),
        errors=dict(tally.errors.most_common()),
        first_ms=rounded(tally.first_ms.quantile(0.5)),
        first_p95_ms=rounded(tally.first_ms.quantile(0.95)),
        audio_minutes=round(tally.audio_s / 60, 2),
        input_tokens=tally.input_tokens,
        cached_tokens=tally.cached_tokens,
        output_tokens=tally.output_tokens,
        characters=tally.characters,
        cost_usd=tally.cost_micro / MICRO,
        wasted_usd=tally.wasted_micro / MICRO,
        unpriced=tally.unpriced,
    )


def rounded(ms: float | None) -> float | None:
    """To a millisecond, which is finer than buckets of 4 % are from 25 ms on."""
    return None if ms is None else round(ms, 1 if ms < 25 else 0)
