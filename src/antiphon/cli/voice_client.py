"""A caller of antiphon.v1: a microphone that sends in real time, a loudspeaker that reports, and what was
said."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from antiphon.cli.exchange import Exchange
from antiphon.errors import AntiphonError, ProtocolError
from antiphon.load.link import NotConnected, place
from antiphon.load.loudspeaker import Loudspeaker
from antiphon.load.tickets import Credentials, TicketOffice
from antiphon.protocol import SUBPROTOCOL
from antiphon.protocol import client_messages as client
from antiphon.protocol import server_messages as wire
from antiphon.protocol.codec import decode_server, encode

FRAME = 512
"""Samples of microphone sound a message: 32 ms at 16 000 Hz."""

LEAD_FRAMES = 10
"""Frames of silence before speech, a third of a second: a microphone is open before someone speaks."""

REPORT_S = 0.1
"""How often playback is reported."""

PATIENCE_S = 8.0
"""How long the server may say nothing about what it heard before we take it that it will not."""

REPLY_PATIENCE_S = 60.0
"""How long it may take over a reply to words it did understand."""

LOADING_PATIENCE_S = 120.0
"""How long a server that is loading its models is asked again."""

RETURN_S = 10.0
"""How long a lost connection is tried to be had again: a restart takes a few seconds."""

FIRST_WAIT_S = 0.4
"""Before the first attempt; doubled for each further one, half of it chance."""

FINAL = frozenset({1000, 1007, 1008, 1009, 4000})
"""Close codes after which coming back would not help."""

SPEECH_RATE = 16_000
"""Hz of what we send."""


Dial = Callable[[], Awaitable[ClientConnection]]


class CallFailed(AntiphonError):
    """The call came to nothing: the server cannot be reached, or ended it."""

    code = "call_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """When something was said, on the client's clock, in seconds."""

    exchange: Exchange
    speech_end_at: float
    """When the last sample of speech was sent."""
    lost: str = ""
    """Why the connection ended before the answer did; empty when it did not."""

    @property
    def first_sound_ms(self) -> float | None:
        """From the end of speech to the first sound received."""
        after = self.exchange.first_sound_after(self.speech_end_at)
        return None if after is None else round(after * 1000, 1)


