"""Does the ledger agree with the vendors' invoices, and do budgets hold?

    python benchmarks/ledger.py                     # all parts; some minutes
    python benchmarks/ledger.py turns --turns 500   # one part, shorter
    python benchmarks/ledger.py kill budget cpu

``turns``: 10,000 turns at 50 sessions through the real engine on virtual time, speculation on, one request in twenty
failing, one reply in five cut short, through the chains that a server composes (two vendors for each part, retries,
hedges, fallbacks, continuations, probes, the speech cache), at the shipped prices; the ledger's total beside what the
vendors wrote on their invoices from what came in and went out at their own edge.
``kill``: a server process killed with -9 in the middle; which calls the ledger lacks. With a file, and with Valkey,
where also the time is told until what the dead process had set aside is free.
``budget``: 50 concurrent turns on three processes against a budget that is nearly spent, in Valkey, thirty times over.
``cpu``: processor time that metering takes of a turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.ledger_invoice import TODAY, Invoices
from benchmarks.ledger_vendors import Stack, open_stacks
from benchmarks.ledger_world import PRICES, Quota, Talker
from benchmarks.plot import machine, write_json
from tests.valkey_server import running_valkey
from tests.virtual_time import run_virtual

from antiphon.conversation.calls import call_of
from antiphon.conversation.events import ProviderCall
from antiphon.conversation.listening import SessionFacts
from antiphon.errors import RefusedError
from antiphon.providers.base import Usage
from antiphon.providers.metering import Attempt, counting
from antiphon.store.valkey import open_valkey
from antiphon.usage.alerts import Alert
from antiphon.usage.allowance import BudgetAllowance, Means
from antiphon.usage.bookkeeper import Bookkeeper
from antiphon.usage.books import Ask, Books
from antiphon.usage.budgets import Limits
from antiphon.usage.calendar import Calendar, time_zone
from antiphon.usage.entry import SERVER, Entry, day_account
from antiphon.usage.prices import PriceBook, open_prices, parse_prices
from antiphon.usage.sqlite_books import SqliteBooks
from antiphon.usage.valkey_books import RESERVED_MS, ValkeyBooks

EVER = date.min, date.max
SESSIONS = 50
NOON = 1_795_435_200.0
"""2026-11-23 12:00 UTC."""
RESERVATION = 1_000
"""Micro-dollars."""
BUDGET = 100_000


@dataclass
class Desk:
    """A bookkeeper at work."""

    books: Books
    keeper: Bookkeeper
    allowance: BudgetAllowance
    thresholds: list[object]

    def opens(self, session: str) -> None:
        self.keeper.opened(SessionFacts(session_id=session))


@asynccontextmanager
async def desk(
    books: Books, *, limit: int = 10**12, wall: float | None = None, prices: PriceBook | None = None
) -> AsyncIterator[Desk]:
    """A bookkeeper that writes until it is left. ``wall``: a clock that stands; else the real one. ``prices``: those of
    the scripted providers, unless given."""
    thresholds: list[object] = []

    def tell(alert: Alert) -> None:
        thresholds.append(alert.details.get("threshold", alert.message))
        alert.delivered()

    keeper = Bookkeeper(
        books=books,
        prices=prices or PriceBook(parse_prices(PRICES, file="benchmark")),
        calendar=Calendar(
            time_zone("UTC"), wall=time.time if wall is None else lambda: wall, steady=time.monotonic
        ),
        limits=Limits(day=limit),
        past="stop",
        alert=tell,
    )
    await keeper.load()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.run())
        try:
            means = Means(reservation=lambda: RESERVATION)
            yield Desk(books, keeper, BudgetAllowance(keeper, means), thresholds)
        finally:
            keeper.stop()


def vendors_desk(books: Books) -> AbstractAsyncContextManager[Desk]:
    """One for the vendors of ``ledger_vendors``, on the day of their invoices."""
    return desk(books, wall=NOON, prices=open_prices())


# ---- turns ------------------------------------------------------------------------------------------------


async def talk_all(place: Desk, invoices: Invoices, turns: int, *, faults: float, typed: bool) -> Quota:
    """All sessions talk until so many turns were taken: half of them with one stack, half with the other."""
    quota = Quota(turns)

    def billed(attempt: Attempt) -> None:
        place.keeper.told(SERVER, call_of(attempt))

    with counting(billed):
        async with open_stacks(invoices, random.Random(6), faults=faults, quick=typed) as stacks:
            async with asyncio.TaskGroup() as tasks:
                for number in range(SESSIONS):
                    name, stack = f"s{number}", stacks[number % len(stacks)]
                    place.opens(name)
                    talker = Talker(name, stack, place.keeper, place.allowance, quota, random.Random(number))
                    tasks.create_task(talker.run(Talker.by_text if typed else Talker.by_voice))
            quota.resilience = resilience(stacks)
    return quota


def resilience(stacks: Sequence[Stack]) -> dict[str, int]:
    """What the chains had to do."""
    states = [state for stack in stacks for state in stack.chains.health()]
    return {
        name: sum(getattr(state, name) for state in states) for name in ("retries", "hedges", "fallbacks")
    }


async def recount(folder: Path, turns: int) -> dict[str, object]:
    books, invoices = SqliteBooks(folder), Invoices()
    async with vendors_desk(books) as place:
        quota = await talk_all(place, invoices, turns, faults=0.05, typed=False)
    lines = await books.lines(*EVER)
    entries = [entry async for entry in books.entries(*EVER)]
    total = sum(line.micros for line in lines)
    books.close()
    ended = Counter(entry.outcome for entry in entries)
    return {
        "turns": quota.taken,
        "sessions": SESSIONS,
        "replies_cut_short": quota.interrupted,
        "replies_failed": quota.failed,
        **quota.resilience,
        "calls": len(entries),
        "calls_by_outcome": dict(ended),
        "calls_speculative": sum(entry.speculative for entry in entries),
        "speculative_usd": sum(line.speculative_micros for line in lines) / 1e6,
        "cancelled_usd": sum(line.cancelled_micros for line in lines) / 1e6,
        "ledger_micros": total,
        "invoices": len(invoices.bills),
        "invoices_micros": sum(bill.micros for bill in invoices.bills),
        "by_provider_ledger_and_invoice": {
            provider: (sum(line.micros for line in lines if line.provider == provider), micros)
            for provider, micros in sorted(invoices.by_provider().items())
        },
        "differences": differences(entries, invoices),
        "held_at_the_end": place.keeper.totals().held,
        "equal": total == sum(bill.micros for bill in invoices.bills) and not differences(entries, invoices),
    }


def differences(entries: Sequence[Entry], invoices: Invoices) -> dict[str, int]:
    """``kind provider micro-dollars`` → how many more of those the ledger has than the invoices (fewer: below 0). What
    cost nothing is left out: a request that was given up before anything was sent, or came from the speech cache."""
    found = Counter(f"{entry.kind} {entry.provider} {entry.micros}" for entry in entries if entry.micros != 0)
    found.subtract(
        f"{bill.kind} {bill.vendor.partition(':')[0]} {bill.micros}" for bill in invoices.bills if bill.micros
    )
    return {name: more for name, more in sorted(found.items()) if more}


def turns_part(turns: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        return run_virtual(recount(Path(folder), turns))


# ---- kill -------------------------------------------------------------------------------------------------


async def talk_until_killed(folder: Path, store: str) -> None:
    """The child: typed turns on a real clock, invoices in a file."""
    file = os.open(folder / "invoices", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    invoices = Invoices(file)
    if store:
        async with (
            open_valkey(store) as valkey,
            vendors_desk(ValkeyBooks(valkey, folder=folder)) as place,
        ):
            await talk_all(place, invoices, 10**5, faults=0.05, typed=True)
    else:
        async with vendors_desk(SqliteBooks(folder)) as place:
            await talk_all(place, invoices, 10**5, faults=0.05, typed=True)


def kill_one(folder: Path, store: str, seconds: float) -> dict[str, object]:
    """Start the child, kill it, and look at what it left."""
    child = subprocess.Popen([sys.executable, __file__, "--child", str(folder), "--store", store])
    wait_for_line(folder / "invoices", child)
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.wait()
    return asyncio.run(left_behind(folder, store))


def wait_for_line(path: Path, child: subprocess.Popen[bytes]) -> None:
    while not (path.exists() and path.stat().st_size):
        if child.poll() is not None:
            raise SystemExit("the child ended by itself")
        time.sleep(0.05)


async def left_behind(folder: Path, store: str) -> dict[str, object]:
    begun, ended = set(), {}
    for line in (folder / "invoices").read_text().splitlines():
        what, number, *micros = line.split()
        begun.add(number)
        if what == "E":
            ended[number] = int(micros[0])
    found: dict[str, object] = {"calls_ended": len(ended), "calls_in_flight": len(begun) - len(ended)}
    if store:
        async with open_valkey(store) as valkey:
            books = ValkeyBooks(valkey, folder=folder)
            await books.spent(TODAY)  # what a start asks first; what the dead one had noted is taken over
            found |= await _missing(books, ended)
            found["set_aside_is_free_after_s"] = await _free_after(books)
            books.close()
    else:
        file = SqliteBooks(folder)
        found |= await _missing(file, ended)
        async with desk(file) as place:
            found["set_aside_after_restart"] = place.keeper.totals().held
        file.close()
    return found


async def _missing(books: Books, ended: dict[str, int]) -> dict[str, object]:
    written = [entry.micros or 0 async for entry in books.entries(*EVER) if not entry.cached]
    lacking = Counter(ended.values()) - Counter(written)
    return {
        "calls_in_ledger": len(written),
        "calls_missing": len(ended) - len(written),
        "missing_usd": sum(micros * times for micros, times in lacking.items()) / 1e6,
        "calls_that_no_vendor_billed": (Counter(written) - Counter(ended.values())).total(),
    }


async def _free_after(books: Books) -> float:
    """Seconds until a whole budget of the day's size can be set aside again."""
    began, account = time.monotonic(), day_account(TODAY.isoformat())
    while await books.held(TODAY):
        probe = Ask(id=f"probe {time.monotonic()}", micros=0, limits={account: 10**12})
        await books.reserve(probe)
        await asyncio.sleep(0.5)
        if time.monotonic() - began > 3 * RESERVED_MS / 1_000:
            break
    return round(time.monotonic() - began, 1)


