"""What watching costs: metering and metrics a turn, log lines, a scrape with 50 sessions, traces.

python -m benchmarks.telemetry [--turns N]

Everything is put together as a server has it (``app``): prices, the ledger in a folder of its own, a day's budget that
each turn is set aside from, metrics, the operator's page, the day's figures on disk. Prints processor time, in medians
over rounds, and ratios where a machine's speed would decide otherwise. Nothing is sent anywhere: spans go through the
real encoder and are thrown away, log lines are written as JSON to ``/dev/null``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args
from urllib.error import HTTPError
from urllib.request import urlopen

from benchmarks.vendor_servers.process import vendor
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client.parser import text_string_to_metric_families
from tests.conversations.scenario import talk
from tests.virtual_time import run_virtual

from antiphon.app import build_application
from antiphon.app.observing import observability_of, watch_costs
from antiphon.app.usage import open_costs
from antiphon.cli.own_server import own_server
from antiphon.conversation import events
from antiphon.conversation.listening import KEPT_FROM_LISTENERS, Listener, SessionFacts
from antiphon.providers.health import ProviderState
from antiphon.providers.metering import Kind
from antiphon.server.serving import listen
from antiphon.settings import Settings, load_settings
from antiphon.telemetry.exporting import tracer_provider
from antiphon.telemetry.logs import configure_logs
from antiphon.telemetry.pricing import Price
from antiphon.telemetry.traces import Traces
from antiphon.telemetry.turn_log import TurnLog
from antiphon.usage.allowance import BudgetAllowance
from antiphon.usage.bookkeeper import Bookkeeper
from antiphon.usage.prices import open_prices

Story = list[events.Event]

SESSIONS = 50
ROUNDS = 7
CALLERS, MINUTES = 10, 0.5
CROWD, CROWD_MINUTES = 50, 1.0
PACED_SESSIONS = 12
PACED_ROUNDS = 5
"""With listeners and without, in turns: their difference is small beside what else a machine does in six seconds."""
CALL_EVERY_S = 0.028
"""50 callers with a turn every six seconds, each of which makes four to five requests."""
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
VENDORS = {"asr": "openai:whisper-1", "llm": "openai:gpt-4o-mini", "tts": "openai:tts-1"}
BUDGET_USD = 1_000.0
"""A day's: never spent here, and looked at in every turn."""


def story() -> Story:
    """All that listeners are told of a conversation with pauses, an "uh-huh" and an interruption: four turns. The
    providers are scripted; they are given vendors' names, so that there is something to price."""

    async def held() -> Story:
        told: Story = []
        replies = {"story": "Here is a long story about a dog that wanted to speak and could not."}
        async with talk(replies, observe=told.append) as conversation:
            conversation.user.says("what time is it", from_=0.5, to=1.5)
            conversation.user.says("and then tell me", from_=6.0, to=6.9)
            conversation.user.says("a story", from_=7.25, to=7.8)
            conversation.user.says("uh-huh", from_=9.6, to=10.0)
            conversation.user.says("stop that please", from_=11.3, to=12.2)
            await conversation.until(20.0)
        return told

    return run_virtual(held())


class Stories:
    """The story again and again, each time as told of other turns: what a listener remembers of one is no use to it in
    the next. ``turns``: replies in one."""

    def __init__(self, told: Story) -> None:
        self.events = len(told)
        self.turns = sum(isinstance(event, events.ReplyDone) for event in told)
        self._told = told
        self._numbers = itertools.count()

    def again(self, sessions: int) -> list[list[Story]]:
        """So many stories, each in its turns: what comes until a reply is over."""
        return [self._turns(next(self._numbers)) for _ in range(sessions)]

    def _turns(self, number: int) -> list[Story]:
        turns: list[Story] = [[]]
        for event in self._named(number):
            turns[-1].append(event)
            if isinstance(event, events.ReplyDone):
                turns.append([])
        *turns, after = turns
        turns[-1].extend(after)
        return turns

    def _named(self, number: int) -> Iterator[events.Event]:
        """A reply has the same objects as were told before it, as they are in a server."""
        known: dict[int, events.ProviderCall] = {}

        def named(call: events.ProviderCall) -> events.ProviderCall:
            other = replace(call, provider=VENDORS[call.kind], turn_id=f"{call.turn_id}-{number}")
            return known.setdefault(id(call), other)

        for event in self._told:
            match event:
                case events.ProviderCall():
                    yield named(event)
                case events.ReplyDone():
                    yield replace(event, calls=tuple(named(call) for call in event.calls))
                case _:
                    yield event