class VoiceClient:
    """One conversation. ``say`` and ``type`` return when the answer is over."""

    def __init__(self, socket: ClientConnection, start: client.Start, *, dial: Dial, return_s: float) -> None:
        """``dial`` makes another connection when this one is lost; for ``return_s`` it is tried again."""
        self.session: wire.Session | None = None
        self.resumed = 0
        """How often the conversation was gone on with on another connection."""
        self._socket = socket
        self._dial = dial
        self._return_s = return_s
        self._last_seq = 0
        self._start = start
        self._speaker = Loudspeaker(start.output_rate)
        self._speech: deque[bytes] = deque()
        """Frames to send; silence when there are none. As long as the recording."""
        self._speech_end: asyncio.Future[float] | None = None
        """Told when the last frame of speech has been sent."""
        self._frames_to_end = 0
        self._exchange = Exchange()
        self._changed = asyncio.Event()
        self._lost = ""
        self._now = asyncio.get_running_loop().time

    async def open(self) -> None:
        """Say ``start`` and wait for ``session``. Raises CallFailed or ProtocolError."""
        with suppress(ConnectionClosed):  # whoever refuses us has said why before: that is read next
            await self._socket.send(encode(self._start))
        while self.session is None:
            try:
                message = self._read(await self._socket.recv())
            except ConnectionClosed as closed:
                raise CallFailed(f"the server ended the call: {_reason(closed)}") from None
            if isinstance(message, wire.Session):
                self.session = message
            elif isinstance(message, wire.Error):
                raise Refused(message)

    async def run(self) -> None:
        """Microphone, loudspeaker and ear, until cancelled or the call ends. A lost connection is had again."""
        try:
            while True:
                async with asyncio.TaskGroup() as tasks:
                    running = [tasks.create_task(self._speak()), tasks.create_task(self._report())]
                    reason = await self._listen()
                    for task in running:
                        task.cancel()
                if not await self._come_back():
                    break
        finally:
            await self._socket.close()
        self._lost = reason
        self._changed.set()

    async def _come_back(self) -> bool:
        """On another connection, as long as the server may still know us. Whether that was so."""
        session = self.session
        if session is None or session.resume_token is None or self._socket.close_code in FINAL:
            return False
        give_up, wait_s = self._now() + self._return_s, FIRST_WAIT_S
        while self._now() + wait_s < give_up:
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s *= 2
            try:
                socket = await self._dial()
            except (CallFailed, NotConnected):
                continue
            if await self._resumed(socket, session):
                return True
            await socket.close()
        return False

    async def _resumed(self, socket: ClientConnection, session: wire.Session) -> bool:
        played = client.Heard(reply_id=self._speaker.reply_id, ms=self._speaker.played_ms(now=self._now()))
        resume = client.Resume(
            session_id=session.session_id,
            token=session.resume_token or "",
            last_seq=self._last_seq,
            played=played if played.reply_id else None,
        )
        try:
            await socket.send(encode(replace(self._start, resume=resume)))
            answer = decode_server(str(await socket.recv()))[1]
        except ConnectionClosed:
            return False
        if not isinstance(answer, wire.Session) or not answer.resumed:
            return False
        self._socket, self.session = socket, answer
        self.resumed += 1
        return True

    def cut(self) -> None:
        """Let the connection break, as networks do."""
        self._socket.transport.abort()

    async def hang_up(self) -> None:
        """Say goodbye, on whichever connection there is."""
        with suppress(ConnectionClosed):
            await self._socket.send(encode(client.Bye()))
            await self._socket.close()

    async def say(self, pcm: bytes, *, end_s: float) -> Said:
        """Send sound at ``SPEECH_RATE`` whose speech ends at ``end_s``, in real time, then silence until
        the answer is over."""
        self._exchange = exchange = Exchange()
        end = min(round(end_s * SPEECH_RATE), len(pcm) // 2)
        # The end of speech falls on the end of a frame, so that it is sent the moment it is spoken.
        pcm = bytes(2 * (-end % FRAME)) + pcm
        pcm += bytes(-len(pcm) % (2 * FRAME))
        frames = [pcm[at : at + 2 * FRAME] for at in range(0, len(pcm), 2 * FRAME)]
        self._speech_end = asyncio.get_running_loop().create_future()
        self._frames_to_end = LEAD_FRAMES + -(-end // FRAME)
        self._speech.extend([bytes(2 * FRAME)] * LEAD_FRAMES + frames)
        rest_s = (len(frames) + LEAD_FRAMES - self._frames_to_end) * FRAME / SPEECH_RATE
        return await self._wait_for_answer(exchange, rest_s)

    async def type(self, text: str) -> Said:
        """A typed turn."""
        self._exchange = exchange = Exchange()
        self._speech_end = asyncio.get_running_loop().create_future()
        with suppress(ConnectionClosed):  # `_listen` learns of it too
            await self._socket.send(encode(client.Text(text=text)))
        self._speech_end.set_result(self._now())
        exchange.unanswered = True
        return await self._wait_for_answer(exchange, 0.0)

    async def _wait_for_answer(self, exchange: Exchange, rest_s: float) -> Said:
        assert self._speech_end is not None
        while not self._lost:
            at = self._speech_end.result() if self._speech_end.done() else None
            if at is not None and exchange.over(
                sent_at=at + rest_s,
                now=self._now(),
                patience_s=PATIENCE_S,
                reply_patience_s=REPLY_PATIENCE_S,
            ):
                break
            self._changed.clear()
            try:
                async with asyncio.timeout(REPORT_S):
                    await self._changed.wait()
            except TimeoutError:
                continue
        ended = self._speech_end.result() if self._speech_end.done() else self._now()
        return Said(exchange=exchange, speech_end_at=ended, lost=self._lost)

    # ---- microphone, loudspeaker, ear

    async def _speak(self) -> None:
        """A frame every 32 ms, on a grid: a late one does not delay those after it."""
        silence = bytes(2 * FRAME)
        begun, sent = self._now(), 0
        while True:
            sent += 1
            await asyncio.sleep(max(0.0, begun + sent * FRAME / SPEECH_RATE - self._now()))
            try:
                await self._socket.send(self._speech.popleft() if self._speech else silence)
            except ConnectionClosed:
                return
            if self._frames_to_end:
                self._frames_to_end -= 1
                if not self._frames_to_end and self._speech_end is not None:
                    self._speech_end.set_result(self._now())

    async def _report(self) -> None:
        """Playback as it goes, without repeating what has not changed."""
        told: tuple[str, int] = ("", 0)
        while True:
            await asyncio.sleep(REPORT_S)
            played = (self._speaker.reply_id, round(self._speaker.played_ms(now=self._now())))
            if played == told or not played[0]:
                continue
            told = played
            try:
                await self._socket.send(encode(client.Played(reply_id=played[0], ms=played[1])))
            except ConnectionClosed:
                return

    async def _listen(self) -> str:
        """To the connection's end; gives the reason."""
        try:
            async for raw in self._socket:
                self._take(raw)
        except ConnectionClosed as closed:
            return _reason(closed)
        return "the server ended the call"

    def _take(self, raw: str | bytes) -> None:
        now = self._now()
        if isinstance(raw, bytes):
            self._speaker.receive(len(raw), now=now)
            self._exchange.hear(raw, now=now)
        else:
            message = self._read(raw)
            if message is not None:
                self._obey(message, now)
                self._exchange.tell(message, now=now)
        self._changed.set()

    def _obey(self, message: wire.ServerMessage, now: float) -> None:
        match message:
            case wire.AudioStarted():
                self._speaker.begin(message.reply_id, from_ms=float(message.from_ms))
            case wire.Playback():
                self._speaker.control(message.action, now=now)
            case wire.Interrupted():
                self._speaker.flush(now=now)
            case _:
                pass

    def _read(self, raw: str | bytes) -> wire.ServerMessage | None:
        if isinstance(raw, bytes):
            raise ProtocolError("the server sent sound before `session`")
        seq, message = decode_server(raw)
        self._last_seq = max(self._last_seq, seq)
        return message


class Refused(CallFailed):
    """The server said no, and whether and when to ask again."""

    def __init__(self, error: wire.Error) -> None:
        super().__init__(error.message)
        self.error = error


def voice_url(url: str) -> str:
    """Where calls are taken, from the address of a server: ``http://host:8000`` →
    ``ws://host:8000/ws/voice``. Raises CallFailed when it is no address."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise CallFailed(f"{url!r} is not the address of a server; write it as http://127.0.0.1:8000")
    path = parts.path if parts.path not in ("", "/") else "/ws/voice"
    return f"{scheme}://{parts.netloc}{path}"


@asynccontextmanager
async def open_call(
    url: str,
    start: client.Start,
    credentials: Credentials | None = None,
    *,
    ticket: str = "",
    return_s: float = RETURN_S,
) -> AsyncIterator[VoiceClient]:
    """A conversation with the server at ``url``; hung up on leaving. A server that is loading is asked again. Where it
    wants tickets one is got with ``credentials``, unless there is one already. A connection that is lost is had again
    within ``return_s``. Raises CallFailed or NotConnected."""
    now = asyncio.get_running_loop().time
    give_up = now() + LOADING_PATIENCE_S
    while True:
        try:
            async with _connected(start, _Dialling(url, credentials, ticket), return_s) as caller:
                yield caller
                return
        except Refused as refused:
            if refused.error.code != "loading" or now() > give_up:
                raise
            await asyncio.sleep((refused.error.retry_after_ms or 1000) / 1000)


class _Dialling:
    """Makes connections to one server."""

    def __init__(self, url: str, credentials: Credentials | None, ticket: str) -> None:
        self._url = url
        self._credentials = credentials or Credentials()
        self._ticket = ticket
        """For the first connection: tickets serve once."""

    async def __call__(self) -> ClientConnection:
        ticket, self._ticket = self._ticket or await _ticket(self._url, self._credentials), ""
        offered = [Subprotocol(SUBPROTOCOL)] + ([Subprotocol(f"ticket.{ticket}")] if ticket else [])
        try:
            return await connect(voice_url(self._url), subprotocols=offered, compression=None, max_size=2**22)
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
            raise CallFailed(f"cannot call {self._url}: {error}. Is the server running there?") from error


@asynccontextmanager
async def _connected(start: client.Start, dial: Dial, return_s: float) -> AsyncIterator[VoiceClient]:
    async with await dial() as socket:
        caller = VoiceClient(socket, start, dial=dial, return_s=return_s)
        await caller.open()
        try:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(caller.run())
                yield caller
                await caller.hang_up()
                running.cancel()
        except ExceptionGroup as group:
            raise _first(group) from group


async def _ticket(url: str, credentials: Credentials) -> str:
    """Empty where none is wanted."""
    office = TicketOffice(place(voice_url(url)), credentials)
    try:
        return await office.ticket()
    except NotConnected as error:
        if error.status:
            raise
        raise CallFailed(f"cannot call {url}: {error.message}. Is the server running there?") from error
    finally:
        await office.close()


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The first error that is no group."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _reason(closed: ConnectionClosed) -> str:
    frame = closed.rcvd
    return f"closed with {frame.code} ({frame.reason or 'no reason'})" if frame else "the connection broke"
