"""The last links of a deployment, tried as a caller: the WebSocket, whom it refuses, a ticket, a spoken turn, and a
connection that is lost and taken up again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from antiphon.audio.sample import QUESTION, question_pcm
from antiphon.cli.deployment import PATIENCE_S, Address
from antiphon.cli.finding import Finding
from antiphon.load.link import Link, NotConnected, Place, connect, place
from antiphon.load.loudspeaker import Loudspeaker
from antiphon.load.tickets import Credentials, TicketOffice
from antiphon.protocol import server_messages as wire
from antiphon.protocol.codec import decode_server

STRANGER = "https://stranger.example"
"""An origin that no deployment can have among its own (RFC 2606)."""

PACKET = 640
"""Samples of microphone sound a message: 40 ms at 16 000 Hz."""

RATE = 16_000
OUTPUT_RATE = 24_000

TURN_PATIENCE_S = 30.0
"""From the end of the question to the end of its answer."""

SLOW_MS = 1500
"""From the end of the question to the first sound of its answer: slower is told of."""

RESUME_S = 2.0
"""How soon a lost connection must be taken up again."""


@dataclass(slots=True)
class Answer:
    """What came of the question."""

    heard: str = ""
    reply: str = ""
    first_sound_ms: float | None = None
    done: wire.ResponseDone | None = None
    error: str = ""


class Line:
    """One conversation over one connection after the other."""

    def __init__(self, where: Place, office: TicketOffice) -> None:
        self.where = where
        self.session: wire.Session | None = None
        self.going_away = False
        self.ticketed = False
        """Whether a ticket was wanted, and had."""
        self.last_seq = 0
        self.answer = Answer()
        self.gone = asyncio.Event()
        self.closed: tuple[int, str] = (0, "")
        self._office = office
        self._speaker = Loudspeaker(OUTPUT_RATE)
        self._link: Link | None = None
        self._changed = asyncio.Event()
        self._question_ended: float | None = None
        self._now = asyncio.get_running_loop().time

    # ---- connecting

    async def open(self, *, resume: bool = False) -> None:
        """Connect, say ``start`` and wait for ``session``. Raises NotConnected."""
        before, self.session = self.session, None
        self.gone.clear()
        ticket = await self._office.ticket()
        self.ticketed = bool(ticket)
        self._link = await connect(self.where, self, ticket=ticket)
        start: dict[str, Any] = {"type": "start", "input_rate": RATE, "output_rate": OUTPUT_RATE}
        if resume and before is not None:
            start["resume"] = {
                "session_id": before.session_id,
                "token": before.resume_token,
                "last_seq": self.last_seq,
            }
        self._link.send_text(start)
        async with asyncio.timeout(PATIENCE_S):
            while self.session is None:
                if self.gone.is_set():
                    code, reason = self.closed
                    raise NotConnected(self.answer.error or f"closed with {code} ({reason or 'no reason'})")
                await self._wait()

    def vanish(self) -> None:
        """Lose the connection without a word."""
        if self._link is not None:
            self._link.abort()

    def hang_up(self) -> None:
        """Say goodbye."""
        if self._link is not None:
            self._link.send_text({"type": "bye"})
            self._link.close()

    # ---- talking

    async def ask(self, pcm: bytes) -> Answer:
        """Say it in real time, then silence until the answer is over."""
        self.answer = Answer()
        packets = [bytes(2 * PACKET)] * 8 + [
            pcm[at : at + 2 * PACKET] for at in range(0, len(pcm), 2 * PACKET)
        ]
        begun = self._now()
        self._question_ended = None
        number = 0
        while not self._over(begun + len(packets) * PACKET / RATE):
            number += 1
            await asyncio.sleep(max(0.0, begun + number * PACKET / RATE - self._now()))
            self._speak(packets[number - 1] if number <= len(packets) else bytes(2 * PACKET))
            if number == len(packets):
                self._question_ended = self._now()
            if number % 5 == 0:
                self._report()
        return self.answer

    async def keep_silent(self, seconds: float) -> None:
        """An open microphone in a quiet room, until the time is over or the line is lost."""
        until = self._now() + seconds
        while self._now() < until and not self.gone.is_set():
            self._speak(bytes(2 * PACKET))
            await asyncio.sleep(PACKET / RATE)

    def _over(self, spoken_at: float) -> bool:
        answer = self.answer
        done = answer.done is not None or bool(answer.error) or self.gone.is_set()
        return done or self._now() > spoken_at + TURN_PATIENCE_S

    def _speak(self, packet: bytes) -> None:
        if self._link is not None:
            self._link.send_sound(packet + bytes(2 * PACKET - len(packet)))

    def _report(self) -> None:
        if self._link is not None and self._speaker.reply_id:
            ms = round(self._speaker.played_ms(now=self._now()))
            self._link.send_text({"type": "played", "reply_id": self._speaker.reply_id, "ms": ms})

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # ---- what the link tells

    def message(self, message: Mapping[str, Any]) -> None:
        """A JSON message."""
        self.last_seq = max(self.last_seq, int(message.get("seq") or 0))
        match message.get("type"):
            case "session":
                self.session = session_of(message)
            case "transcript" if message["final"] and message["text"]:
                self.answer.heard = message["text"]
            case "response_text":
                self.answer.reply += message["text"]
            case "audio_started":
                self._speaker.begin(message["reply_id"])
            case "response_done":
                self.answer.done = done_of(message)
            case "error":
                self.answer.error = message["message"]
            case "going_away":
                self.going_away = True
            case _:
                pass
        self._changed.set()

    def sound(self, pcm: bytes) -> None:
        """A binary message."""
        now = self._now()
        self._speaker.receive(len(pcm), now=now)
        if self.answer.first_sound_ms is None and self._question_ended is not None:
            self.answer.first_sound_ms = round((now - self._question_ended) * 1000, 1)
        self._changed.set()

    def lost(self, code: int, reason: str) -> None:
        """The connection is over."""
        self.closed = (code, reason)
        self.gone.set()
        self._changed.set()


def session_of(message: Mapping[str, Any]) -> wire.Session | None:
    """The message, read."""
    read = decode_server(json.dumps(message))[1]
    return read if isinstance(read, wire.Session) else None


def done_of(message: Mapping[str, Any]) -> wire.ResponseDone | None:
    """The message, read."""
    read = decode_server(json.dumps(message))[1]
    return read if isinstance(read, wire.ResponseDone) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How to call."""

    at: Address
    credentials: Credentials = field(default_factory=Credentials)
    speak: bool = True
    watch_s: float = 0.0
    """How long to hold a call open at the end and watch it, as while a deploy goes on."""