class Thrown(SpanExporter):
    """Encodes as the real one does, and sends nothing."""

    size = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.size += len(encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who watches, of those that a server has."""

    listeners: Sequence[Listener] = ()
    allowance: BudgetAllowance | None = None
    """Asked for leave before each turn."""
    keeper: Bookkeeper | None = None
    """Waited for at the end: what it has not written yet is a part of the work."""


async def tell(watchers: Watchers, stories: Sequence[Sequence[Story]], *, call_every_s: float = 0.0) -> float:
    """Sessions one after the other, with a pause after each call if wanted; ms of processor time, all threads
    together."""
    began = time.process_time()
    listeners, allowance = watchers.listeners, watchers.allowance
    for number, turns in enumerate(stories):
        name = f"session-{number}"
        for listener in listeners:
            listener.opened(SessionFacts(session_id=name))
        for turn, happened in enumerate(turns):
            if allowance is not None:
                await allowance.reserve(session_id=name, turn_id=str(turn))
            for event in happened:
                for listener in listeners if type(event) not in KEPT_FROM_LISTENERS else ():
                    listener.told(name, event)
                if call_every_s and isinstance(event, events.ProviderCall):
                    await asyncio.sleep(call_every_s)
            if allowance is not None:
                allowance.settle(session_id=name, turn_id=str(turn))
        for listener in listeners:
            listener.closed(name, "client_left")
    if watchers.keeper is not None:
        await watchers.keeper.written()
    return (time.process_time() - began) * 1000


def processor_ms(act: Callable[[], object]) -> float:
    """Processor time of this process, all threads, in ms."""
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1000


def settings_in(folder: str) -> Settings:
    """A server whose providers cost nothing by themselves, with a budget."""
    chosen = dict.fromkeys(("asr", "llm", "tts"), "scripted")
    wanted = {**chosen, "data": folder, "budget_day_usd": BUDGET_USD}
    return load_settings({}, folder=Path(folder), overrides=wanted).settings


@asynccontextmanager
async def composed() -> AsyncIterator[tuple[Watchers, Watchers]]:
    """Metrics, and metering, as a server has them."""
    with TemporaryDirectory() as folder:
        settings = settings_in(folder)
        watching = observability_of(settings)
        async with open_costs(settings) as costs, watching.watch() as metrics:
            watch_costs(watching, costs)
            metering = (costs.keeper, costs.allowance)
            yield Watchers(metrics), Watchers(metering, costs.allowance, costs.keeper)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=1000, help="turns a round")
    turns = parser.parse_args().turns
    stories = Stories(story())
    sessions = max(1, turns // stories.turns)
    per_turn = stories.events // stories.turns
    print(f"{sessions * stories.turns} turns a round, {per_turn} events a turn, {ROUNDS} rounds, medians\n")
    with open(os.devnull, "w") as nowhere:
        configure_logs(form="json", stream=nowhere)
        say(f"metering and metrics in a server with {CROWD} callers", watched_ms(), "a turn (aim: 1 ms)")
        asyncio.run(watch(stories, sessions))
        asyncio.run(scrape(stories, sessions))
        trace(stories, sessions)


async def watch(stories: Stories, sessions: int) -> None:
    """Metering and metrics alone in a process that sleeps between calls, which come as often as 50 callers make them:
    each step finds the processor's caches cold. And back to back, which says what of it is counting."""
    async with composed() as (metrics, metering):
        both = replace(metering, listeners=(*metrics.listeners, *metering.listeners))
        logs = Watchers((TurnLog(),))
        watched, logged = [], []
        for _ in range(PACED_ROUNDS):
            idle, watching, logging = [
                await tell(watchers, stories.again(PACED_SESSIONS), call_every_s=CALL_EVERY_S)
                for watchers in (Watchers(), both, logs)
            ]
            watched.append((watching - idle) / (PACED_SESSIONS * stories.turns))
            logged.append((logging - idle) / (PACED_SESSIONS * stories.turns))
        say("by themselves, each step out of sleep", statistics.median(watched), "a turn")
        for name, watchers in (
            ("metrics and the day's figures", metrics),
            ("prices, budget, ledger", metering),
        ):
            took = [await tell(watchers, stories.again(sessions)) for _ in range(ROUNDS)]
            say(f"  back to back: {name}", statistics.median(took) / (sessions * stories.turns))
        say("logs of turns, as JSON to nowhere", statistics.median(logged), "a turn")


def say(what: str, ms: float, more: str = "") -> None:
    """A line."""
    print(f"{what:<48}{ms:8.3f} ms {more}".rstrip())


def watched_ms() -> float:
    """Processor time of metering and metrics a turn, all threads together, in a server that does all the rest too:
    callers over WebSockets in real time, adapters that ask a vendor's server over HTTP, prices, a budget, a ledger on
    disk. See ``watched_server``."""
    with TemporaryDirectory() as folder, vendor("127.0.0.1") as settings, listen("127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        serving = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.watched_server", "--fd", str(listening.fileno())],
            env={
                **os.environ,
                **settings,
                "ANTIPHON_DATA": folder,
                "ANTIPHON_BUDGET_DAY_USD": str(BUDGET_USD),
                "ANTIPHON_ADDRESS_SESSIONS": "0",
                "ANTIPHON_ADDRESS_CONNECTS_PER_MINUTE": "0",
            },
            pass_fds=[listening.fileno()],
            stdout=subprocess.PIPE,
        )
        try:
            load = (
                "--url",
                url,
                "--callers",
                str(CROWD),
                "--minutes",
                str(CROWD_MINUTES),
                "--mix",
                "talk=100",
            )
            subprocess.run(
                [sys.executable, "-m", "antiphon", "load", *load], check=True, stdout=subprocess.DEVNULL
            )
        finally:
            serving.terminate()
            said, _ = serving.communicate()
        spent = json.loads(said)
    ms: float = spent["ms"] / spent["turns"]
    return ms


