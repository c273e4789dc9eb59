"""Budgets: money is set aside before it is spent, thresholds are told once, and past a budget the setting decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.usage.till import NOON, Clock, Till, book, open_till, words
from tests.valkey_server import ValkeyServer

from antiphon.conversation.config import Providers
from antiphon.conversation.events import ProviderCall
from antiphon.errors import BudgetError, SetAsideError, StoreUnavailable
from antiphon.providers.base import Usage
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedVoiceDetector,
)
from antiphon.store.valkey import open_valkey
from antiphon.usage.allowance import CHEAPER, CHEAPER_ONCE, PATIENCE_S, Means
from antiphon.usage.books import Ask, Batch
from antiphon.usage.budgets import Limits, Past, Tally
from antiphon.usage.estimate import TurnSize, most
from antiphon.usage.sqlite_books import SqliteBooks
from antiphon.usage.valkey_books import ValkeyBooks

RESERVATION = 1_000


@asynccontextmanager
async def counter(
    folder: Path,
    *,
    day: int = 0,
    session: int = 0,
    caller: int = 0,
    past: Past = "stop",
    means: Means | None = None,
    clock: Clock | None = None,
    zone: str = "UTC",
) -> AsyncIterator[Till]:
    """A till of a server alone."""
    books = SqliteBooks(folder)
    limits = Limits(day=day, session=session, caller=caller)
    async with open_till(books, limits=limits, past=past, means=means, clock=clock, zone=zone) as till:
        yield till
    books.close()


async def turn(till: Till, session: str, number: int, *calls: ProviderCall) -> None:
    """Reserve, spend, settle."""
    name = f"t{number}"
    await till.allowance.reserve(session_id=session, turn_id=name)
    till.calls(session, *calls)
    till.allowance.settle(session_id=session, turn_id=name)


async def test_without_a_budget_everything_is_granted(tmp_path: Path) -> None:
    async with counter(tmp_path) as till:
        await turn(till, "s1", 1, words(10**9))
        assert till.allowance.refusal() is None
        assert not till.keeper.tally.asks


async def test_turns_under_way_count_before_they_have_spent(tmp_path: Path) -> None:
    async with counter(tmp_path, day=3 * RESERVATION) as till:
        for n in range(3):
            await till.allowance.reserve(session_id=f"s{n}", turn_id="t1")
        with pytest.raises(SetAsideError, match="set aside for other turns"):
            await till.allowance.reserve(session_id="s9", turn_id="t1")
        till.allowance.settle(session_id="s0", turn_id="t1")
        await till.keeper.written()
        await till.allowance.reserve(session_id="s9", turn_id="t1")


async def test_a_turn_waits_a_moment_for_others_to_be_over(tmp_path: Path) -> None:
    async with counter(tmp_path, day=RESERVATION) as till:
        await till.allowance.reserve(session_id="s1", turn_id="t1")
        asyncio.get_running_loop().call_later(
            PATIENCE_S - 0.5, lambda: till.allowance.settle(session_id="s1", turn_id="t1")
        )
        async with asyncio.timeout(PATIENCE_S):
            await till.allowance.reserve(session_id="s2", turn_id="t1")


async def test_what_is_spent_is_not_waited_for(tmp_path: Path) -> None:
    async with counter(tmp_path, day=RESERVATION) as till:
        till.calls("s1", words(100))
        began = asyncio.get_running_loop().time()
        with pytest.raises(BudgetError, match=r"filled up again at midnight \(UTC\)"):
            await till.allowance.reserve(session_id="s2", turn_id="t1")
        assert asyncio.get_running_loop().time() == began


async def test_with_warn_money_is_set_aside_too_and_nobody_is_refused(tmp_path: Path) -> None:
    async with counter(tmp_path, day=2 * RESERVATION, past="warn") as till:
        till.calls("s9", words(1_000))
        for n in range(5):
            await till.allowance.reserve(session_id=f"s{n}", turn_id="t1")
        assert till.keeper.totals().held == 5 * RESERVATION
        for n in range(5):
            till.allowance.settle(session_id=f"s{n}", turn_id="t1")
        assert till.keeper.totals().held == 0


async def test_asking_again_for_a_turn_sets_nothing_more_aside(tmp_path: Path) -> None:
    async with counter(tmp_path, day=2 * RESERVATION) as till:
        for _ in range(5):
            await till.allowance.reserve(session_id="s1", turn_id="t1")
        assert till.keeper.totals().held == RESERVATION


async def test_a_failed_turn_and_a_closed_session_free_what_they_held(tmp_path: Path) -> None:
    async with counter(tmp_path, day=2 * RESERVATION) as till:
        await till.allowance.reserve(session_id="s1", turn_id="t1")
        till.allowance.settle(session_id="s1", turn_id="t1")
        await till.allowance.reserve(session_id="s2", turn_id="t1")
        till.allowance.closed("s2", "client_left")
        await till.keeper.written()
        assert till.keeper.totals().held == 0


async def test_the_overspend_is_below_one_reservation_whatever_turns_come(tmp_path: Path) -> None:
    limit = 20_000
    async with counter(tmp_path, day=limit) as till:

        async def talk(session: str) -> int:
            taken = 0
            for n in range(40):
                await asyncio.sleep(0.1 * (n % 3))
                try:
                    await till.allowance.reserve(session_id=session, turn_id=f"t{n}")
                except BudgetError:
                    continue
                taken += 1
                await asyncio.sleep(0.1)
                till.calls(session, words(40 + n % 20), words(5))
                till.allowance.settle(session_id=session, turn_id=f"t{n}")
            return taken

        turns = await asyncio.gather(*(talk(f"s{n}") for n in range(20)))
        spent = till.keeper.totals().spent
        assert sum(turns) > 20
        assert limit <= spent < limit + RESERVATION


async def test_each_threshold_is_told_once_a_day_and_for_whom(tmp_path: Path) -> None:
    clock = Clock()
    async with counter(tmp_path, day=10_000, caller=4_000, past="warn", clock=clock) as till:
        till.opens("s1", "ann")
        for n in range(30):
            await turn(till, "s1", n, words(40))
            await till.keeper.written()
        accounts = [(alert.details["account"], alert.details["threshold"]) for alert in till.alerts]
        assert accounts == [
            *(("key 2026-11-23 ann", threshold) for threshold in (50, 80, 100)),
            *(("day 2026-11-23", threshold) for threshold in (50, 80, 100)),
        ]
        assert (
            "Today's budget of the API key ann is 50 % spent: $0.0024 of $0.0040." in till.alerts[0].message
        )
        assert till.alerts[-1].severity == "critical"
        clock.passes(86_400)
        await turn(till, "s1", 99, words(400))
        await till.keeper.written()
        assert till.thresholds()[6:] == [50, 50, 80, 100]


async def test_thresholds_are_not_told_again_after_a_restart(tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        async with counter(tmp_path, day=10_000, past="warn") as till:
            await turn(till, "s1", 1, words(600))
            await till.keeper.written()
            told.append(till.thresholds())
    assert told == [[50, 80], [100]]


@pytest.mark.parametrize("budget", ["session", "caller"])
async def test_one_session_or_key_that_has_spent_its_own_does_not_stop_others(
    tmp_path: Path, budget: str
) -> None:
    async with counter(tmp_path, **{budget: 1_000}) as till:  # type: ignore[arg-type]
        till.opens("s1", "ann")
        till.opens("s2", "bob")
        await turn(till, "s1", 1, words(100))
        with pytest.raises(BudgetError) as refused:
            await till.allowance.reserve(session_id="s1", turn_id="t2")
        says = "start a new one" if budget == "session" else "filled up again at midnight"
        assert says in refused.value.message
        await turn(till, "s2", 1, words(1))
        assert till.allowance.refusal("bob") is None
        assert (till.allowance.refusal("ann") is None) == (budget == "session")


async def test_new_callers_are_refused_past_the_budget_until_the_next_day(tmp_path: Path) -> None:
    clock = Clock(wall=NOON + 11.5 * 3_600)
    async with counter(tmp_path, day=1_000, clock=clock) as till:
        assert till.allowance.refusal() is None
        till.calls("s1", words(100))
        refused = till.allowance.refusal()
        assert refused is not None
        assert refused.retry_after_s == 1_800
        clock.passes(1_800)
        assert till.allowance.refusal() is None


async def test_a_clock_set_back_frees_no_money(tmp_path: Path) -> None:
    clock = Clock(wall=NOON - 43_200 + 60)
    async with counter(tmp_path, day=1_000, clock=clock) as till:
        till.calls("s1", words(100))
        assert till.allowance.refusal() is not None
        clock.wall -= 3_600
        assert till.allowance.refusal() is not None
        with pytest.raises(BudgetError):
            await till.allowance.reserve(session_id="s1", turn_id="t1")


def cheap() -> Providers:
    return Providers(
        recognizer=ScriptedRecognizer(),
        language_model=ScriptedLanguageModel(),
        synthesizer=ScriptedSynthesizer(),
        voice_detector=ScriptedVoiceDetector(),
    )


async def test_degrading_goes_on_for_the_day_with_the_cheaper_ones_and_says_so_once(tmp_path: Path) -> None:
    cheaper, clock = cheap(), Clock()
    means = Means(reservation=lambda: RESERVATION, cheaper=lambda: cheaper)
    async with counter(tmp_path, day=1_000, past="degrade", means=means, clock=clock) as till:
        await turn(till, "s1", 1, words(100))
        grant = await till.allowance.reserve(session_id="s1", turn_id="t2")
        assert grant.providers is cheaper
        assert [notice.kind for notice in grant.notices] == ["budget"]
        # The reply was thrown away, and with it the notice: it comes again, until it was told.
        assert (await till.allowance.reserve(session_id="s1", turn_id="t2")).notices == grant.notices
        till.allowance.told("s1", grant.notices[0])
        later = await till.allowance.reserve(session_id="s1", turn_id="t3")
        assert (later.providers, later.notices) == (cheaper, ())
        assert till.keeper.totals().degraded
        assert till.allowance.refusal() is None
        clock.passes(86_400)
        assert (await till.allowance.reserve(session_id="s1", turn_id="t4")).providers is None
        assert not till.keeper.totals().degraded


async def test_with_nobody_cheaper_it_stops(tmp_path: Path) -> None:
    async with counter(tmp_path, day=1_000, past="degrade") as till:
        assert till.allowance.refusal() is None
        await turn(till, "s1", 1, words(100))
        with pytest.raises(BudgetError):
            await till.allowance.reserve(session_id="s1", turn_id="t2")
        refused = till.allowance.refusal()
        assert refused is not None, "callers whose turns would be refused are not let in"
        assert "filled up again at midnight" in refused.message
        assert {alert.name for alert in till.alerts} == {"nobody cheaper day 2026-11-23"}


async def burst(tills: Sequence[Till], turns: int) -> tuple[int, int, set[str]]:
    """All at once, each costing a tenth of what is set aside: those granted, those degraded, what users were told."""
    granted, degraded, told = 0, 0, set[str]()

    async def one(n: int) -> None:
        nonlocal granted, degraded
        till, session = tills[n % len(tills)], f"s{n}"
        grant = await till.allowance.reserve(session_id=session, turn_id="t1")
        granted += grant.providers is None
        degraded += grant.providers is not None
        told.update(notice.message for notice in grant.notices)
        await asyncio.sleep(1.0)
        till.calls(session, words(RESERVATION // 15 // 10))
        till.allowance.settle(session_id=session, turn_id="t1")

    await asyncio.gather(*(one(n) for n in range(turns)))
    return granted, degraded, told


async def test_a_burst_against_an_unspent_budget_does_not_degrade_the_day(tmp_path: Path) -> None:
    means = Means(reservation=lambda: RESERVATION, cheaper=cheap)
    async with counter(tmp_path, day=35 * RESERVATION, past="degrade", means=means) as till:
        assert await burst([till], 50) == (35, 15, {CHEAPER_ONCE})
        assert not till.keeper.totals().degraded
        assert till.allowance.cheaper("s1") is None
        assert (await till.allowance.reserve(session_id="s99", turn_id="t2")).providers is None


async def test_a_burst_against_an_unspent_budget_ends_no_conversation(tmp_path: Path) -> None:
    async with counter(tmp_path, day=35 * RESERVATION, past="stop") as till:
        assert await burst([till], 50) == (50, 0, set())


async def test_a_session_is_heard_by_the_cheaper_one_from_the_moment_its_budget_is_spent(
    tmp_path: Path,
) -> None:
    cheaper = cheap()
    means = Means(reservation=lambda: RESERVATION, cheaper=lambda: cheaper)
    async with counter(tmp_path, caller=1_000, past="degrade", means=means) as till:
        till.opens("s1", "ann")
        till.opens("s2", "bob")
        assert till.allowance.cheaper("s1") is None
        till.calls("s1", words(100))
        assert till.allowance.cheaper("s1") is cheaper
        assert till.allowance.cheaper("s2") is None


async def test_a_model_without_a_price_can_be_made_an_error(tmp_path: Path) -> None:
    means = Means(reservation=lambda: 0, refuse_unpriced=True)
    async with counter(tmp_path, means=means) as till:
        await turn(till, "s1", 1, words(1))
        await turn(till, "s1", 2, words(1, provider="strange:voice"))
        with pytest.raises(BudgetError, match="nobody knows what an answer would cost"):
            await till.allowance.reserve(session_id="s1", turn_id="t3")


async def test_a_dear_turn_makes_the_next_reservations_larger(tmp_path: Path) -> None:
    async with counter(tmp_path, day=10**6) as till:
        await turn(till, "s1", 1, words(1_000), words(1_000))
        await till.allowance.reserve(session_id="s1", turn_id="t2")
        await till.keeper.written()
        assert till.keeper.totals().held == 30_000


async def test_a_day_with_a_clock_change_has_one_budget(tmp_path: Path) -> None:
    # Berlin's 25 October 2026 begins at 22:00 UTC the day before and has 25 hours.
    clock = Clock(wall=NOON - 30 * 86_400 + 36_000)
    async with counter(tmp_path, day=1_000, clock=clock, zone="Europe/Berlin") as till:
        assert till.keeper.totals().day == "2026-10-25"
        till.calls("s1", words(100))
        clock.passes(25 * 3_600 - 1)
        assert till.allowance.refusal() is not None
        clock.passes(1)
        assert till.allowance.refusal() is None


def test_a_reservation_covers_the_dearest_that_may_be_asked() -> None:
    who = {
        "asr": ["scripted:recognizer"],
        "llm": ["scripted:language-model", "free:x"],
        "tts": ["scripted:voice"],
    }
    size = TurnSize(context_tokens=2_000, reply_tokens=300, tries=1)
    turn_cost = most(book(), who, size, Clock().calendar().today())  # type: ignore[arg-type]
    assert turn_cost == 3_000 + 8_000 + 22_500
    twice = most(book(), who, replace(size, tries=2), Clock().calendar().today())  # type: ignore[arg-type]
    assert twice == 2 * (3_000 + 8_000) + 22_500 + 300 * 15, "a reply is not spoken twice, but for a sentence"


@given(
    st.lists(
        st.tuples(st.sampled_from(["reserve", "settle"]), st.integers(0, 5), st.integers(0, 1_000)),
        max_size=60,
    )
)
def test_whatever_the_order_spending_stays_below_the_limit_and_one_reservation(
    steps: list[tuple[str, int, int]],
) -> None:
    tally, limit = Tally(), 5_000
    for what, who, cost in steps:
        if what == "reserve":
            tally.reserve(Ask(id=str(who), micros=1_000, limits={"day": limit}))
        elif str(who) in tally.asks:
            tally.expect("day", cost)
            tally.release(str(who))
        held = tally.held.get("day", 0)
        assert held == 1_000 * len(tally.asks)
        assert tally.spent("day") + held < limit + 1_000


# ---- replicas ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def replicas(
    server: ValkeyServer,
    count: int,
    *,
    reserved_ms: int = 30_000,
    day: int = 20_000,
    past: Past = "stop",
    means: Means | None = None,
) -> AsyncIterator[list[Till]]:
    async with AsyncExitStack() as stack:
        tills = []
        for _ in range(count):
            # A busy machine is no store that went away: past a second each server would decide for itself.
            connection = await stack.enter_async_context(open_valkey(server.url, timeout_s=30.0))
            books = ValkeyBooks(connection, reserved_ms=reserved_ms)
            tills.append(
                await stack.enter_async_context(
                    open_till(books, limits=Limits(day=day), past=past, means=means)
                )
            )
        yield tills


@pytest.mark.real_time
async def test_fifty_turns_on_three_replicas_against_a_budget_that_is_nearly_spent(
    valkey: ValkeyServer,
) -> None:
    async with replicas(valkey, 3) as tills:
        tills[0].calls("before", words(1_200))  # 18,000 of 20,000
        await tills[0].keeper.written()
        granted = 0

        async def one(n: int) -> None:
            nonlocal granted
            till = tills[n % 3]
            try:
                await till.allowance.reserve(session_id=f"s{n}", turn_id="t1")
            except BudgetError:
                return
            granted += 1
            till.calls(f"s{n}", words(66))  # 990
            till.allowance.settle(session_id=f"s{n}", turn_id="t1")
            await till.keeper.written()

        await asyncio.gather(*(one(n) for n in range(50)))
        spent = (await tills[0].books.spent(tills[0].keeper.calendar.today()))["day 2026-11-23"]
        assert granted >= 2
        assert 20_000 - RESERVATION <= spent <= 20_000 + RESERVATION
        assert sorted(int(str(each)) for till in tills for each in till.thresholds()) in (
            [50, 80],
            [50, 80, 100],
        )


@pytest.mark.real_time
async def test_a_burst_on_three_replicas_does_not_degrade_the_day(valkey: ValkeyServer) -> None:
    means = Means(reservation=lambda: RESERVATION, cheaper=cheap)
    async with replicas(valkey, 3, day=35 * RESERVATION, past="degrade", means=means) as tills:
        assert await burst(tills, 50) == (35, 15, {CHEAPER_ONCE})
        for till in tills:
            await till.keeper.written()
            assert not till.keeper.totals().degraded
        assert (await tills[0].allowance.reserve(session_id="s99", turn_id="t2")).providers is None


@pytest.mark.real_time
async def test_a_burst_on_three_replicas_ends_no_conversation(valkey: ValkeyServer) -> None:
    async with replicas(valkey, 3, day=35 * RESERVATION, past="stop") as tills:
        assert await burst(tills, 50) == (50, 0, set())


@pytest.mark.real_time
async def test_replicas_agree_that_a_day_is_spent(valkey: ValkeyServer) -> None:
    means = Means(reservation=lambda: RESERVATION, cheaper=cheap)
    async with replicas(valkey, 2, past="degrade", means=means) as (one, other):
        one.calls("s1", words(2_000))
        await one.keeper.written()
        assert one.allowance.cheaper("s1") is not None
        grant = await other.allowance.reserve(session_id="s2", turn_id="t1")
        assert [notice.message for notice in grant.notices] == [CHEAPER]
        assert other.allowance.cheaper("s2") is not None
        assert one.keeper.totals().degraded
        assert other.keeper.totals().degraded
        assert [*one.thresholds(), *other.thresholds()] == [50, 80, 100], (
            "who watches is told that it degrades"
        )


@pytest.mark.real_time
async def test_a_turn_taken_back_and_answered_anew_keeps_its_reservation(valkey: ValkeyServer) -> None:
    async with replicas(valkey, 1) as (till,):
        await till.allowance.reserve(session_id="s1", turn_id="t1")
        till.allowance.settle(session_id="s1", turn_id="t1")
        await till.allowance.reserve(session_id="s1", turn_id="t1")
        await till.keeper.written()
        assert await till.books.held(till.keeper.calendar.today()) == RESERVATION
        assert till.keeper.totals().held == RESERVATION
        till.allowance.settle(session_id="s1", turn_id="t1")
        await till.keeper.written()
        assert await till.books.held(till.keeper.calendar.today()) == 0


class FullThenAway(SqliteBooks):
    """A shared store that has nothing left for a turn, and then goes away."""

    shared = True
    asked = 0

    async def reserve(self, ask: Ask) -> str:
        self.asked += 1
        if self.asked == 1:
            return next(iter(ask.limits))
        raise StoreUnavailable("gone")


async def test_a_turn_that_the_store_refused_is_not_let_in_because_the_store_went_away(
    tmp_path: Path,
) -> None:
    books = FullThenAway(tmp_path)
    async with open_till(books, limits=Limits(day=20_000)) as till:
        with pytest.raises(SetAsideError):
            await till.allowance.reserve(session_id="s1", turn_id="t1")
        await till.allowance.reserve(session_id="s2", turn_id="t1")  # what is known here decides
    books.close()


@pytest.mark.real_time
async def test_turns_that_cost_nothing_reserve_and_release_nothing(valkey: ValkeyServer) -> None:
    async with replicas(valkey, 1) as (till,):
        nothing = Ask(id="s1", micros=0, limits={"day 2026-11-23": 20_000})
        for _ in range(2):
            assert await till.books.reserve(nothing) == ""
            await till.books.append(Batch(id="b", entries=(), released=("s1",)))


@pytest.mark.real_time
async def test_what_a_dead_replica_held_is_free_after_a_while(valkey: ValkeyServer) -> None:
    async with replicas(valkey, 2, reserved_ms=2_000) as (dead, alive):
        for n in range(20):
            assert (
                await dead.books.reserve(Ask(id=f"s{n}", micros=1_000, limits={"day 2026-11-23": 20_000}))
                == ""
            )
        last = Ask(id="x", micros=1_000, limits={"day 2026-11-23": 20_000})
        assert await alive.books.reserve(last) == "day 2026-11-23"
        today = alive.keeper.calendar.today()
        async with asyncio.timeout(10):
            # The store's clock decides, and it tells nobody.
            while await alive.books.reserve(last) or await alive.books.held(today) > 1_000:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@pytest.mark.real_time
async def test_while_the_store_is_away_each_server_decides_by_what_it_knows(valkey: ValkeyServer) -> None:
    async with replicas(valkey, 1) as (till,):
        till.calls("s1", words(1_300))
        await till.keeper.written()
        valkey.stop()
        await till.allowance.reserve(session_id="s1", turn_id="t1")
        with pytest.raises(SetAsideError):
            await till.allowance.reserve(session_id="s2", turn_id="t1")
        assert till.alerts[-1].kind == "ledger"
        valkey.start()
        await till.keeper.written()


def test_usage_of_a_call_that_was_cut_short_is_what_it_says() -> None:
    call = ProviderCall(kind="tts", provider="scripted:voice", usage=Usage(characters=12), cancelled=True)
    priced = book().price(call, Clock().calendar().today())
    assert priced is not None
    assert priced.micros == 180
