"""What the operator is told about money, and whom it goes to: the log, always, and a webhook where one is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog

from antiphon.usage.books import Crossed
from antiphon.usage.budgets import Past
from antiphon.usage.money import dollars, shown

REPEAT_S = 3_600.0
"""The same trouble is told of again after an hour, if it goes on."""

REMEMBERED = 1_024
"""Alerts of which it is known when they were last given."""

log = structlog.stdlib.get_logger(__name__)

Severity = Literal["info", "warning", "critical"]

HELD_BACK = "nothing is held back (ANTIPHON_BUDGET_PAST=warn)"

CONSEQUENCES: Mapping[str, Mapping[Past, str]] = {
    "day": {
        "warn": HELD_BACK,
        "degrade": "replies go on with the cheaper models until midnight",
        "stop": "turns and new callers are refused until midnight",
    },
    "key": {
        "warn": HELD_BACK,
        "degrade": "who calls with this key is answered by the cheaper models until midnight",
        "stop": "who calls with this key is refused until midnight",
    },
    "session": {
        "warn": HELD_BACK,
        "degrade": "this conversation goes on with the cheaper models; others are not touched",
        "stop": "this conversation ends; others, and new callers, are not touched",
    },
}
"""Whose budget is spent → the setting → what happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing to tell. Names and numbers only, nothing spoken."""

    kind: Literal["budget", "unpriced", "ledger", "prices"]
    severity: Severity
    message: str
    """A sentence for people."""
    name: str
    """What it is about: the same name is not told of twice within ``REPEAT_S``."""
    details: Mapping[str, str | int | float] = field(default_factory=dict)
    delivered: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)
    """To be called by whoever takes it, when the operator has it: once, and never if it cannot be delivered."""


class Sink(Protocol):
    """Where alerts go; neither blocks nor raises."""

    def give(self, alert: Alert) -> None: ...


class Alerts:
    """Passes alerts on: to the log, and to each sink."""

    def __init__(self, *sinks: Sink, steady: Callable[[], float]) -> None:
        self._sinks = sinks
        self._steady = steady
        self._told: dict[str, float] = {}

    def __call__(self, alert: Alert) -> None:
        now = self._steady()
        if now - self._told.get(alert.name, -REPEAT_S) < REPEAT_S:
            return
        if len(self._told) >= REMEMBERED:
            self._told.pop(next(iter(self._told)))
        self._told[alert.name] = now
        write = log.warning if alert.severity != "critical" else log.error
        write("alert", kind=alert.kind, problem=alert.message, **alert.details)
        for sink in self._sinks:
            sink.give(alert)
        if not self._sinks:
            alert.delivered()


def threshold_alert(crossed: Crossed, *, past: Past, delivered: Callable[[], None] = lambda: None) -> Alert:
    """A budget has come to 50, 80 or 100 %."""
    period, _, rest = crossed.account.partition(" ")
    whose = {
        "day": f"Today's budget ({rest})",
        "key": f"Today's budget of the API key {rest.partition(' ')[2]}",
        "session": f"The budget of one conversation ({rest})",
    }[period]
    end = f"; {CONSEQUENCES[period][past]}" if crossed.threshold >= 100 else ""
    return Alert(
        kind="budget",
        severity="critical" if crossed.threshold >= 100 else "warning",
        message=f"{whose} is {crossed.threshold} % spent: {shown(crossed.spent)} of {shown(crossed.limit)}{end}.",
        name=crossed.name,
        details={
            "account": crossed.account,
            "threshold": crossed.threshold,
            "spent_usd": dollars(crossed.spent),
            "limit_usd": dollars(crossed.limit),
        },
        delivered=delivered,
    )


def nobody_cheaper_alert(account: str) -> Alert:
    """A budget is spent, cheaper models are to go on, and there are none."""
    return Alert(
        kind="budget",
        severity="critical",
        message=f"The budget {account!r} is used up, and no cheaper model is loaded to go on with: turns and new "
        "callers are refused (ANTIPHON_BUDGET_PAST=degrade). The server's log says why there is none.",
        name=f"nobody cheaper {account}",
        details={"account": account},
    )


def unpriced_alert(name: str) -> Alert:
    """A model answered that no row of the price book names."""
    return Alert(
        kind="unpriced",
        severity="warning",
        message=f"{name} has no price: its calls are counted, but not what they cost. "
        "Add a row to your price file (ANTIPHON_PRICES).",
        name=f"unpriced {name}",
        details={"model": name},
    )


def ledger_alert(problem: str) -> Alert:
    """Entries cannot be written; they are kept in memory."""
    return Alert(
        kind="ledger",
        severity="critical",
        message=f"{problem}{'' if problem.endswith(('.', '?', '!')) else '.'} "
        "Calls go on; entries are kept in memory and written when it can be.",
        name=f"ledger {problem}",
    )


def lost_alert() -> Alert:
    """Entries were given up, or were none that a ledger can hold."""
    return Alert(
        kind="ledger",
        severity="critical",
        message="Entries of the ledger are lost: it could not be written for too long, or could not hold them. "
        "The server's log says why; what they cost is in the vendors' invoices only.",
        name="ledger lost",
    )


def stale_alert(names: str) -> Alert:
    """Prices in use that should be looked up again."""
    return Alert(
        kind="prices",
        severity="warning",
        message=f"Prices that should be looked up again: {names}. `antiphon prices` lists them.",
        name="stale prices",
    )