async def call_findings(trial: Trial) -> AsyncIterator[tuple[Finding, Answer | None]]:
    """One finding a step; the spoken turn's with its answer."""
    at = trial.at
    where = place(at.url, insecure=at.insecure, ca=at.ca, origin=at.url)
    yield await _stranger_finding(at), None
    office = TicketOffice(where, trial.credentials)
    try:
        line = Line(where, office)
        found = await _open_finding(line)
        yield found, None
        if found.level == "fail":
            return
        if trial.speak:
            yield await _turn_finding(line)
            # Only now: a conversation without a word in it is not kept for anybody.
            yield await _resume_finding(line), None
        if trial.watch_s:
            yield await _watch_finding(line, trial.watch_s), None
        line.hang_up()
    finally:
        await office.close()


async def _stranger_finding(at: Address) -> Finding:
    """Another site's page must not get in."""
    where = place(at.url, insecure=at.insecure, ca=at.ca, origin=STRANGER)
    try:
        link = await connect(where, Line(where, TicketOffice(where, Credentials())))
    except NotConnected as refused:
        if refused.status == 403:
            return Finding(about="origins", level="ok", text="pages of other sites are refused")
        return Finding(
            about="origins",
            level="note",
            text=f"could not be tried: {refused.message}",
            advice=_advice(refused),
        )
    link.abort()
    return Finding(
        about="origins",
        level="fail",
        text=f"a page from {STRANGER} may connect.",
        advice="The proxy must pass on Host and Origin as they come; see ANTIPHON_ALLOWED_ORIGINS.",
    )


async def _open_finding(line: Line) -> Finding:
    began = asyncio.get_running_loop().time()
    try:
        await line.open()
    except (NotConnected, TimeoutError) as error:
        return Finding(about="WebSocket", level="fail", text=_problem(error), advice=_advice(error))
    took = (asyncio.get_running_loop().time() - began) * 1000
    ticket = ", with a ticket" if line.ticketed else ""
    return Finding(about="WebSocket", level="ok", text=f"a conversation in {took:.0f} ms{ticket}")


def _problem(error: NotConnected | TimeoutError) -> str:
    return error.message if isinstance(error, NotConnected) else "no answer to `start`"