def _ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/ready", timeout=30) as answer:
            return bool(json.load(answer)["ready"])
    except HTTPError:
        return False  # not yet


async def scrape(stories: Stories, sessions: int) -> None:
    """Of a server with 50 sessions, every metric and all stages filled."""
    dice = random.Random(1)
    with TemporaryDirectory() as folder:
        application = build_application(settings_in(folder))
        async with application.routes.router.lifespan_context(application.routes):
            await application.readiness.opened.wait()
            metrics, audience = application.observability.metrics, application.audience
            metrics.sources.health = breakers
            await tell(Watchers((audience,)), stories.again(sessions))
            for number in range(SESSIONS):
                audience.opened(SessionFacts(session_id=f"live-{number}"))
                audience.refused(dice.choice(("busy", "rate_limited", "bad_ticket")))
            for form, accept in (("Prometheus", ""), ("OpenMetrics", OPENMETRICS)):
                took = statistics.median(processor_ms(partial(metrics.exposition, accept)) for _ in range(41))
                size = len(metrics.exposition(accept)[0])
                say(f"a scrape of {SESSIONS} sessions, {form}", took, f"for {size} bytes (aim: 20 ms)")
            took = statistics.median(
                processor_ms(partial(metrics.to_json, with_sessions=True)) for _ in range(41)
            )
            say("the same as JSON", took)


def breakers() -> list[ProviderState]:
    """Of a vendor for each part, and one to fall back on."""
    kinds: tuple[Kind, ...] = get_args(Kind)
    return [
        ProviderState(kind=kind, provider=name, position=position)
        for kind in kinds
        for position, name in enumerate((VENDORS[kind], "local:model"))
    ]


def prices() -> Price:
    """The real price book."""
    book, today = open_prices(None), date.today()

    def price(call: events.ProviderCall) -> int | None:
        priced = book.price(call, today)
        return None if priced is None else priced.micros

    return price


def trace(stories: Stories, sessions: int) -> None:
    """Making, encoding and throwing away the spans of every turn, against the engine's own work."""

    price = prices()

    def traced() -> float:
        provider = tracer_provider(Thrown())
        traces = Traces(provider.get_tracer("benchmark"), price=price)
        told = stories.again(sessions)
        began = time.process_time()
        asyncio.run(tell(Watchers((traces,)), told))
        provider.shutdown()
        return (time.process_time() - began) * 1000

    spans = statistics.median(traced() for _ in range(3)) / (sessions * stories.turns)
    say("traces, encoding included", spans, "a turn")
    turn_ms = server_ms()
    say("a turn of a server, as below", turn_ms)
    print(f"traces add {spans / turn_ms:.1%} to that (aim: 2 %)")
    print(
        f"\nThat server: a process of its own, {CALLERS} callers over WebSockets in real time for\n"
        f"{MINUTES * 60:.0f} s, providers and ear scripted: all of the time is our own, embedded ones would add to it."
    )


def server_ms() -> float:
    """Processor time of the server's process a turn, as its own /metrics tells it, while callers talk to it."""
    chosen = {f"ANTIPHON_{kind}": "scripted" for kind in ("ASR", "LLM", "TTS")}
    with TemporaryDirectory() as folder, _environment(ANTIPHON_DATA=folder, **chosen):
        with own_server(lambda _: None) as url:
            before = _figures(url)
            load = (
                "load",
                "--url",
                url,
                "--callers",
                str(CALLERS),
                "--minutes",
                str(MINUTES),
                "--mix",
                "talk=100",
            )
            subprocess.run([sys.executable, "-m", "antiphon", *load], check=True, stdout=subprocess.DEVNULL)
            after = _figures(url)
    return (after[0] - before[0]) * 1000 / (after[1] - before[1])


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    kept = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _figures(url: str) -> tuple[float, float]:
    """(seconds of processor time, turns) since the server began."""
    with urlopen(f"{url}/metrics") as answer:
        text = answer.read().decode()
    values = {"process_cpu_seconds_total": 0.0, "antiphon_turns_total": 0.0}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in values:
                values[sample.name] += sample.value
    return values["process_cpu_seconds_total"], values["antiphon_turns_total"]


if __name__ == "__main__":
    main()
