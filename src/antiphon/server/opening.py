"""From ``start`` to a session: a new one, one that is held here, or one that was held elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from antiphon.conversation import events
from antiphon.conversation.config import ConversationConfig
from antiphon.conversation.conversation import Conversation
from antiphon.conversation.memory import Memory
from antiphon.protocol import client_messages as client
from antiphon.protocol import server_messages as wire
from antiphon.server.line import Line
from antiphon.sessions.keeping import Keeping
from antiphon.sessions.live import Lifetime, LiveSession
from antiphon.sessions.offer import Assistant
from antiphon.sessions.place import Place
from antiphon.sessions.recordings import save_flight
from antiphon.sessions.registry import Regained, Registry, new_token
from antiphon.sessions.session import Session
from antiphon.sessions.store import token_hash
from antiphon.telemetry.logs import logger

GONE = wire.Notice(kind="history", message="The earlier conversation is gone; this is a new one.")
GAPS = wire.Notice(kind="gap", message="Some of what happened meanwhile cannot be shown any more.")
TURN_LOST = wire.Notice(
    kind="turn_lost",
    message="The server that held this conversation stopped without warning. What was said last may have been lost.",
)

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A session, ready for a connection."""

    live: LiveSession
    line: Line
    token: str | None
    resumed: bool = False
    notices: tuple[wire.Notice, ...] = ()


class Opening:
    """Opens sessions for one assistant."""

    def __init__(
        self,
        registry: Registry,
        assistant: Assistant,
        *,
        lifetime: Lifetime,
        recordings: Path | None,
        frank: bool = True,
    ) -> None:
        """``frank``: callers are told of failures in the operator's words."""
        self._frank = frank
        self._registry = registry
        self._assistant = assistant
        self._lifetime = lifetime
        self._recordings = recordings

    async def open(
        self, start: client.Start, config: ConversationConfig, place: Place, *, seq: int
    ) -> Opened:
        """What ``start`` asks for. ``seq`` of the last message that the connection was told. Raises RefusedError.
        Safe to cancel."""
        opened = await self._opened(start, config, place, seq=seq)
        # One that was not held before has no seat to give up, and nothing is awaited: it would be nobody's meanwhile.
        await opened.live.sit(place.seat)
        return opened

    async def _opened(
        self, start: client.Start, config: ConversationConfig, place: Place, *, seq: int
    ) -> Opened:
        wanted, registry = start.resume, self._registry
        if wanted is None:
            return self._begin(config, place, seq=seq)
        registry.readmit(place, wanted.session_id, wanted.token)
        found = await registry.find(wanted.session_id, wanted.token, place.caller)
        if found is not None:
            registry.give_back(place)  # who goes on with a session has a place already
        match found:
            case LiveSession():
                return self._rejoin(found, config, wanted.token)
            case Regained():
                return self._take_up(found, config, wanted)
            case None:
                return replace(self._begin(config, place, seq=seq), notices=(GONE,))

    def _begin(self, config: ConversationConfig, place: Place, *, seq: int) -> Opened:
        self._registry.admit(place)
        session, token = self._registry.begin(place), new_token()
        hashed = token_hash(token, key=place.caller.key)
        keeping = self._registry.keeping(session, hashed)
        line = Line(price=self._assistant.price, seq=seq, frank=self._frank)
        epoch = time.time_ns() // 1_000_000
        live = self._live(session, line, keeping, epoch=epoch, token=hashed)
        live.conversation = self._conversation(live, config, Memory())
        self._registry.give_back(place)
        self._registry.hold(live)
        return Opened(live=live, line=line, token=token if self._lifetime.grace_s else None)

    def _rejoin(self, live: LiveSession, config: ConversationConfig, token: str) -> Opened:
        if config != live.conversation.config:
            live.change(lambda memory: self._conversation(live, config, memory))
        assert isinstance(live.outlet, Line)
        return Opened(live=live, line=live.outlet, token=token, resumed=True)

    def _take_up(self, regained: Regained, config: ConversationConfig, wanted: client.Resume) -> Opened:
        snapshot, memory = regained.snapshot, regained.snapshot.memory
        line = Line(price=self._assistant.price, seq=snapshot.seq, kept=snapshot.tail, frank=self._frank)
        live = self._live(
            regained.session, line, regained.keeping, epoch=snapshot.epoch, token=regained.token
        )
        line.take_up(wanted.last_seq)
        notices: tuple[wire.Notice, ...] = ()
        if not snapshot.handed_over:
            cut = memory.unfinished
            if cut is not None or wanted.last_seq > snapshot.seq:
                notices = (TURN_LOST,)
            if cut is not None:
                _cut_short(line, memory)
            memory = memory.after_sudden_end()
        live.conversation = self._conversation(live, config, memory)
        live.conversation.pause()
        self._registry.hold(live, resumed=True)
        live.keep_again()
        return Opened(live=live, line=line, token=wanted.token, resumed=True, notices=notices)

    def _live(
        self, session: Session, line: Line, keeping: Keeping, *, epoch: int, token: bytes
    ) -> LiveSession:
        async def afterwards() -> None:
            await self._save_flight(live)

        live = LiveSession(
            session,
            outlet=line,
            keeping=keeping,
            lifetime=self._lifetime,
            epoch=epoch,
            token=token,
            draining=self._registry.draining,
            afterwards=afterwards,
        )
        return live

    def _conversation(self, live: LiveSession, config: ConversationConfig, memory: Memory) -> Conversation:
        return Conversation(
            session_id=live.session.id,
            providers=self._assistant.providers,
            config=config,
            emit=live.emit,
            observe=self._observer(live.session),
            allowance=self._assistant.allowance,
            memory=memory,
        )

    def _observer(self, session: Session) -> Callable[[events.Event], None]:
        audience, price = self._registry.audience, self._assistant.price

        def observe(event: events.Event) -> None:
            if isinstance(event, events.ProviderCall):
                session.counts.charge(price(event))
            audience.told(session.id, event)

        return observe

    async def _save_flight(self, live: LiveSession) -> None:
        folder, conversation = self._recordings, live.conversation
        if folder is None:
            return
        streaming = self._assistant.providers.recognizer.info.streaming
        flight = conversation.recorder.to_json(
            session_id=live.session.id, policy=conversation.config.turn_policy(streaming=streaming)
        )
        try:
            path = await asyncio.to_thread(save_flight, folder, live.session.id, flight)
        except OSError as error:
            log.warning("recording not saved", folder=str(folder), problem=error.strerror or str(error))
        else:
            log.info("recording saved", path=str(path))


def _cut_short(line: Line, memory: Memory) -> None:
    """Tell the client that a reply is over which nobody goes on with."""
    cut = memory.unfinished
    assert cut is not None
    heard = cut.text[: cut.heard_upto].rstrip()
    line.tell(events.Interrupted(reply_id=cut.reply_id, heard_ms=round(cut.heard_ms), heard_text=heard))
    line.tell(
        events.ReplyDone(
            turn_id=cut.turn_id, reply_id=cut.reply_id, text=heard, latency_ms={}, interrupted=True
        )
    )
