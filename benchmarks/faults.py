"""What callers notice when providers fail: 10 % of requests failing, 5 % stalling for 30 s, at random.

    python benchmarks/faults.py                      # 1,000 turns by 20 callers: about six minutes
    python benchmarks/faults.py --turns 100          # a look
    python benchmarks/faults.py --fallback vendor    # whose fallbacks fail as often as the first
    python benchmarks/faults.py --fallback none      # nobody else to ask
    python benchmarks/faults.py --http2              # all requests share one connection, over TLS
    python benchmarks/faults.py --sockets            # Deepgram hears and ElevenLabs speaks, over WebSockets

Callers talk to the real engine; it asks vendor servers over real sockets (recognition 300 ms, first token 300 ms,
first sound 200 ms), with fallbacks that stand for the embedded models. Then one vendor dies and comes back.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import uvloop
from benchmarks.fault_run import Outcome, hold_calls
from benchmarks.leftovers import Leftovers
from benchmarks.plot import percentile
from benchmarks.vendor_servers import Fault, VendorServers, VendorWorld, open_vendor_servers
from benchmarks.vendor_servers.deepgram_sockets import deepgram_sockets
from benchmarks.vendor_servers.elevenlabs_sockets import elevenlabs_sockets

from antiphon.app.assistant import open_assistant
from antiphon.conversation.config import Providers
from antiphon.errors import ProviderError
from antiphon.providers.base import LanguageOptions, Message
from antiphon.providers.metering import Attempt, counting
from antiphon.sessions.offer import Assistant
from antiphon.settings import Settings, load_settings
from antiphon.telemetry.logs import configure_logs

Fallback = Literal["embedded", "vendor", "none"]
Over = Literal["http1", "http2", "sockets"]

FALLBACKS = ("scripted", "groq", "localai")
"""Whoever does not come first in a chain."""

FAILING, STALLING, STALL_S = 0.1, 0.05, 30.0

FAILURES: tuple[Fault, ...] = ("fail", "overloaded", "gateway", "rate_limit", "cut", "malformed")
"""What a failing request meets, in equal parts; a text or sound that is empty as well."""

SOCKET_FAILURES: tuple[Fault, ...] = ("fail", "overloaded", "cut", "malformed")
"""The same on a socket that is open already. All of them end it, for everybody who speaks over it."""

SOCKET_ASR_MS = 50
"""For each interim result and the final one: words come while they are spoken."""

REPLY = "It is a number that people like very much."

FIGURES = {
    "turns answered": "≥ 99.5 %",
    "longest silence": "≤ 4 s",
    "silent for more than 4 s": "0",
    "sessions lost": "0",
    "tasks left": "0",
    "connections left": "0",
    "both, after closing": "0",
    "failures until the breaker opened": "≤ 5",
    "used again after it was back": "≤ 10 s",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=1_000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--fallback", choices=("embedded", "vendor", "none"), default="embedded")
    over = parser.add_mutually_exclusive_group()
    over.add_argument("--http2", dest="over", action="store_const", const="http2", default="http1")
    over.add_argument("--sockets", dest="over", action="store_const", const="sockets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", action="store_true", help="show what the server logs")
    return parser.parse_args()


def settings(url: str, second: str, fallback: Fallback, **more: str) -> Settings:
    """A vendor, and who answers instead; ``more`` chooses others for a part: ``asr="deepgram"``."""
    # Two vendors need two names: Groq's format is OpenAI's.
    instead = {"embedded": ",scripted", "vendor": ",groq:second,scripted", "none": ""}[fallback]
    chosen = {
        "asr": more.pop("asr", "openai") + instead,
        "llm": f"openai{instead}",
        "tts": more.pop("tts", "openai") + instead.replace("groq:second", "localai:second"),
        "ear": "scripted",
        "openai_base_url": f"{url}/v1",
        "openai_api_key": "sk-benchmark",
        "groq_base_url": f"{second}/v1",
        "groq_api_key": "sk-benchmark",
        "localai_base_url": f"{second}/v1",
        "scripted_reply": REPLY,
        "speech_cache_mb": "0",
        **more,
    }
    return load_settings({}, folder=Path("/nonexistent"), overrides=chosen).settings


def unsteady(seed: int, *, sockets: bool = False) -> VendorWorld:
    """A vendor that fails at random; one with ``sockets`` hears and speaks over them."""
    world = VendorWorld(
        asr_ms=SOCKET_ASR_MS if sockets else 300,
        llm_ms=300,
        tts_ms=200,
        tokens_per_s=50,
        real_time_factor=0.1,
        reply=REPLY,
        stall_s=STALL_S,
    )
    for number, kind in enumerate(("asr", "llm", "tts")):
        failures = SOCKET_FAILURES if sockets and kind != "llm" else FAILURES
        if kind != "asr":
            failures = (*failures, "empty")
        world.faults[kind].extend(_faults(seed + number, failures))  # type: ignore[index]
    return world


def _faults(seed: int, kinds: Sequence[Fault]) -> Iterator[Fault | None]:
    dice = random.Random(seed)
    for _ in range(50_000):
        at = dice.random()
        if at < FAILING:
            yield dice.choice(kinds)
        else:
            yield "stall" if at < FAILING + STALLING else None


@asynccontextmanager
async def opened(given: argparse.Namespace) -> AsyncIterator[tuple[Assistant, VendorServers]]:
    """The providers, the first of which is unsteady, as is a second vendor."""
    speaking: Literal["http", "http2"] = "http2" if given.over == "http2" else "http"
    world = unsteady(given.seed, sockets=given.over == "sockets")
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(open_vendor_servers(world, speaking=speaking))
        second = await stack.enter_async_context(
            open_vendor_servers(unsteady(given.seed + 100), speaking=speaking)
        )
        stack.enter_context(trusted(servers, second))
        more: dict[str, str] = {}
        if given.over == "sockets":
            more = await over_sockets(world, stack)
        chosen = settings(servers.url, second.url, given.fallback, **more)
        yield await stack.enter_async_context(open_assistant(chosen, lambda _: None)), servers


async def over_sockets(world: VendorWorld, stack: AsyncExitStack) -> dict[str, str]:
    """The settings for those who hear and speak over them, in the same world."""
    hears = await stack.enter_async_context(deepgram_sockets(world))
    speaks = await stack.enter_async_context(elevenlabs_sockets(world))
    return {
        "asr": "deepgram",
        "deepgram_api_key": "benchmark",
        "deepgram_base_url": hears.url,
        "tts": "elevenlabs",
        "elevenlabs_api_key": "benchmark",
        "elevenlabs_base_url": speaks.url,
    }


@contextmanager
def trusted(*servers: VendorServers) -> Iterator[None]:
    """Certificates of servers with TLS are taken, as an operator would have it with those of a company."""
    certificates = [server.certificate.read_text() for server in servers if server.certificate]
    if not certificates:
        yield
        return
    before = os.environ.get("SSL_CERT_FILE")
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "certificates.pem"
        bundle.write_text("\n".join(certificates))
        os.environ["SSL_CERT_FILE"] = str(bundle)
        try:
            yield
        finally:
            del os.environ["SSL_CERT_FILE"]
            os.environ.update({"SSL_CERT_FILE": before} if before else {})


def sockets() -> int:
    """Open sockets of this process."""
    links = Path("/proc/self/fd").iterdir()
    return sum(1 for link in links if _target(link).startswith("socket:"))


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


async def watched_loop(lags: list[float]) -> None:
    """How late the loop wakes: on a busy machine that is silence, too, but not the providers'."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.05
        await asyncio.sleep(0.05)
        lags.append(loop.time() - due)


