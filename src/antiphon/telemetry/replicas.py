"""The figures of all replicas as one. Each posts its own on the board that they share; whoever answers an operator adds
its own of this moment to the others'.

A replica's day stays on the board after it, so that an update of all of them leaves the last 24 hours as they were.
Without a board, and while the store is away, it is this server's own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from antiphon.errors import StoreUnavailable
from antiphon.store.board import Board
from antiphon.telemetry.latency_budget import FIRST_SOUND_MS
from antiphon.telemetry.logs import logger
from antiphon.telemetry.observability import Observability
from antiphon.telemetry.recent import KEEP_TURNS
from antiphon.telemetry.tally import Tally, whole

STEP_MINUTES = 5
"""A day has 288 such steps: as many points as a chart on a wide screen can show."""

NOW_MINUTES = 15
"""What "now" is: long enough for a percentile, short enough to see a change."""

MOST_TURNS = 25
"""Told of at first, and posted every few seconds. Those that are kept beyond are told of when they are asked for, and
posted once a minute: they are half a megabyte, with their words."""

SKEW_S = 15.0
"""By how much the clocks of replicas may differ. A turn that ended later than that from now is of a clock that was set
back since, and stands behind the others."""

MOST_ERRORS = 50

DAY_S = 86_400.0

NOW_EVERY_S, NOW_KEEP_S = 3.0, 10.0
DAY_EVERY_S, DAY_KEEP_S = 60.0, DAY_S + 3_600.0
KEPT_KEEP_S = 2 * DAY_EVERY_S + NOW_KEEP_S

NOW, TURNS, KEPT, DAY = "now", "turns", "kept", "day"

WORST = ("closed", "", "half_open", "open")
"""Of breakers, the last is what an operator has to know."""

Row = Mapping[str, Any]
"""An object of JSON, which is passed on as it is."""

ONLY: Mapping[str, Callable[[Row], bool]] = {
    "": lambda _: True,
    "slow": lambda turn: turn["latency_ms"].get("first_sound", 0.0) > FIRST_SOUND_MS,
    "interrupted": lambda turn: bool(turn["interrupted"]),
    "failed": lambda turn: bool(turn["error"]),
}
"""Which turns operators may ask for."""

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is so now."""

    ready: bool
    """Whether calls are taken, by one of them at least."""
    sessions: int
    max_sessions: int
    of_late: Tally
    """The last ``NOW_MINUTES``."""
    breakers: Mapping[tuple[str, str], tuple[str, str]]
    """(kind, provider) → state and last error, where it is worst."""
    lag_ms: float | None
    """Of the one that is latest."""
    errors: Sequence[Row]
    """Newest first."""
    last_turn_s: float
    """When the newest turn ended, since 1970; 0: there was none."""
    ledger: Mapping[str, int]
    """Entries that wait, entries and alerts that were given up."""
    replicas: int = 1
    whole: bool = True
    """False: the store is away, and this is the answering replica's part."""


