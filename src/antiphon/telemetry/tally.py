"""What happened in a stretch of time, in numbers that add up. Pure: folds events, reads no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from antiphon.conversation.events import ProviderCall, ReplyDone
from antiphon.telemetry.latency_budget import LIMIT_MS
from antiphon.telemetry.signs import withdrawn
from antiphon.telemetry.spread import Spread

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What ``Tally.from_json`` raises when it is told something else."""


@dataclass(slots=True)
class ProviderTally:
    """One provider in one role. Money is whole micro-dollars."""

    calls: int = 0
    """Requests that were sent; what came from our own cache is not among them."""
    cached: int = 0
    """Answered from our own cache instead."""
    cost_micro: int = 0
    wasted_micro: int = 0
    """The part of ``cost_micro`` that was worked ahead and thrown away."""
    unpriced: int = 0
    """Calls whose price is not known."""
    audio_s: float = 0.0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Cause → how often."""
    first_ms: Spread = field(default_factory=Spread)
    """From the request to the first thing it gave."""

    def add(self, call: ProviderCall, cost_micro: int | None) -> None:
        """One more request; ``cost_micro`` None: its price is not known."""
        if call.cached:
            self.cached += 1
            return
        self.calls += 1
        self.cost_micro += cost_micro or 0
        self.unpriced += cost_micro is None
        self.audio_s += call.usage.audio_s
        self.input_tokens += call.usage.input_tokens
        self.cached_tokens += call.usage.cached_tokens
        self.output_tokens += call.usage.output_tokens
        self.characters += call.usage.characters
        if failed(call):
            self.errors[call.outcome] += 1
        if call.first_ms is not None:
            self.first_ms.add(call.first_ms)

    def merge(self, other: ProviderTally) -> None:
        """All of the other's too."""
        for name in _PROVIDER_SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors.update(other.errors)
        self.first_ms.merge(other.first_ms)


_PROVIDER_SUMS = ("calls", "cached", "cost_micro", "wasted_micro", "unpriced", "audio_s", "input_tokens",
                  "cached_tokens", "output_tokens", "characters")  # fmt: skip


