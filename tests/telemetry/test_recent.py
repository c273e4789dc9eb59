"""The last turns and the last day, in memory and on disk."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import tracemalloc
from datetime import UTC, date, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.telemetry.listened import NOON, Clock, Told, call, lively_conversation, write_down

from antiphon.conversation import events
from antiphon.telemetry.day_files import DayFiles
from antiphon.telemetry.keeping import Keeper
from antiphon.telemetry.latency_budget import LIMIT_MS
from antiphon.telemetry.metrics import Metrics
from antiphon.telemetry.minutes import KEEP_MINUTES, Minutes
from antiphon.telemetry.recent import KEEP_TURNS, Recent
from antiphon.telemetry.report import stage_row
from antiphon.telemetry.spread import Spread, merged
from antiphon.telemetry.tally import Tally, whole


def lively(**options: bool) -> Recent:
    clock = Clock()
    recent = Recent(price=lambda call: 1000 if call.kind == "llm" else 0, now=clock, **options)  # type: ignore[arg-type]
    Told([recent], clock).story(lively_conversation())
    return recent


# ---- distributions


@given(st.lists(st.floats(0.2, 60_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_within_two_percent(values: list[float], share: float) -> None:
    spread = Spread()
    for each in values:
        spread.add(each)
    exact = sorted(values)[max(0, -(-int(share * 10_000) * len(values) // 10_000) - 1)]
    assert spread.quantile(share) == pytest.approx(exact, rel=0.021)


@given(st.lists(st.lists(st.floats(0, 10_000), max_size=30), max_size=5))
def test_parts_add_up_to_the_whole(parts: list[list[float]]) -> None:
    spreads = [Spread() for _ in parts]
    together = Spread()
    for spread, values in zip(spreads, parts, strict=True):
        for each in values:
            spread.add(each)
            together.add(each)
    assert merged(spreads).counts == together.counts
    assert Spread.from_json(merged(spreads).to_json()).counts == together.counts


@pytest.mark.parametrize("counts", [{"-1": 1}, {"640": 1}, {"3": -1}, {"3": 2**32}, {"1000000000": 1}])
def test_a_spread_that_no_file_of_ours_has_is_not_taken(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no spread"):
        Spread.from_json(counts)


def test_what_is_below_and_above_everything_is_counted_too() -> None:
    spread = Spread()
    for value in (1e12, 0.0, 250.0):
        spread.add(value)
    assert (list(spread.counts.values()), spread.total) == ([1, 1, 1], 3)
    assert spread.quantile(0.5) == pytest.approx(250, rel=0.02)


def test_a_busy_day_fits_into_ten_megabytes() -> None:
    random = Random(1)
    minutes = Minutes()
    tracemalloc.start()
    try:
        for minute in range(30):
            tally = minutes.at(minute * 60.0)
            for _ in range(200):
                for stage in ("capture", "asr", "decide", "llm", "clause", "engine", "tts", "hold"):
                    tally.stage(stage).add(random.lognormvariate(5.0, 0.4))
                for kind in ("asr", "llm", "tts"):
                    tally.provider(kind, "vendor:model").first_ms.add(random.lognormvariate(5.0, 0.4))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken / 30 * KEEP_MINUTES < 10 * 2**20


def test_nothing_has_no_quantile() -> None:
    assert Spread().quantile(0.5) is None
    assert Spread().within(100) == 0


# ---- within the budget


@pytest.mark.parametrize(
    ("stage", "ms", "within", "typical"),
    [
        ("tts", 199.0, 1.0, 200.0),
        ("tts", 200.0, 1.0, 200.0),
        ("llm", 301.0, 0.0, 300.0),
        ("asr", 304.0, 0.0, 300.0),
        ("capture", 505.0, 0.0, 500.0),
        ("first_sound", 1450.0, 1.0, 1433.0),
    ],
)
def test_within_the_budget_is_exact(stage: str, ms: float, within: float, typical: float) -> None:
    tally, metrics = Tally(), Metrics()
    for _ in range(40):
        done = events.ReplyDone(turn_id="t", reply_id="r", text="", latency_ms={stage: ms})
        tally.reply_done(done, {})
        metrics.told("s", done)
    row = stage_row(Tally.from_json(json.loads(json.dumps(tally.to_json()))), stage)
    assert (row.within, row.late, row.typical_ms) == (within, not within, typical)
    name = "antiphon_first_sound_seconds" if stage == "first_sound" else "antiphon_turn_stage_seconds"
    labels = {"le": str(LIMIT_MS[stage] / 1000)} | ({} if stage == "first_sound" else {"stage": stage})
    assert metrics.registry.get_sample_value(f"{name}_bucket", labels) == 40 * within, "as /metrics has it"


def test_a_stage_is_late_when_most_turns_are() -> None:
    tally = Tally()
    for ms in (290.0, 299.0, 301.0, 420.0):
        tally.took("asr", ms)
    assert (stage_row(tally, "asr").within, stage_row(tally, "asr").late) == (0.5, False)
    tally.took("asr", 303.0)
    assert (stage_row(tally, "asr").within, stage_row(tally, "asr").late) == (0.4, True)


def test_days_of_versions_that_did_not_count_it_have_it_from_their_spread() -> None:
    tally = Tally()
    for ms in (100.0, 250.0, 400.0):
        tally.took("asr", ms)
    old = tally.to_json()
    del old["within"]
    both = whole([Tally.from_json(old), tally])
    assert stage_row(both, "asr").within == pytest.approx(4 / 6)


# ---- turns


def test_the_last_turns() -> None:
    turns = list(lively().turns)
    assert [turn.interrupted for turn in turns] == [False, True, True, False]
    first = turns[0]
    assert first.session == "k3Jx0a"
    assert first.latency_ms["first_sound"] == pytest.approx(446)
    assert {stage.name for stage in first.stages} >= {"asr", "llm", "tts"}
    assert first.providers["llm"].startswith("scripted:")
    assert first.cost_usd == 0.001


def test_words_are_kept_only_when_the_operator_says_so() -> None:
    assert {turn.asked + turn.answered for turn in lively().turns} == {""}
    first = lively(transcripts=True).turns[0]
    assert (first.asked, first.answered) == ("what time is it", "I see.")
    again = lively(transcripts=True).turns[2]
    assert again.asked == "and then tell me a story"
    assert again.answered.startswith("Here is a long story")


def test_the_ring_is_bounded() -> None:
    recent = Recent(now=Clock())
    told = Told([recent])
    told.opened("s")
    for number in range(KEEP_TURNS + 10):
        told.tell(events.ReplyDone(turn_id=f"t{number}", reply_id="r", text="", latency_ms={}), session="s")
        told.tell(call(outcome="timeout"), session="s")
    assert len(recent.turns) == KEEP_TURNS
    assert recent.turns[-1].turn_id == f"t{KEEP_TURNS + 9}"
    assert recent.errors[-1].cause == "timeout"


# ---- minutes


def test_the_day_so_far() -> None:
    day = lively().minutes.total(NOON - 60, NOON + 60)
    assert (day.turns, day.interrupted, day.sessions, day.most_sessions) == (3, 1, 1, 1)
    assert day.signs == {"kept": 3, "false_start": 1, "backchannel": 1}
    assert day.first_sound.quantile(0.5) == pytest.approx(446, rel=0.02)
    assert day.cost_micro == 1000 * sum(
        tally.calls for (kind, _), tally in day.providers.items() if kind == "llm"
    )


def test_what_is_thrown_away_is_counted_as_such() -> None:
    recent = Recent(price=lambda _: 700, now=Clock())
    thrown = events.ProviderCall(kind="llm", provider="a:b", usage=call().usage, discarded=True)
    done = events.ReplyDone(turn_id="t", reply_id="r", text="", latency_ms={}, calls=(thrown, call()))
    Told([recent]).tell(done)
    assert recent.minutes.total(NOON, NOON).providers["llm", "a:b"].wasted_micro == 700


def test_no_minute_is_written_twice_and_none_is_lost() -> None:
    minutes = Minutes()
    minutes.at(60.0).turns += 1
    minutes.at(130.0).turns += 2
    assert list(minutes.unwritten(130.0)) == [1]
    first = minutes.unwritten(130.0)
    minutes.written(first)
    minutes.at(61.0).turns += 4  # the clock was set back
    again = minutes.unwritten(200.0)
    assert {minute: tally.turns for minute, tally in again.items()} == {1: 4, 2: 2}
    minutes.written(again)
    assert minutes.unwritten(200.0, stopping=True) == {}
    assert [minutes.total(at, at).turns for at in (0, 60, 120)] == [0, 5, 2]


def test_a_day_is_kept_and_no_more() -> None:
    minutes = Minutes()
    for minute in range(KEEP_MINUTES + 100):
        minutes.at(minute * 60.0).turns += 1
        minutes.written(minutes.unwritten(minute * 60.0))
    assert minutes.total(0, (KEEP_MINUTES + 200) * 60.0).turns == KEEP_MINUTES + 1  # and the one at hand


@given(
    st.lists(st.integers(0, 400), max_size=60), st.integers(0, 400), st.integers(0, 400), st.integers(0, 400)
)
def test_sums_of_blocks_are_sums_of_minutes(adding: list[int], start: int, end: int, late: int) -> None:
    minutes = Minutes()
    for minute in adding:
        minutes.at(minute * 60.0).turns += 1
    wanted = sum(start <= minute <= end for minute in adding)
    assert minutes.total(start * 60.0, end * 60.0).turns == wanted
    assert sum(tally.turns for tally in minutes.steps(0, 400 * 60.0, 5).values()) == len(adding)
    minutes.at(late * 60.0).turns += 1  # sums that were kept must not hide it
    assert minutes.total(start * 60.0, end * 60.0).turns == wanted + (start <= late <= end)
    assert sum(tally.turns for tally in minutes.steps(0, 400 * 60.0, 5).values()) == len(adding) + 1


# ---- on disk


def test_days_come_back_from_disk(tmp_path: Path) -> None:
    files = DayFiles(tmp_path, zone=UTC)
    minutes = lively().minutes.unwritten(NOON, stopping=True)
    write_down(files, minutes)
    write_down(files, {int(NOON // 60) + 24 * 60: Tally(turns=9)})
    assert files.days() == (date(2026, 11, 23), date(2026, 11, 24))
    read = whole(tally for _, tally in files.read(date(2026, 11, 23)))
    assert read.to_json() == whole(minutes.values()).to_json()
    files.drop_before(date(2026, 11, 24))
    assert files.days() == (date(2026, 11, 24),)


NONSENSE = b"""[]
{"minute": "x"}
{"minute": 5, "stages": 7}
{"minute": 1e999}
{"minute": 5, "first_sound": {"7": 1e999}}
{"minute": 5, "providers": [{"kind": "asr", "provider": "a", "audio_s": 1e999}]}
\xff
"""


def test_a_line_that_a_crash_cut_short_costs_that_line(tmp_path: Path) -> None:
    files = DayFiles(tmp_path, zone=UTC)
    minute = int(NOON // 60)
    write_down(files, {minute: Tally(turns=1)})
    path = tmp_path / "2026-11-23.jsonl"
    path.write_bytes(path.read_bytes() + b'{"minute": 2982')
    write_down(files, {minute + 1: Tally(turns=2)})
    path.write_bytes(path.read_bytes() + NONSENSE)
    assert [tally.turns for _, tally in files.read(date(2026, 11, 23))] == [1, 2]


def test_two_servers_may_share_a_folder(tmp_path: Path) -> None:
    one, other = DayFiles(tmp_path, zone=UTC), DayFiles(tmp_path, zone=UTC)
    for files in (one, other, one):
        write_down(files, {int(NOON // 60): Tally(turns=1, most_sessions=3)})
    day = whole(tally for _, tally in one.read(date(2026, 11, 23)))
    assert (day.turns, day.most_sessions) == (3, 3)


class SmallDisk:
    """``os.write``, while there is room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 0
        """Bytes."""
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(file, data[: self.room])
        self.room -= written
        return written


