"""What the adapters that use WebSockets add to the vendors' own time, and how many sockets they open.

    python -m benchmarks.socket_providers
    python -m benchmarks.socket_providers --turns 10

The vendors run in this process, on loopback: a recogniser that takes 100 ms to flush and a voice that takes 200 ms to
its first sound. A turn is a second of speech, heard and finished, and two clauses spoken one after the other in one
context. What is reported is how much later than that the first result was there: JSON, base64, WebSocket, both ends.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from statistics import median

import uvloop
from benchmarks.vendor_servers import VendorWorld
from benchmarks.vendor_servers.deepgram_sockets import deepgram_sockets
from benchmarks.vendor_servers.elevenlabs_sockets import elevenlabs_sockets

from antiphon.audio.coded_speech import speech_sound
from antiphon.providers import deepgram, elevenlabs
from antiphon.providers.base import Recognizer, SpeechOptions, Synthesizer

FLUSH_MS, FIRST_SOUND_MS = 100.0, 200.0
KEY = "benchmark"
SOUND = speech_sound("what is the capital of France", 1.0)
CLAUSES = ("It is Paris,", "the city of light.")


async def hear(recognizer: Recognizer) -> float:
    """Ms from the end of the sound to its words."""
    async with recognizer.open(language="en") as stream:
        await stream.send(SOUND)
        asked = time.perf_counter()
        await stream.finish()
        async for transcript in stream:
            if transcript.final:
                break
    return (time.perf_counter() - asked) * 1_000


async def speak(voice: Synthesizer, reply: int) -> list[float]:
    """Ms to the first sound of each clause."""
    took = []
    for clause in CLAUSES:
        asked = time.perf_counter()
        first = 0.0
        options = SpeechOptions(context_id=f"s:{reply}", language="en")
        async with voice.speak(clause, options) as sound:
            async for _ in sound:
                first = first or (time.perf_counter() - asked) * 1_000
        took.append(first)
    return took


async def measure(turns: int) -> None:
    ear_world = VendorWorld(key=KEY)
    mouth_world = VendorWorld(key=KEY, tts_ms=FIRST_SOUND_MS)
    async with deepgram_sockets(ear_world) as ear, elevenlabs_sockets(mouth_world) as mouth:
        listening = deepgram.Account(api_key=KEY, base_url=ear.url)
        speaking = elevenlabs.Account(api_key=KEY, base_url=mouth.url)
        async with (
            deepgram.open_recognizer(listening, language="en") as recognizer,
            elevenlabs.open_stream_input(speaking) as voice,
        ):
            await asyncio.gather(recognizer.warm(), voice.warm())
            heard, spoken = [], []
            for turn in range(turns):
                ear_world.asr_ms = FLUSH_MS / 2  # one interim result, then the final one
                heard.append(await hear(recognizer) - FLUSH_MS)
                spoken += [took - FIRST_SOUND_MS for took in await speak(voice, turn)]
        print(f"{turns} turns, added to the vendor's own time, ms")
        for name, added in (("deepgram, final words", heard), ("elevenlabs, first sound", spoken)):
            print(f"  {name:26} p50 {median(added):5.1f}   p95 {sorted(added)[int(len(added) * 0.95)]:5.1f}")
        print(
            f"sockets opened: deepgram {ear.accepted}, elevenlabs {mouth.accepted} (one each before the first turn)"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.socket_providers", description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    uvloop.run(measure(parser.parse_args().turns))