@dataclass(slots=True)
class Tally:
    """A minute, an hour, a day."""

    turns: int = 0
    """Replies that are over, heard to the end, cut short or failed."""
    interrupted: int = 0
    failed: int = 0
    """Turns that ended with an error."""
    sessions: int = 0
    """Conversations that began."""
    most_sessions: int = 0
    """Most of them at once."""
    refused: Counter[str] = field(default_factory=Counter)
    """Reason → how many callers were not let in."""
    errors: Counter[str] = field(default_factory=Counter)
    """Code → how many turns ended with it."""
    signs: Counter[str] = field(default_factory=Counter)
    """``Sign`` → how often."""
    first_sound: Spread = field(default_factory=Spread)
    """ms from the last word to the first sound sent."""
    stages: dict[str, Spread] = field(default_factory=dict)
    """Stage → ms of it."""
    within: Counter[str] = field(default_factory=Counter)
    """Stage, or ``first_sound`` → how many turns kept to its budget. Counted by itself: a spread knows it to 2 % of the
    budget only, and turns that all take about that long would all be in or all be out."""
    providers: dict[tuple[str, str], ProviderTally] = field(default_factory=dict)
    """(kind, ``provider:model``) → what it did."""

    def reply_done(self, event: ReplyDone, wasted: Mapping[tuple[str, str], int]) -> None:
        """A turn is over. ``wasted``: (kind, provider) → micro-dollars of it that were thrown away."""
        if not withdrawn(event):
            self.turns += 1
            self.interrupted += event.interrupted
        if event.error:
            self.failed += 1
            self.errors[event.error] += 1
        for stage, ms in event.latency_ms.items():
            self.took(stage, ms)
        for key, micro in wasted.items():
            self.provider(*key).wasted_micro += micro

    def took(self, stage: str, ms: float) -> None:
        """A turn's stage, or its ``first_sound``, took this long."""
        self.stage(stage).add(ms)
        if (limit := LIMIT_MS.get(stage)) is not None:
            self.within[stage] += ms <= limit

    def stage(self, name: str) -> Spread:
        """The stage's, made when it is new."""
        if name == "first_sound":
            return self.first_sound
        spread = self.stages.get(name)
        if spread is None:
            spread = self.stages[name] = Spread()
        return spread

    def provider(self, kind: str, name: str) -> ProviderTally:
        """The provider's, made when it is new."""
        found = self.providers.get((kind, name))
        if found is None:
            found = self.providers[kind, name] = ProviderTally()
        return found

    @property
    def cost_micro(self) -> int:
        """Micro-dollars of all calls."""
        return sum(provider.cost_micro for provider in self.providers.values())

    @property
    def provider_errors(self) -> int:
        """Provider calls that failed."""
        return sum(provider.errors.total() for provider in self.providers.values())

    def merge(self, other: Tally) -> None:
        """All of the other's too; the most sessions at once are the larger of both."""
        self.turns += other.turns
        self.interrupted += other.interrupted
        self.failed += other.failed
        self.sessions += other.sessions
        self.most_sessions = max(self.most_sessions, other.most_sessions)
        self.refused.update(other.refused)
        self.errors.update(other.errors)
        self.signs.update(other.signs)
        self.within.update(other.within)
        self.first_sound.merge(other.first_sound)
        for stage, spread in other.stages.items():
            self.stage(stage).merge(spread)
        for (kind, name), provider in other.providers.items():
            self.provider(kind, name).merge(provider)

    def to_json(self) -> dict[str, Any]:
        """As a file keeps it; what is empty is left out."""
        whole = {
            "turns": self.turns,
            "interrupted": self.interrupted,
            "failed": self.failed,
            "sessions": self.sessions,
            "most_sessions": self.most_sessions,
            "refused": dict(self.refused),
            "errors": dict(self.errors),
            "signs": dict(self.signs),
            "first_sound": self.first_sound.to_json(),
            "stages": {stage: spread.to_json() for stage, spread in self.stages.items()},
            "within": dict(self.within),
            "providers": [_provider_json(*key, tally) for key, tally in self.providers.items()],
        }
        return {name: value for name, value in whole.items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tally:
        """What ``to_json`` gave. Raises one of ``UNREADABLE`` when it is something else."""
        first_sound = Spread.from_json(data.get("first_sound", {}))
        stages = {name: Spread.from_json(counts) for name, counts in data.get("stages", {}).items()}
        return cls(
            turns=int(data.get("turns", 0)),
            interrupted=int(data.get("interrupted", 0)),
            failed=int(data.get("failed", 0)),
            sessions=int(data.get("sessions", 0)),
            most_sessions=int(data.get("most_sessions", 0)),
            refused=_counter(data.get("refused", {})),
            errors=_counter(data.get("errors", {})),
            signs=_counter(data.get("signs", {})),
            first_sound=first_sound,
            stages=stages,
            within=_within({**stages, "first_sound": first_sound}, _counter(data.get("within", {}))),
            providers={
                (str(entry["kind"]), str(entry["provider"])): _provider_of(entry)
                for entry in data.get("providers", ())
            },
        )


def wasted_micro(calls: Iterable[tuple[ProviderCall, int | None]]) -> dict[tuple[str, str], int]:
    """(kind, provider) → micro-dollars of the calls that were thrown away."""
    wasted: Counter[tuple[str, str]] = Counter()
    for call, cost in calls:
        if call.discarded and cost:
            wasted[call.kind, call.provider] += cost
    return dict(wasted)


def failed(call: ProviderCall) -> bool:
    """Whether the provider, and not we, ended it badly."""
    return call.outcome not in ("ok", "cancelled") and not call.cancelled


def whole(tallies: Iterable[Tally]) -> Tally:
    """All of them as one."""
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


def _provider_json(kind: str, name: str, tally: ProviderTally) -> dict[str, Any]:
    sums = {field: getattr(tally, field) for field in _PROVIDER_SUMS}
    filled = {"errors": dict(tally.errors), "first_ms": tally.first_ms.to_json(), **sums}
    return {"kind": kind, "provider": name, **{key: value for key, value in filled.items() if value}}


def _provider_of(entry: Mapping[str, Any]) -> ProviderTally:
    tally = ProviderTally(
        errors=_counter(entry.get("errors", {})), first_ms=Spread.from_json(entry.get("first_ms", {}))
    )
    for name in _PROVIDER_SUMS:
        value = entry.get(name, 0)
        if not isfinite(value):
            raise ValueError(f"{name} is {value}")
        setattr(tally, name, float(value) if name == "audio_s" else int(value))
    return tally


def _within(spreads: Mapping[str, Spread], counted: Mapping[str, int]) -> Counter[str]:
    """Of a version that did not count it, what the spread says."""
    return Counter(
        {
            stage: min(max(counted.get(stage, spread.within(LIMIT_MS[stage])), 0), spread.total)
            for stage, spread in spreads.items()
            if spread.total and stage in LIMIT_MS
        }
    )


def _counter(counts: Mapping[str, Any]) -> Counter[str]:
    return Counter({str(name): int(count) for name, count in counts.items()})
