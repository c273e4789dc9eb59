"""What the adapters add to the vendors' own time, and how many connections they open.

    python -m benchmarks.providers                  100 turns each: HTTP/1.1, HTTP/1.1 with TLS, HTTP/2 with TLS
    python -m benchmarks.providers --turns 10
    python -m benchmarks.providers --sdk            also OpenAI's own SDK, for comparison (needs the package openai)

The vendors are a process of their own on loopback (benchmarks/vendor_servers) that takes 300 ms to transcribe, 300 ms
to the first token and 200 ms to the first sound. A turn is a 3 s recording, a reply to its end, and two clauses spoken
at once. Beside each turn the same bytes go over a bare socket that was opened before; what is reported is how much
later than on that one the adapter gave its first result: encoding, HTTP, TLS, decoding, the pool. The bare socket
speaks HTTP/1.1 throughout, beside HTTP/2 to a server of its own: that row has the vendor server's HTTP/2 in it, which
is in Python, so its times are shown and only its connections judged.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol
from urllib.parse import urlsplit

import uvloop

from antiphon.audio.coded_speech import speech_sound
from antiphon.providers.base import LanguageOptions, Message, SpeechOptions, Text
from antiphon.providers.http import HttpPool
from antiphon.providers.openai import Endpoint, OpenAILanguageModel, OpenAIRecognizer, OpenAISynthesizer
from antiphon.providers.openai.transcription import wav_file

VENDOR_MS = {"asr": 300.0, "llm": 300.0, "tts": 200.0}
ALLOWED_MS = 5.0
CLAUSES = ("It is Paris,", "the city of light.")
QUESTION = "What is the capital of France?"
SOUND = speech_sound(QUESTION, 3.0)
HTTP2 = "HTTP/2 with TLS"


@dataclass(slots=True)
class Run:
    """One way to reach the vendors."""

    name: str
    took_ms: dict[str, list[float]] = field(default_factory=lambda: {"asr": [], "llm": [], "tts": []})
    bare_ms: dict[str, list[float]] = field(default_factory=lambda: {"asr": [], "llm": [], "tts": []})
    """The same over a bare socket, turn by turn."""
    opened_warm: int = 0
    opened_after: int = 0
    cpu_ms: float = 0.0
    """Of this process, a turn."""


class Client(Protocol):
    """Whoever asks the vendors."""

    async def warm(self) -> int:
        """Connections opened."""

    async def transcribe(self) -> float:
        """Each goes on to the end, and gives the time of its first result."""

    async def write(self) -> float: ...

    async def speak(self, text: str) -> float: ...

    def opened(self) -> int: ...


class Adapters:
    """Ours."""

    def __init__(self, pool: HttpPool, url: str) -> None:
        endpoint = Endpoint(base_url=url, key="sk-none")
        self._pool = pool
        self._recognizer = OpenAIRecognizer(pool, endpoint, "whisper-1")
        self._model = OpenAILanguageModel(pool, endpoint, "gpt-4o-mini")
        self._voice = OpenAISynthesizer(pool, endpoint, "gpt-4o-mini-tts")

    async def warm(self) -> int:
        await self._model.warm()
        return self._pool.opened

    async def transcribe(self) -> float:
        async with self._recognizer.open(language="en") as stream:
            await stream.send(SOUND)
            await stream.finish()
            return [now() async for _ in stream][0]  # noqa: RUF015 -- all of it is read

    async def write(self) -> float:
        messages = [Message(role="user", content=QUESTION)]
        async with self._model.reply(messages, LanguageOptions()) as deltas:
            return [now() async for delta in deltas if isinstance(delta, Text)][0]  # noqa: RUF015 -- all of it is read

    async def speak(self, text: str) -> float:
        async with self._voice.speak(text, SpeechOptions()) as chunks:
            return [now() async for _ in chunks][0]  # noqa: RUF015 -- all of it is read

    def opened(self) -> int:
        return self._pool.opened


class Sdk:
    """OpenAI's."""

    def __init__(self, url: str, trust: ssl.SSLContext, *, http2: bool) -> None:
        openai = importlib.import_module("openai")
        http: Any = importlib.import_module("httpx")
        self._client = openai.AsyncOpenAI(
            base_url=url,
            api_key="sk-none",
            max_retries=0,
            http_client=http.AsyncClient(verify=trust, http2=http2),
        )

    async def warm(self) -> int:
        await asyncio.gather(*(self._client.models.list() for _ in range(4)))
        return 0

    async def transcribe(self) -> float:
        file = ("speech.wav", wav_file(SOUND), "audio/wav")
        await self._client.audio.transcriptions.create(
            model="whisper-1", file=file, language="en", response_format="verbose_json"
        )
        return now()

    async def write(self) -> float:
        stream = await self._client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
        return [now() async for chunk in stream if chunk.choices and chunk.choices[0].delta.content][0]  # noqa: RUF015 -- all of it is read

    async def speak(self, text: str) -> float:
        async with self._client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="alloy", input=text, response_format="pcm"
        ) as answer:
            return [now() async for _ in answer.iter_bytes()][0]  # noqa: RUF015 -- all of it is read

    def opened(self) -> int:
        return 0