async def fault_run(given: argparse.Namespace) -> dict[str, str]:
    """The callers, and what was left behind."""
    gc.collect()
    tasks, held = len(asyncio.all_tasks()), sockets()
    lags: list[float] = []
    async with opened(given) as (assistant, servers), asyncio.TaskGroup() as group:
        await asyncio.sleep(0.2)  # those who keep watch have begun
        left = Leftovers()
        watching = group.create_task(watched_loop(lags))
        outcome = await hold_calls(assistant.providers, sessions=given.sessions, turns=given.turns)
        watching.cancel()
        figures = report(outcome, assistant)
        figures["event loop late, p99 / max"] = (
            f"{percentile(lags, 99) * 1000:.0f} / {max(lags) * 1000:.0f} ms"
        )
        await settled(servers)
        await left.settle()
        figures["connections to the first vendor"] = str(len(servers.world.connections))
        figures["requests left under way"] = str(servers.world.under_way)
    for what, count in Counter(left.tasks).most_common():
        print(f"  left behind: {count} x {what}")
    gc.collect()
    await asyncio.sleep(0.2)  # transports close in the next turns of the loop
    figures["tasks left"] = str(len(left.tasks))
    figures["connections left"] = str(left.connections)
    figures["both, after closing"] = str(len(asyncio.all_tasks()) - tasks + sockets() - held)
    return figures