async def test_a_disk_that_fills_up_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(at=NOON + 12 * 3600 - 600)
    recent, files, disk = Recent(now=clock), DayFiles(tmp_path, zone=UTC), SmallDisk(monkeypatch)
    keeper = Keeper(recent, files, days=30)
    for _ in range(20):  # ten minutes before midnight, ten after it
        recent.minutes.at(clock.at).turns += 1
        clock.at += 60

    def turns() -> list[int]:
        return [whole(tally for _, tally in files.read(day)).turns for day in files.days()]

    for room, written in ((100, [0]), (400, [10, 0]), (100, [10, 0]), (10_000, [10, 10])):
        disk.room = room
        await keeper.write()
        assert turns() == written


async def test_a_restart_goes_on_with_the_day(tmp_path: Path) -> None:
    clock = Clock()
    for _ in range(2):
        recent = Recent(now=clock)
        async with Keeper(recent, DayFiles(tmp_path, zone=UTC), days=30).keeping():
            Told([recent], clock).tell(call("asr", "a:b", audio_s=1.0))
    assert recent.minutes.total(NOON, NOON).providers["asr", "a:b"].calls == 2


async def test_old_days_go_and_a_clock_that_jumps_deletes_none(tmp_path: Path) -> None:
    clock = Clock()
    files = DayFiles(tmp_path, zone=UTC)
    write_down(files, {int(NOON // 60) - day * 1_440: Tally(turns=1) for day in range(60)})
    keeper = Keeper(Recent(now=clock), files, days=30)
    await keeper.write()
    kept = files.days()
    assert kept[0] == date(2026, 11, 23) - timedelta(days=30 + 6)
    clock.at += 800 * 86_400
    await keeper.write()
    assert files.days() == kept


async def test_a_disk_that_refuses_costs_nothing_but_the_report(tmp_path: Path) -> None:
    folder = tmp_path / "days"
    folder.write_text("a file where the folder should be")
    recent = Recent(now=Clock())
    keeper = Keeper(recent, DayFiles(folder, zone=UTC), days=30)
    async with keeper.keeping():
        Told([recent]).tell(call())
        await keeper.write(stopping=True)
        folder.unlink()
    assert (await asyncio.to_thread(lambda: list(DayFiles(folder, zone=UTC).read(date(2026, 11, 23)))))[0][
        1
    ].providers["llm", "openai:gpt-4o-mini"].calls == 1