class Bare:
    """Sockets, and bytes made beforehand. Two, for two clauses at once."""

    def __init__(self, url: str, trust: ssl.SSLContext) -> None:
        self._address = urlsplit(url)
        self._trust = trust if self._address.scheme == "https" else None
        self._sockets: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def warm(self) -> int:
        if self._trust is not None:
            self._trust.set_alpn_protocols(["http/1.1"])
        host, port = self._address.hostname, self._address.port
        for _ in CLAUSES:
            self._sockets.append(await asyncio.open_connection(host, port, ssl=self._trust))
        return len(self._sockets)

    async def transcribe(self) -> float:
        boundary = "0123456789abcdef"
        part = f"--{boundary}\r\nContent-Disposition: form-data; name="
        body = (
            f'{part}"model"\r\n\r\nwhisper-1\r\n{part}"response_format"\r\n\r\nverbose_json\r\n'
            f'{part}"file"; filename="speech.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        ).encode()
        body += wav_file(SOUND) + f"\r\n--{boundary}--\r\n".encode()
        return await self._post(
            "/audio/transcriptions", body, b"\r\n0\r\n\r\n", f"multipart/form-data; boundary={boundary}"
        )

    async def write(self) -> float:
        asked = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
        return await self._post("/chat/completions", json.dumps(asked).encode(), b'"content": "It')

    async def speak(self, text: str) -> float:
        asked = {"model": "tts-1", "voice": "alloy", "input": text, "response_format": "pcm"}
        # The header ends, and the first chunk's size and sound follow.
        return await self._post("/audio/speech", json.dumps(asked).encode(), b"\r\n\r\n")

    async def _post(self, path: str, body: bytes, until: bytes, kind: str = "application/json") -> float:
        """When ``until`` had come; all of the answer is read."""
        reader, writer = self._sockets.pop()
        head = (
            f"POST {self._address.path}{path} HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        seen, first = b"", 0.0
        while not seen.endswith(b"\r\n0\r\n\r\n"):
            piece = await reader.read(65_536)
            if not piece:
                raise ConnectionError("the vendor server closed the connection")
            seen += piece
            if not first and until in seen:
                first = now()
        self._sockets.append((reader, writer))
        return first

    def opened(self) -> int:
        return 0


def now() -> float:
    """Seconds; uvloop's own clock has whole milliseconds only."""
    return time.perf_counter()


async def turn(client: Client, took_ms: dict[str, list[float]]) -> None:
    """A recording, a reply, two clauses."""
    began = now()
    took_ms["asr"].append((await client.transcribe() - began) * 1000)
    began = now()
    took_ms["llm"].append((await client.write() - began) * 1000)
    began = now()
    firsts = await asyncio.gather(*(client.speak(clause) for clause in CLAUSES))
    took_ms["tts"] += [(first - began) * 1000 for first in firsts]


async def measure(client: Client, bare: Bare, run: Run, turns: int) -> Run:
    run.opened_warm = await client.warm()
    await turn(client, Run("imports, caches").took_ms)
    for _ in range(turns):
        began = time.process_time()
        await turn(client, run.took_ms)
        run.cpu_ms += (time.process_time() - began) * 1000 / turns
        await turn(bare, run.bare_ms)
    run.opened_after = client.opened() - run.opened_warm
    return run


@asynccontextmanager
async def vendors(speaking: str) -> AsyncIterator[tuple[str, str]]:
    """The base URL, and the certificate to trust."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.vendor_servers", "--port", "0", "--speaking", speaking),
        *("--real-time-factor", "0.1", "--tokens-per-s", "200"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # connections that are closed in the middle, at the end
    )
    assert process.stdout is not None
    try:
        url, _, certificate = (await process.stdout.readline()).decode().strip().partition(" ")
        yield url, certificate
    finally:
        process.terminate()
        await process.wait()


def trusting(certificate: str) -> ssl.SSLContext:
    """One each: what is spoken (ALPN) is set on it."""
    trust = ssl.create_default_context()
    if certificate:
        trust.load_verify_locations(certificate)
    return trust


async def runs(turns: int, sdk: bool) -> list[Run]:
    done: list[Run] = []
    for speaking, name in (
        ("http", "HTTP/1.1"),
        ("https", "HTTP/1.1 with TLS"),
        ("http2", HTTP2),
    ):
        beside = "https" if speaking == "http2" else speaking
        async with vendors(speaking) as (url, certificate), vendors(beside) as (bare_url, bare_certificate):
            bare = Bare(bare_url, trusting(bare_certificate))
            await bare.warm()
            async with HttpPool(trust=trusting(certificate)) as pool:
                done.append(await measure(Adapters(pool, url), bare, Run(name), turns))
            if sdk:
                client = Sdk(url, trusting(certificate), http2=speaking == "http2")
                done.append(await measure(client, bare, Run(f"OpenAI's SDK, {name}"), turns))
    return done


def report(done: list[Run], turns: int) -> bool:
    """Print the table; whether ours keep to what is allowed."""
    print(
        f"{turns} turns each; ms until the first result, p50, and how much later than over a bare socket (p95)"
    )
    head = "".join(f"{kind:>22}" for kind in VENDOR_MS)
    print(f"{'':32}{head}   cpu/turn   connections: warm, then new")
    good = True
    for run in done:
        later = {kind: median(times) - median(run.bare_ms[kind]) for kind, times in run.took_ms.items()}
        tails = {kind: p95(times) - p95(run.bare_ms[kind]) for kind, times in run.took_ms.items()}
        cells = [f"{median(run.took_ms[kind]):.1f} +{later[kind]:.2f} ({tails[kind]:+.1f})" for kind in later]
        ours = not run.name.startswith("OpenAI's")
        counted = f"{run.opened_warm}, {run.opened_after}" if ours else "not counted"
        print(f"{run.name:32}{''.join(f'{cell:>22}' for cell in cells)}   {run.cpu_ms:5.1f} ms   {counted}")
        if ours:
            good &= not run.opened_after
            good &= max(later.values()) <= ALLOWED_MS or run.name == HTTP2
    print(f"at most {ALLOWED_MS:g} ms a stage and no new connections: {'kept' if good else 'NOT KEPT'}")
    return good


def p95(times: list[float]) -> float:
    return sorted(times)[min(len(times) - 1, round(0.95 * len(times)))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.providers", description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--sdk", action="store_true")
    given = parser.parse_args()
    sys.exit(0 if report(uvloop.run(runs(given.turns, given.sdk)), given.turns) else 1)
