"""python -m benchmarks.vendor_servers --port 9100 --asr-ms 300 --llm-ms 300 --tts-ms 200 --fail 0.1 --stall 0.05

Serves all vendors until it is told to stop; prints the base URL on its first line.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
from typing import get_args

import uvloop
from benchmarks.vendor_servers.serving import Speaking, open_vendor_servers
from benchmarks.vendor_servers.world import VendorWorld


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vendor_servers", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="an address of this machine")
    parser.add_argument("--port", type=int, default=9100, help="0: a free one")
    parser.add_argument("--speaking", choices=get_args(Speaking), default="http")
    parser.add_argument("--asr-ms", type=float, default=300.0)
    parser.add_argument("--llm-ms", type=float, default=300.0)
    parser.add_argument("--tts-ms", type=float, default=200.0)
    parser.add_argument("--tokens-per-s", type=float, default=50.0)
    parser.add_argument("--real-time-factor", type=float, default=0.1)
    parser.add_argument("--reply", default=VendorWorld().reply)
    parser.add_argument("--key", default="", help="the only key taken; empty: any")
    parser.add_argument("--fail", type=float, default=0.0, help="share of requests that fail")
    parser.add_argument("--stall", type=float, default=0.0, help="share of requests that get no answer")
    parser.add_argument("--stall-s", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


async def serve(given: argparse.Namespace) -> None:
    world = VendorWorld(
        asr_ms=given.asr_ms,
        llm_ms=given.llm_ms,
        tts_ms=given.tts_ms,
        tokens_per_s=given.tokens_per_s,
        real_time_factor=given.real_time_factor,
        reply=given.reply,
        key=given.key,
        fail_share=given.fail,
        stall_share=given.stall,
        stall_s=given.stall_s,
        chance=random.Random(given.seed),
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stop.set)
    async with open_vendor_servers(
        world, speaking=given.speaking, host=given.host, port=given.port
    ) as servers:
        print(f"{servers.url}/v1 {servers.certificate or ''}".strip(), flush=True)
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(arguments()))