def _advice(error: NotConnected | TimeoutError) -> str:
    status = error.status if isinstance(error, NotConnected) else 0
    # Whatever else is no refusal is an answer to a plain question, by the server or by somebody else's site.
    if 200 <= status < 400 or status in (400, 404, 405, 426):
        return "The proxy does not pass on Upgrade and Connection (deploy/nginx/antiphon.conf.template does)."
    if status in (401, 403):
        return "Give --password or --api-key; or the origin is not allowed (ANTIPHON_ALLOWED_ORIGINS)."
    if status == 429:
        return "This address asked too often (REQUESTS_PER_SECOND, ANTIPHON_ADDRESS_…): wait, and try again."
    if status in (502, 503, 504):
        return (
            "The assistant is full, loading or not running: docker compose ps, docker compose logs assistant."
        )
    return "The logs say more: docker compose logs nginx assistant."


async def _turn_finding(line: Line) -> tuple[Finding, Answer]:
    answer = await line.ask(question_pcm())
    if answer.error or answer.done is None or answer.first_sound_ms is None:
        why = answer.error or ("it was heard, not answered" if answer.heard else "nothing was heard")
        found = Finding(
            about="spoken turn",
            level="fail",
            text=f"{QUESTION!r} was not answered: {why}.",
            advice="antiphon doctor --providers, on the server, tells which provider fails.",
        )
        return found, answer
    text = f"{QUESTION!r} was answered after {answer.first_sound_ms:.0f} ms"
    if answer.first_sound_ms <= SLOW_MS:
        return Finding(about="spoken turn", level="ok", text=text), answer
    advice = (
        "The longest bar below says who takes the time; doctor --providers, on the server, asks each alone."
    )
    return Finding(about="spoken turn", level="note", text=text, advice=advice), answer


async def _resume_finding(line: Line) -> Finding:
    """A connection that is lost must not be the end of the conversation."""
    if line.session is None or line.session.resume_token is None:
        return Finding(
            about="resume",
            level="note",
            text="this server does not take up lost connections again",
            advice="ANTIPHON_RESUME_GRACE_S says for how long it would; 0 is never.",
        )
    session_id = line.session.session_id
    line.vanish()
    await line.gone.wait()
    began = asyncio.get_running_loop().time()
    try:
        await line.open(resume=True)
    except (NotConnected, TimeoutError) as error:
        text = f"the second connection was refused: {_problem(error)}."
        return Finding(about="resume", level="fail", text=text, advice=_advice(error))
    took = asyncio.get_running_loop().time() - began
    if not line.session.resumed or line.session.session_id != session_id:
        return Finding(
            about="resume",
            level="fail",
            text="a lost conversation began anew.",
            advice="Replicas must share a store: ANTIPHON_STORE=valkey://… (compose.scale.yaml).",
        )
    return Finding(about="resume", level="ok", text=f"a lost connection went on after {took * 1000:.0f} ms")


async def _watch_finding(line: Line, seconds: float) -> Finding:
    """Holds the call while somebody deploys, and comes back as often as it is sent away."""
    loop = asyncio.get_running_loop()
    until, moves, longest = loop.time() + seconds, 0, 0.0
    while loop.time() < until:
        await line.keep_silent(until - loop.time())
        if not line.gone.is_set():
            break
        lost_at = loop.time()
        if not await _came_back(line, until):
            return Finding(
                about="deploy",
                level="fail",
                text=f"the call was lost ({line.closed[0]} {line.closed[1]}) and could not be taken up again.",
                advice="Is a second replica running? ./rolling-update keeps one ready (docs/deploy/operations.md).",
            )
        moves, longest = moves + 1, max(longest, loop.time() - lost_at)
    text = f"{moves} move{'s' * (moves != 1)} in {seconds:.0f} s; longest gap {longest:.1f} s"
    if moves and not line.going_away:
        return Finding(
            about="deploy",
            level="note",
            text=f"{text}; the call was not told before.",
            advice="Let replicas leave in peace: SIGTERM, and stop_grace_period longer than a reply (compose.yaml).",
        )
    if longest > RESUME_S:
        return Finding(
            about="deploy",
            level="note",
            text=f"{text}: callers hear it.",
            advice="Keep a replica ready while another leaves: ./rolling-update (docs/deploy/operations.md).",
        )
    return Finding(about="deploy", level="ok", text=f"{text}, was told before" if moves else text)


async def _came_back(line: Line, until: float) -> bool:
    loop = asyncio.get_running_loop()
    pause = 0.1
    while loop.time() < until + PATIENCE_S:
        try:
            await line.open(resume=True)
            return line.session is not None and line.session.resumed
        except (NotConnected, TimeoutError):
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
    return False
