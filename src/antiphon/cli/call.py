"""``antiphon call``: say recordings to a server, as a caller would, and show what it answers and how fast."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console

from antiphon.audio.wav import write_wav
from antiphon.cli.call_report import call_object, loading_line, show_call
from antiphon.cli.own_server import own_server
from antiphon.cli.recording import Recording, read_recording
from antiphon.cli.voice_client import Said, VoiceClient, open_call
from antiphon.errors import AntiphonError
from antiphon.load.tickets import Credentials
from antiphon.protocol.client_messages import Start

OUTPUT_RATE = 24_000
"""Hz of the replies' sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What one file (or typed turn) came to."""

    label: str
    """The file as given, or the typed text."""
    said: Said | None
    notes: tuple[str, ...] = ()
    reply_wav: Path | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """How to call."""

    url: str
    start: Start
    one_session: bool
    out: Path | None
    several: bool
    """Whether more than one reply may be written."""
    credentials: Credentials = field(default_factory=Credentials)
    ticket: str = field(default="", repr=False)


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--text", "texts", multiple=True, metavar="WORDS", help="A typed turn; may be given several times."
)
@click.option(
    "--url", help="Server to call, such as http://127.0.0.1:8000; without it, one is started for this."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the reply's sound to this WAV file; with several calls, each file's name is added.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and call.")
@click.option("--language", default="", help="Language spoken: ISO 639-1, or auto.")
@click.option("--voice", default="", help="Voice to be answered with.")
@click.option("--speed", type=click.FloatRange(0.5, 2.0), help="Pace of that voice; 1 is its own.")
@click.option("--instructions", default="", help="Added to the server's own instructions.")
@click.option(
    "--one-session", is_flag=True, help="Hold one conversation, instead of a new one for each file."
)
@click.option(
    "--password", envvar="ANTIPHON_CALL_PASSWORD", default="", help="Password, where the server wants one."
)
@click.option(
    "--api-key",
    envvar="ANTIPHON_CALL_API_KEY",
    default="",
    help="API key, or token of the identity provider, where the server wants one.",
)
@click.option("--ticket", default="", help="A ticket that was got elsewhere; it is good for one call.")
@click.option("--why", is_flag=True, help="Show the turn-taking decisions and their reasons.")
def call(
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    url: str | None,
    out: Path | None,
    as_json: bool,
    language: str,
    voice: str,
    speed: float | None,
    instructions: str,
    one_session: bool,
    password: str,
    api_key: str,
    ticket: str,
    why: bool,
) -> None:
    """Say WAV FILES to a server in real time and show what was heard, what it answered, and where the time
    went.

    Any WAV is taken (stereo, 8 to 32 bit, any rate) and converted; what was converted is said. A file that
    holds no speech is not answered: that is no error, its transcript is empty. The exit status is 1 when a
    call failed.
    """
    if not files and not texts:
        raise click.UsageError("Give a WAV file, or --text.")
    start = Start(
        output_rate=OUTPUT_RATE,
        language=language,
        voice=voice,
        speed=speed,
        instructions=instructions,
        timeline=why,
    )
    console = Console(stderr=True)
    failed = False

    async def run(at: str) -> None:
        nonlocal failed
        caller = Caller(
            url=at,
            start=start,
            one_session=one_session,
            out=out,
            several=len(files) + len(texts) > 1,
            credentials=Credentials(password=password, bearer=api_key),
            ticket=ticket,
        )
        async for result in calls(caller, files, texts):
            failed = failed or bool(result.error)
            if as_json:
                click.echo(json.dumps(call_object(result), ensure_ascii=False))
            else:
                show_call(Console(), result, why=why)

    with nullcontext(url) if url is not None else own_server(loading_line(console)) as address:
        asyncio.run(run(address))
    if failed:
        raise SystemExit(1)


async def calls(caller: Caller, files: Sequence[Path], texts: Sequence[str]) -> AsyncIterator[CallResult]:
    """One result for each file and typed turn, in order. A call that fails does not keep the next from
    being made."""
    async with AsyncExitStack() as stack:
        shared: VoiceClient | None = None
        sources: tuple[Path | str, ...] = (*files, *texts)
        for source in sources:
            try:
                recording = read_recording(source) if isinstance(source, Path) else None
                if caller.one_session:
                    shared = shared or await stack.enter_async_context(_open(caller))
                async with _conversation(caller, shared) as client:
                    yield await _turn(caller, client, source, recording)
            except AntiphonError as error:
                yield CallResult(label=str(source), said=None, error=error.message)


@asynccontextmanager
async def _conversation(caller: Caller, shared: VoiceClient | None) -> AsyncIterator[VoiceClient]:
    if shared is not None:
        yield shared
    else:
        async with _open(caller) as client:
            yield client


def _open(caller: Caller) -> AbstractAsyncContextManager[VoiceClient]:
    return open_call(caller.url, caller.start, caller.credentials, ticket=caller.ticket)


async def _turn(
    caller: Caller, client: VoiceClient, source: Path | str, recording: Recording | None
) -> CallResult:
    if recording is None:
        said = await client.type(str(source))
    else:
        said = await client.say(recording.pcm, end_s=recording.end_s)
    written = None
    if caller.out is not None and said.exchange.sound:
        written = _out_path(caller, source)
        write_wav(written, bytes(said.exchange.sound), OUTPUT_RATE)
    errors = [error.message for error in said.exchange.errors]
    if said.lost:
        errors.append(said.lost)
    elif said.exchange.replying:
        errors.append("the reply did not come to its end")
    return CallResult(
        label=str(source),
        said=said,
        notes=recording.notes if recording is not None else (),
        reply_wav=written,
        error="; ".join(errors),
    )


def _out_path(caller: Caller, source: Path | str) -> Path:
    assert caller.out is not None
    if not caller.several:
        return caller.out
    name = source.stem if isinstance(source, Path) else "text"
    return caller.out.with_name(f"{caller.out.stem}-{name}{caller.out.suffix or '.wav'}")