class Replicas:
    """What operators are told. ``run`` tells the others."""

    def __init__(self, observability: Observability, board: Board | None = None) -> None:
        self._watched = observability
        self._board = board
        self._others_day: Mapping[int, Tally] = {}
        """First minute of a step → the tally of all other replicas."""
        self._others_at = -DAY_S
        self._others_kept: Sequence[Row] = ()
        self._others_kept_at = -DAY_S
        self._others_sum = (-1.0, Tally())
        """Since when, and what the others did since."""
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled; ``last_words`` after it."""
        if self._board is None:
            return
        day_at = -DAY_S
        while True:
            now = asyncio.get_running_loop().time()
            try:
                await self._post(NOW, _json_of(self._own_moment()), NOW_KEEP_S)
                await self._post(TURNS, {"turns": self._own_turns(MOST_TURNS + 1)}, NOW_KEEP_S)
                if now - day_at >= DAY_EVERY_S:
                    await self._post_day()
                    await self._post(KEPT, {"turns": self._own_turns(KEEP_TURNS)}, KEPT_KEEP_S)
                    day_at = now
            except StoreUnavailable:
                pass  # told of by whoever keeps conversations there
            await asyncio.sleep(NOW_EVERY_S)

    async def last_words(self) -> None:
        """The server stops: its day stays for the others to tell."""
        try:
            await self._post_day()
        except StoreUnavailable:
            log.info("the last minute's figures are not shared: the store is away")

    # ---- what operators are told --------------------------------------------------------------------------

    async def moment(self) -> Moment:
        """Now."""
        own = self._own_moment()
        notes = await self._others(NOW)
        if notes is None:
            return _merged([own], whole=False)
        return _merged([own, *(_moment_of(note) for note in notes)], whole=True)

    async def turns(
        self, after_s: float = 0.0, *, only: str = "", most: int = MOST_TURNS
    ) -> tuple[list[Row], bool]:
        """Those that ended later than ``after_s`` (since 1970) and are of one kind (``ONLY``), newest first; and
        whether there are more."""
        all_kept = bool(only) or most > MOST_TURNS
        found = self._own_turns(KEEP_TURNS if all_kept else MOST_TURNS + 1)
        for note in await self._others(TURNS) or ():
            found.extend(note.get("turns", ()))
        if all_kept:
            found.extend(await self._kept_by_others())
        wanted = {
            (turn["session"], turn["turn_id"], turn["ended_s"]): turn
            for turn in found
            if turn["ended_s"] > after_s and ONLY[only](turn)
        }
        latest = self._watched.recent.now + SKEW_S
        newest_first = sorted(
            wanted.values(), key=lambda turn: (turn["ended_s"] <= latest, turn["ended_s"]), reverse=True
        )
        return newest_first[:most], len(newest_first) > most

    async def steps(self) -> dict[int, Tally]:
        """The last 24 hours: first minute of each step → what happened in it."""
        recent = self._watched.recent
        own = recent.minutes.steps(recent.now - DAY_S, recent.now, STEP_MINUTES)
        others = await self._others_steps()
        return {minute: _together(tally, others.get(minute)) for minute, tally in own.items()}

    async def since(self, start_s: float) -> Tally:
        """From ``start_s`` (since 1970, at most a day ago) until now."""
        recent = self._watched.recent
        own = recent.minutes.total(start_s, recent.now)
        others = await self._others_steps()
        if not others:
            return own
        if self._others_sum[0] != start_s:
            later = [tally for minute, tally in others.items() if minute * 60 >= start_s]
            # In a thread, and once: a day of three replicas takes as long as many frames of sound.
            self._others_sum = start_s, await asyncio.to_thread(whole, later)
        return _together(own, self._others_sum[1])

    # ---- the others' --------------------------------------------------------------------------------------

    async def _others(self, topic: str) -> list[dict[str, Any]] | None:
        """What they posted; None when the store is away."""
        if self._board is None:
            return []
        try:
            notes = await self._board.read(topic)
        except StoreUnavailable:
            return None
        return [json.loads(note) for name, note in notes.items() if name != self._board.name]

    async def _others_steps(self) -> Mapping[int, Tally]:
        """Read again once it may have changed; added up in a thread, for it is the work of many conversations."""
        if self._board is None:
            return {}
        async with self._reading:
            now = asyncio.get_running_loop().time()
            if now - self._others_at >= DAY_EVERY_S / 2:
                try:
                    notes = dict(await self._board.read(DAY))
                except StoreUnavailable:
                    return self._others_day
                notes.pop(self._board.name, None)
                self._others_day = await asyncio.to_thread(_added_up, tuple(notes.values()))
                self._others_at = now
                self._others_sum = (-1.0, Tally())
        return self._others_day

    async def _kept_by_others(self) -> Sequence[Row]:
        """Their turns, but the newest; read again once they may have changed, in a thread."""
        now = asyncio.get_running_loop().time()
        if self._board is not None and now - self._others_kept_at >= DAY_EVERY_S / 2:
            try:
                notes = dict(await self._board.read(KEPT))
            except StoreUnavailable:
                return self._others_kept
            notes.pop(self._board.name, None)
            self._others_kept_at = now
            self._others_kept = await asyncio.to_thread(
                lambda: [turn for note in notes.values() for turn in json.loads(note)["turns"]]
            )
        return self._others_kept

    # ---- our own ------------------------------------------------------------------------------------------

    async def _post(self, topic: str, note: Row, keep_s: float) -> None:
        assert self._board is not None
        await self._board.post(topic, json.dumps(note).encode(), keep_s=keep_s)

    async def _post_day(self) -> None:
        if self._board is None:
            return
        recent = self._watched.recent
        steps = recent.minutes.steps(recent.now - DAY_S, recent.now, STEP_MINUTES)
        told = await asyncio.to_thread(
            lambda: {str(minute): found for minute, tally in steps.items() if (found := tally.to_json())}
        )
        await self._post(DAY, told, DAY_KEEP_S)

    def _own_turns(self, most: int) -> list[Row]:
        return [turn.row() for turn in islice(reversed(self._watched.recent.turns), most)]

    def _own_moment(self) -> Moment:
        recent, sources = self._watched.recent, self._watched.sources
        ledger = sources.ledger() if sources.ledger is not None else None
        return Moment(
            ready=sources.ready() if sources.ready is not None else True,
            sessions=sources.sessions() if sources.sessions is not None else 0,
            max_sessions=sources.max_sessions(),
            of_late=recent.minutes.total(recent.now - NOW_MINUTES * 60, recent.now),
            breakers={
                (state.kind, state.provider): (state.breaker, state.last_error)
                for state in (sources.health() if sources.health is not None else ())
            },
            lag_ms=None if sources.behind_s is None else round(sources.behind_s() * 1000, 1),
            errors=[asdict(error) for error in reversed(recent.errors)],
            last_turn_s=recent.turns[-1].ended_s if recent.turns else 0.0,
            ledger={}
            if ledger is None
            else {"waiting": ledger.waiting, "lost": ledger.lost, "alerts_failed": ledger.alerts_failed},
        )


def _merged(moments: Sequence[Moment], *, whole: bool) -> Moment:
    breakers: dict[tuple[str, str], tuple[str, str]] = {}
    ledger: dict[str, int] = {}
    of_late = Tally()
    for moment in moments:
        of_late.merge(moment.of_late)
        for key, state in moment.breakers.items():
            breakers[key] = max(breakers.get(key, state), state, key=lambda each: WORST.index(each[0]))
        for name, count in moment.ledger.items():
            ledger[name] = ledger.get(name, 0) + count
    errors = [error for moment in moments for error in moment.errors]
    errors.sort(key=lambda error: float(error["at_s"]), reverse=True)
    lags = [moment.lag_ms for moment in moments if moment.lag_ms is not None]
    return Moment(
        ready=any(moment.ready for moment in moments),
        sessions=sum(moment.sessions for moment in moments),
        max_sessions=sum(moment.max_sessions for moment in moments),
        of_late=of_late,
        breakers=breakers,
        lag_ms=max(lags, default=None),
        errors=errors[:MOST_ERRORS],
        last_turn_s=max(moment.last_turn_s for moment in moments),
        ledger=ledger,
        replicas=len(moments),
        whole=whole,
    )


def _json_of(moment: Moment) -> Row:
    return {
        "ready": moment.ready,
        "sessions": moment.sessions,
        "max_sessions": moment.max_sessions,
        "of_late": moment.of_late.to_json(),
        "breakers": [[*key, *state] for key, state in moment.breakers.items()],
        "lag_ms": moment.lag_ms,
        "errors": moment.errors,
        "last_turn_s": moment.last_turn_s,
        "ledger": dict(moment.ledger),
    }


def _moment_of(note: Row) -> Moment:
    return Moment(
        ready=bool(note["ready"]),
        sessions=int(note["sessions"]),
        max_sessions=int(note["max_sessions"]),
        of_late=Tally.from_json(note["of_late"]),
        breakers={(kind, name): (state, error) for kind, name, state, error in note["breakers"]},
        lag_ms=note["lag_ms"],
        errors=note["errors"],
        last_turn_s=float(note["last_turn_s"]),
        ledger=note["ledger"],
    )


def _added_up(notes: Iterable[bytes]) -> dict[int, Tally]:
    """Days of several replicas → one."""
    steps: dict[int, Tally] = {}
    for note in notes:
        for minute, told in json.loads(note).items():
            steps[int(minute)] = _together(Tally.from_json(told), steps.get(int(minute)))
    return steps


def _together(one: Tally, other: Tally | None) -> Tally:
    """Of replicas that ran at the same time: their conversations add up, too."""
    if other is None:
        return one
    sum_of = whole((one, other))
    sum_of.most_sessions = one.most_sessions + other.most_sessions
    return sum_of