def kill_part(seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, object] = {"file": kill_one(Path(folder), "", seconds)}
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder) / "valkey") as valkey:
        found["valkey"] = kill_one(Path(folder), valkey.url, seconds)
    return found


# ---- budget -----------------------------------------------------------------------------------------------


async def replica(number: int, store: str, rounds: int) -> None:
    """The child: each round a day of its own; waits for a line before each."""
    lines = await _standard_input()
    async with open_valkey(store) as valkey:
        for day in range(rounds):
            books = ValkeyBooks(valkey)
            async with desk(books, limit=BUDGET, wall=NOON + day * 86_400) as place:
                await lines.readline()
                granted = await asyncio.gather(
                    *(one_turn(place, f"{number}-{n}") for n in range(number, 50, 3))
                )
                await place.keeper.written()
            print(json.dumps({"granted": sum(granted), "told": place.thresholds}), flush=True)


async def one_turn(place: Desk, session: str) -> bool:
    """Reserve, spend almost all of it, settle."""
    try:
        await place.allowance.reserve(session_id=session, turn_id="t1")
    except RefusedError:
        return False
    spoken = ProviderCall(kind="tts", provider="scripted:voice", usage=Usage(characters=66), turn_id="t1")
    place.keeper.told(session, spoken)
    place.allowance.settle(session_id=session, turn_id="t1")
    return True


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


