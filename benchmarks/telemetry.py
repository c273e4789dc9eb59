"""What watching costs: metering and metrics a turn, a scrape with 50 sessions, traces.

python -m benchmarks.telemetry [--turns N]

Prints processor time, in medians over rounds, and ratios where a machine's speed would decide otherwise. Nothing is
sent anywhere: spans go through the real encoder and are thrown away.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client.parser import text_string_to_metric_families
from tests.conversations.scenario import talk
from tests.virtual_time import run_virtual

from antiphon.cli.own_server import own_server
from antiphon.conversation import events
from antiphon.conversation.listening import Listener, SessionFacts
from antiphon.telemetry.exporting import tracer_provider
from antiphon.telemetry.metrics import Metrics
from antiphon.telemetry.pricing import Price
from antiphon.telemetry.recent import Recent
from antiphon.telemetry.traces import Traces
from antiphon.usage.bookkeeper import Bookkeeper
from antiphon.usage.calendar import Calendar, time_zone
from antiphon.usage.prices import open_prices
from antiphon.usage.sqlite_books import SqliteBooks

Story = list[events.Event]

SESSIONS = 50
ROUNDS = 7
CALLERS, MINUTES = 10, 0.5
LEDGER_SESSIONS = 12
LEDGER_ROUNDS = 5
"""With a ledger and without, in turns: their difference is small beside what else a machine does in six seconds."""
CALL_EVERY_S = 0.028
"""50 callers with a turn every six seconds, each of which makes four to five requests."""
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
VENDORS = {"asr": "openai:whisper-1", "llm": "openai:gpt-4o-mini", "tts": "openai:tts-1"}


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

    return [_named(event) for event in run_virtual(held())]


def _named(event: events.Event) -> events.Event:
    match event:
        case events.ProviderCall():
            return _renamed(event)
        case events.ReplyDone():
            return events.ReplyDone(
                turn_id=event.turn_id,
                reply_id=event.reply_id,
                text=event.text,
                latency_ms=event.latency_ms,
                stages=event.stages,
                calls=tuple(_renamed(call) for call in event.calls),
                interrupted=event.interrupted,
                error=event.error,
            )
        case _:
            return event


def _renamed(call: events.ProviderCall) -> events.ProviderCall:
    return events.ProviderCall(
        kind=call.kind,
        provider=VENDORS[call.kind],
        usage=call.usage,
        turn_id=call.turn_id,
        reply_id=call.reply_id,
        speculative=call.speculative,
        discarded=call.discarded,
        outcome=call.outcome,
        first_ms=call.first_ms,
        total_ms=call.total_ms,
    )


class Thrown(SpanExporter):
    """Encodes as the real one does, and sends nothing."""

    size = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.size += len(encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def tell(listeners: Sequence[Listener], told: Story, sessions: int) -> None:
    """The story, ``sessions`` times over."""
    for number in range(sessions):
        name = f"session-{number}"
        for listener in listeners:
            listener.opened(SessionFacts(session_id=name))
        for event in told:
            for listener in listeners:
                listener.told(name, event)
        for listener in listeners:
            listener.closed(name, "client_left")


def processor_ms(act: Callable[[], object]) -> float:
    """Processor time of this process, all threads, in ms."""
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1000


def prices() -> Price:
    """The real price book."""
    book, today = open_prices(None), date.today()

    def price(call: events.ProviderCall) -> int | None:
        priced = book.price(call, today)
        return None if priced is None else priced.micros

    return price


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=1000, help="turns a round")
    turns = parser.parse_args().turns
    told = story()
    in_it = sum(isinstance(event, events.ReplyDone) for event in told)
    sessions = max(1, turns // in_it)
    count = sessions * in_it
    price = prices()
    print(f"{count} turns a round, {len(told) // in_it} events a turn, {ROUNDS} rounds, medians\n")

    metrics, recent = Metrics(price=price), Recent(price=price)
    ledger = asyncio.run(ledger_ms(told, in_it))
    watching = statistics.median(
        processor_ms(lambda: tell((metrics, recent), told, sessions)) / count for _ in range(ROUNDS)
    )
    print(f"metrics, prices and the day's figures   {watching:7.3f} ms of processor time a turn")
    print(f"the ledger, as 50 callers fill it        {ledger:7.3f} ms")
    print(f"both                                    {watching + ledger:7.3f} ms   (aim: 1 ms)")

    scrape(metrics)
    trace(told, sessions, count, price)


async def ledger_ms(told: Story, in_it: int) -> float:
    """Processor time a turn of pricing, booking and writing each call, its SQLite thread included, with calls as often
    as 50 callers make them. What the event loop itself takes meanwhile is taken off."""
    with TemporaryDirectory() as folder:
        books = SqliteBooks(Path(folder))
        keeper = Bookkeeper(
            books=books,
            prices=open_prices(None),
            calendar=Calendar(time_zone("UTC"), wall=time.time, steady=time.monotonic),
        )
        await keeper.load()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keeper.run())
            await book([keeper], told)  # warm
            rounds = [await book([keeper], told) - await book([], told) for _ in range(LEDGER_ROUNDS)]
            keeper.stop()
        books.close()
    return statistics.median(rounds) / (LEDGER_SESSIONS * in_it)


async def book(keepers: Sequence[Bookkeeper], told: Story) -> float:
    """Conversations one after the other, calls in real time; ms of processor time."""
    began = time.process_time()
    for number in range(LEDGER_SESSIONS):
        for keeper in keepers:
            keeper.opened(SessionFacts(session_id=f"session-{number}"))
        for event in told:
            for keeper in keepers:
                keeper.told(f"session-{number}", event)
            if isinstance(event, events.ProviderCall):
                await asyncio.sleep(CALL_EVERY_S)
        for keeper in keepers:
            keeper.closed(f"session-{number}", "client_left")
    return (time.process_time() - began) * 1000


def scrape(metrics: Metrics) -> None:
    """With 50 sessions, every metric and all stages filled."""
    dice = random.Random(1)
    for number in range(SESSIONS):
        metrics.opened(SessionFacts(session_id=f"live-{number}"))
        metrics.refused(dice.choice(("busy", "rate_limited", "bad_ticket")))
    for form, accept in (("Prometheus", ""), ("OpenMetrics", OPENMETRICS)):
        took = statistics.median(processor_ms(lambda a=accept: metrics.exposition(a)) for _ in range(41))  # type: ignore[misc]
        size = len(metrics.exposition(accept)[0])
        print(f"a scrape of {SESSIONS} sessions, {form:<12} {took:7.3f} ms, {size} bytes   (aim: 20 ms)")
    took = statistics.median(processor_ms(lambda: metrics.to_json(with_sessions=True)) for _ in range(41))
    print(f"the same as JSON                        {took:7.3f} ms")


def trace(told: Story, sessions: int, count: int, price: Price) -> None:
    """Making, encoding and throwing away the spans of every turn, against the engine's own work."""

    def traced() -> None:
        provider = tracer_provider(Thrown())
        tell((Traces(provider.get_tracer("benchmark"), price=price),), told, sessions)
        provider.shutdown()

    spans = statistics.median(processor_ms(traced) / count for _ in range(3))
    print(
        f"traces                                  {spans:7.3f} ms of processor time a turn, encoding included"
    )
    turn_ms = server_ms()
    print(f"a turn of a server, as below            {turn_ms:7.3f} ms of processor time")
    print(f"traces add                              {spans / turn_ms:7.1%} to that   (aim: 2 %)")
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