async def settled(servers: VendorServers) -> None:
    """Until no request is under way; requests that were left are over at once."""
    try:
        async with asyncio.timeout(2.0):
            while servers.world.under_way:
                servers.world.settled.clear()
                await servers.world.settled.wait()
    except TimeoutError:
        return


def report(outcome: Outcome, assistant: Assistant) -> dict[str, str]:
    """The figures of the run."""
    firsts = outcome.first_sounds_ms()
    outcomes = Counter(call.outcome for turn in outcome.turns for call in turn.calls)
    by_fallback = sum(any(name.startswith(FALLBACKS) for name in turn.providers) for turn in outcome.turns)
    faults = {cause: count for cause, count in outcomes.most_common() if cause not in ("ok", "cancelled")}
    for state in assistant.health():
        print(
            f"  {state.kind} {state.provider:32} calls {state.calls:5}  retries {state.retries:4}  "
            f"fallbacks {state.fallbacks:4}  {state.failures}"
        )
    for turn in [turn for turn in outcome.turns if not turn.answered or turn.silence_s > 4.0][:10]:
        calls = [(call.kind, call.outcome, round(call.total_ms)) for call in turn.calls]
        print(f"  not as it should be: silent {turn.silence_s:.1f} s, {turn.error or turn.text!r}, {calls}")
    return {
        "turns": str(len(outcome.turns)),
        "turns answered": f"{outcome.answered:.2%}",
        "of them with a fallback's help": str(by_fallback),
        "spoken apologies": str(sum(turn.apologised for turn in outcome.turns)),
        "failed requests in them": str(sum(faults.values())),
        "first sound p50 / p95 / max": (
            f"{percentile(firsts, 50):.0f} / {percentile(firsts, 95):.0f} / {percentile(firsts, 100):.0f} ms"
        ),
        "longest silence": f"{outcome.longest_silence_s:.2f} s",
        "silent for more than 4 s": str(outcome.silent_for_more_than(4.0)),
        "sessions lost": str(outcome.lost),
    }


# ---- a vendor that dies -------------------------------------------------------------------------------------

DEAD_S = 12.0
ASK_EVERY_S = 0.25


async def dying() -> dict[str, str]:
    """Somebody asks all the time; the vendor is away for some seconds, then back."""
    world = VendorWorld(llm_ms=300, asr_ms=300, tts_ms=200, reply=REPLY)
    async with (
        open_vendor_servers(world) as servers,
        open_assistant(settings(servers.url, servers.url, "embedded"), lambda _: None) as assistant,
    ):
        loop = asyncio.get_running_loop()
        await ask(assistant.providers)
        world.fail_share = 1.0
        back_at = loop.time() + DEAD_S
        failures = again = None
        while again is None and loop.time() < back_at + 30.0:
            if loop.time() >= back_at:
                world.fail_share = 0.0
            attempts = await ask(assistant.providers)
            state = next(state for state in assistant.health() if state.kind == "llm")
            if failures is None and state.breaker != "closed":
                failures = sum(state.failures.values())
            served = attempts[-1].provider.startswith("openai") and attempts[-1].outcome == "ok"
            if served and loop.time() > back_at:
                again = loop.time() - back_at
            await asyncio.sleep(ASK_EVERY_S)
    return {
        "failures until the breaker opened": str(failures),
        "used again after it was back": "never" if again is None else f"{again:.1f} s",
    }


async def ask(providers: Providers) -> list[Attempt]:
    """One reply, and the requests that it took."""
    attempts: list[Attempt] = []
    question = [Message(role="user", content="Tell me about number seven.")]
    try:
        with counting(attempts.append):
            async with providers.language_model.reply(question, LanguageOptions()) as deltas:
                async for _ in deltas:
                    pass
    except ProviderError as error:
        print(f"  nobody answered: {error.message}")
    return attempts


async def main(given: argparse.Namespace) -> None:
    configure_logs(level="warning" if given.log else "error", form="pretty")
    print(
        f"{given.turns} turns by {given.sessions} callers, over {given.over}, fallback: {given.fallback}",
        flush=True,
    )
    figures = await fault_run(given)
    figures |= await dying()
    print(f"\n| {'':34} | {'measured':>24} | {'wanted':>9} |\n|---|---|---|")
    for name, value in figures.items():
        print(f"| {name:34} | {value:>24} | {FIGURES.get(name, ''):>9} |")


if __name__ == "__main__":
    uvloop.run(main(arguments()))