def budget_part(rounds: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as valkey:
        children = [
            subprocess.Popen(
                [
                    sys.executable,
                    __file__,
                    "--replica",
                    str(n),
                    "--store",
                    valkey.url,
                    "--rounds",
                    str(rounds),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(3)
        ]
        try:
            days = [one_round(children, valkey.url, day) for day in range(rounds)]
        finally:
            for child in children:
                child.kill()
                child.wait()
    over = [int(str(day["overspent"])) for day in days]
    told = Counter(threshold for day in days for threshold in day["told"])  # type: ignore[attr-defined]
    return {
        "rounds": rounds,
        "turns_a_round": 50,
        "processes": 3,
        "reservation_micros": RESERVATION,
        "turns_granted": [day["granted"] for day in days],
        "most_overspent_micros": max(over),
        "least_overspent_micros": min(over),
        "alerts": {str(threshold): times for threshold, times in sorted(told.items(), key=str)},
    }


def one_round(children: Sequence[subprocess.Popen[str]], store: str, day: int) -> dict[str, object]:
    """97 % of the day is spent already; then all turns come at once."""
    told: list[object] = asyncio.run(spend_most(store, day))
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [json.loads(child.stdout.readline()) for child in children if child.stdout is not None]
    for answer in answers:
        told += answer["told"]
    spent = asyncio.run(spent_on(store, day))
    return {
        "granted": sum(answer["granted"] for answer in answers),
        "told": told,
        "overspent": spent - BUDGET,
    }


async def spend_most(store: str, day: int) -> list[object]:
    async with open_valkey(store) as valkey:
        async with desk(ValkeyBooks(valkey), limit=BUDGET, wall=NOON + day * 86_400) as place:
            for characters in (3_000, 2_000, 1_466):
                spoken = ProviderCall(
                    kind="tts", provider="scripted:voice", usage=Usage(characters=characters)
                )
                place.keeper.told("before", spoken)
                await place.keeper.written()
        return place.thresholds


async def spent_on(store: str, day: int) -> int:
    on = date.fromtimestamp(NOON + day * 86_400)
    async with open_valkey(store) as valkey:
        return (await ValkeyBooks(valkey).spent(on))[day_account(on.isoformat())]


# ---- processor time ---------------------------------------------------------------------------------------


async def turn_of_calls(place: Desk | None, number: int) -> None:
    """A turn as it comes: two requests to hear it, one to answer, three clauses; without a desk only the waiting."""
    session = f"s{number % SESSIONS}"
    heard = ProviderCall(kind="asr", provider="scripted:recognizer", usage=Usage(audio_s=2.3), turn_id="t")
    wrote = Usage(input_tokens=800, cached_tokens=400, output_tokens=40)
    answer = ProviderCall(kind="llm", provider="scripted:language-model", usage=wrote, turn_id="t")
    spoke = ProviderCall(kind="tts", provider="scripted:voice", usage=Usage(characters=60), turn_id="t")
    for wait, call in ((0.2, heard), (0.2, heard), (0.5, answer), (0.3, spoke), (0.3, spoke), (0.3, spoke)):
        if call is answer and place is not None:
            await place.allowance.reserve(session_id=session, turn_id=f"t{number}")
        await asyncio.sleep(wait)
        if place is not None:
            place.keeper.told(session, call)
    if place is not None:
        place.allowance.settle(session_id=session, turn_id=f"t{number}")


async def packets() -> None:
    """What keeps a loop awake: a session's microphone."""
    while True:  # noqa: ASYNC110 - the waking up is what is wanted
        await asyncio.sleep(0.032)


async def processor_ms(place: Desk | None, turns: int, rate: float) -> float:
    """Of one turn, on a loop that 50 sessions keep awake: from an idle one, each wake-up would count as metering."""
    began = time.process_time()
    async with asyncio.TaskGroup() as tasks, asyncio.TaskGroup() as talking:
        microphones = [tasks.create_task(packets()) for _ in range(SESSIONS)]
        for number in range(turns):
            talking.create_task(turn_of_calls(place, number))
            await asyncio.sleep(1 / rate)
        await asyncio.sleep(2.0)
        for microphone in microphones:
            microphone.cancel()
    if place is not None:
        await place.keeper.written()
    return (time.process_time() - began) * 1_000 / turns


async def metering_cpu(turns: int, rate: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        books = SqliteBooks(Path(folder))
        async with desk(books) as place:
            place.keeper.told("warm", ProviderCall(kind="tts", provider="scripted:voice", usage=Usage()))
            await place.keeper.written()
            with_it = await processor_ms(place, turns, rate)
        books.close()
    without = await processor_ms(None, turns, rate)
    return {
        "turns": turns,
        "turns_a_second": rate,
        "calls_a_turn": 6,
        "metering_ms_a_turn": round(with_it - without, 3),
    }


# ---- all --------------------------------------------------------------------------------------------------

PARTS = ("turns", "kill", "budget", "cpu")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--turns", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=6.0, help="until the kill")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--cpu-turns", type=int, default=400)
    parser.add_argument(
        "--rate", type=float, default=8.0, help="turns a second: 50 sessions, one each six seconds"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--replica", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--store", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.child is not None:
        asyncio.run(talk_until_killed(given.child, given.store))
        return
    if given.replica is not None:
        asyncio.run(replica(given.replica, given.store, given.rounds))
        return
    found: dict[str, object] = {"machine": machine()}
    for part in given.parts or PARTS:
        began = time.monotonic()
        match part:
            case "turns":
                found[part] = turns_part(given.turns)
            case "kill":
                found[part] = kill_part(given.seconds)
            case "budget":
                found[part] = budget_part(given.rounds)
            case "cpu":
                found[part] = asyncio.run(metering_cpu(given.cpu_turns, given.rate))
            case _:
                raise SystemExit(f"there is no part {part!r}; there are {', '.join(PARTS)}")
        print(f"{part} ({time.monotonic() - began:.0f} s)", json.dumps(found[part], indent=2), flush=True)
    write_json(Path(__file__).parent / "out" / "ledger.json", found)


if __name__ == "__main__":
    main()
