"""What a run came to: figures, as an object and as lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from antiphon.load.tally import Absence, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a figure is distributed; None without samples."""

    count: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that ``share`` (0-1) of them do not exceed, by the nearest rank; None without any."""
    if not values:
        return None
    ranked = sorted(values)
    return ranked[min(max(-(-round(share * 1000) * len(ranked) // 1000), 1), len(ranked)) - 1]


def spread(values: Iterable[float], *, digits: int = 1) -> Spread:
    """p50, p95, p99 and the largest."""
    known = [round(value, digits) for value in values]
    return Spread(
        count=len(known),
        p50=percentile(known, 0.50),
        p95=percentile(known, 0.95),
        p99=percentile(known, 0.99),
        max=max(known, default=None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All figures of a run, or of a part of it. docs/cli.md explains each."""

    callers: int
    most_live: int
    took_s: float
    calls: int
    turns: int
    answered: int
    interrupted: int
    unheard: int
    unanswered: int
    doubled: int
    said_again: int
    open: int
    replies: int
    cut_short: int
    early: int
    first_sound_ms: Spread
    interruption_ms: Spread
    gaps: int
    gap_ms: Spread
    gap_share: float
    """Of all replies' sound, how much silence there was inside it."""
    dropped: int
    broken: int
    moved: int
    resumed: int
    conversations_lost: int
    reconnect_s: Spread
    """Without the time stayed away on purpose."""
    kept_away: int
    """Callers that wanted to talk when the time was up, and were not let in."""
    without_service_s: Spread
    """Each caller's longest time without the conversation that it wanted: refused, or waiting to be connected."""
    messages_missing: int
    messages_repeated: int
    sound_in_s: float
    sound_out_s: float
    refused: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    closes: Mapping[str, int] = field(default_factory=dict)
    notices: Mapping[str, int] = field(default_factory=dict)
    own_cpu_share: float = 0.0
    own_late_ms: Spread = field(default_factory=Spread)
    own_dropped: int = 0

    @property
    def lost(self) -> int:
        """Turns that were never heard, or never answered."""
        return self.unheard + self.unanswered

    @property
    def sound(self) -> bool:
        """Whether nothing was lost or doubled, nobody kept away to the end, and anything was said at all."""
        return self.turns > 0 and not (self.lost or self.doubled or self.conversations_lost or self.kept_away)

    def as_object(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "lost": self.lost, "passed": self.sound}


def report(
    tally: Tally,
    *,
    callers: int,
    took_s: float,
    cpu_share: float = 0.0,
    since_s: float = 0.0,
    until_s: float = float("inf"),
) -> Report:
    """Figures of the turns that began, and of what happened, between two times of the run. Counters of messages,
    errors and sound are of the whole run."""

    def inside(at_s: float) -> bool:
        return since_s <= at_s < until_s

    turns = [turn for turn in tally.turns if inside(turn.began_s)]
    outcomes = [turn.outcome for turn in turns]
    returns = [back for back in tally.reconnections if inside(back.at_s)]
    absences = [away for away in tally.absences if away.since_s < until_s and away.until_s >= since_s]
    kept_away = [away for away in absences if not away.ended]
    gaps = [gap.gap_s for gap in tally.gaps if inside(gap.at_s)]
    return Report(
        callers=callers,
        most_live=tally.most_live,
        took_s=round(took_s, 1),
        calls=tally.calls,
        turns=len(turns),
        answered=outcomes.count("answered"),
        interrupted=outcomes.count("cut"),
        unheard=outcomes.count("unheard"),
        unanswered=outcomes.count("unanswered"),
        doubled=sum(turn.doubled for turn in turns) + tally.doubled_replies,
        said_again=sum(turn.sayings > 1 for turn in turns),
        open=outcomes.count("open"),
        replies=tally.replies,
        cut_short=tally.cut_short,
        early=tally.early,
        first_sound_ms=spread(t.first_sound_ms for t in turns if t.first_sound_ms is not None),
        interruption_ms=spread(ms for at_s, ms in tally.interruptions_ms if inside(at_s)),
        gaps=len(gaps),
        gap_ms=spread(gap * 1000 for gap in gaps),
        gap_share=round(sum(gaps) / tally.sound_out_s, 5) if tally.sound_out_s else 0.0,
        dropped=sum(back.cause == "dropped" for back in returns),
        broken=sum(back.cause.startswith("closed") for back in returns),
        moved=sum(back.cause == "moved" for back in returns),
        resumed=sum(back.resumed for back in returns),
        conversations_lost=sum(not back.resumed for back in returns) + sum(away.begun for away in kept_away),
        reconnect_s=spread((back.gap_s - back.away_s for back in returns), digits=3),
        kept_away=len(kept_away),
        without_service_s=spread(_longest(absences).values(), digits=3),
        messages_missing=tally.missing,
        messages_repeated=tally.repeated,
        sound_in_s=round(tally.sound_in_s, 1),
        sound_out_s=round(tally.sound_out_s, 1),
        refused=dict(tally.refused),
        errors=dict(tally.errors),
        closes=dict(tally.closes),
        notices=dict(tally.notices),
        own_cpu_share=round(cpu_share, 3),
        own_late_ms=spread(tally.late_ms),
        own_dropped=tally.traffic.dropped,
    )


def _longest(absences: Iterable[Absence]) -> dict[int, float]:
    """Caller → seconds of its longest one."""
    longest: dict[int, float] = {}
    for away in absences:
        longest[away.caller] = max(longest.get(away.caller, 0.0), away.until_s - away.since_s)
    return longest
