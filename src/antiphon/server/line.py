"""A session's way to its client, whichever connection there is: numbers the messages, keeps the last of them for a
client that missed some, and sends them if someone is there. Sound is not kept here: a reply sends again what was not
heard of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from antiphon.conversation import events
from antiphon.errors import EndedError
from antiphon.protocol import server_messages as wire
from antiphon.protocol.codec import encode, size
from antiphon.server.outgoing import Outgoing, Overflow
from antiphon.server.wire_errors import wire_error
from antiphon.server.wire_events import wire_message

KEPT_BYTES = 256 * 1024
KEPT_MESSAGES = 800
"""Of messages kept: a client that was away for the whole of a long reply has missed about 400, some 40 KB; with
decisions, twice that."""

MOST_UNKEPT = 100_000
"""Messages that a session may have told after the last state kept of it: with decisions a reply is some 800, so that
this is hours of talk while the store is away. A client that claims more is not believed."""

MOVE_MS = 50
"""When to come back after ``going_away``, where others go on with the session: at once, when its turn is over."""

RESTART_MS = 1_000
"""And where nobody does: a restart takes a few seconds."""


class Line:
    """One session's."""

    def __init__(
        self,
        *,
        price: Callable[[events.ProviderCall], int | None],
        seq: int = 0,
        kept: Iterable[tuple[int, str]] = (),
        frank: bool = True,
    ) -> None:
        """``seq`` of the last message told, and the last messages, where a session goes on that was begun elsewhere.
        ``frank``: failures are told in the operator's words (``wire_failure``)."""
        self.timeline = False
        """Whether decisions are told."""
        self.trace_id = ""
        """Told with each answer; empty where there is none."""
        self._price = price
        self._frank = frank
        self._seq = seq
        self._kept: deque[tuple[int, str]] = deque(kept)
        self._kept_bytes = sum(size(text) for _, text in self._kept)
        self._forgotten = self._kept[0][0] - 1 if self._kept else seq
        """Up to this one, messages are not kept any more."""
        self._outgoing: Outgoing | None = None

    # ---- connections

    def connect(self, outgoing: Outgoing) -> None:
        """What is told from now on is sent there."""
        self._outgoing = outgoing

    def disconnect(self, outgoing: Outgoing) -> None:
        """That connection is gone."""
        if self._outgoing is outgoing:
            self._outgoing = None

    def missed(self, last_seq: int) -> tuple[list[str], bool]:
        """The messages after ``last_seq``, and whether those are all that there were."""
        return [text for seq, text in self._kept if seq > last_seq], last_seq >= self._forgotten

    def take_up(self, last_seq: int) -> None:
        """Of a session begun elsewhere: a client knows of messages that were told after it was kept, and no number is
        given out twice."""
        if self._seq < last_seq <= self._seq + MOST_UNKEPT:
            self._seq = last_seq

    # ---- as a session's outlet

    @property
    def seq(self) -> int:
        return self._seq

    def tail(self) -> tuple[tuple[int, str], ...]:
        return tuple(self._kept)

    def tell(self, event: events.Event) -> None:
        if isinstance(event, events.Decision) and not self.timeline:
            return
        if isinstance(event, events.Interrupted) and self._outgoing is not None:
            self._outgoing.drop_sound()
        message = wire_message(event, self._price, trace_id=self.trace_id, frank=self._frank)
        if isinstance(message, bytes):
            self._send(message)
        elif message is not None:
            self.put(message)

    def say_leaving(self, *, elsewhere: bool) -> None:
        self.put(wire.GoingAway(reconnect_in_ms=MOVE_MS if elsewhere else RESTART_MS))

    def say_ended(self, message: str) -> None:
        self.put(wire_error(EndedError(message)))

    # ---- what connections say

    def put(self, message: wire.ServerMessage) -> None:
        """Number it, keep it, and send it if someone is there."""
        self._seq += 1
        text = encode(message, seq=self._seq)
        if not isinstance(message, wire.Pong | wire.GoingAway):  # of no interest to a later connection
            self._keep(text)
        self._send(text)

    def _keep(self, text: str) -> None:
        self._kept.append((self._seq, text))
        self._kept_bytes += size(text)
        while self._kept_bytes > KEPT_BYTES or len(self._kept) > KEPT_MESSAGES:
            self._forgotten, forgotten = self._kept.popleft()
            self._kept_bytes -= size(forgotten)

    def _send(self, message: str | bytes) -> None:
        if self._outgoing is None:
            return
        try:
            self._outgoing.put(message)
        except Overflow:
            # The session does not end with a connection that is stuck; it waits for a better one.
            self._outgoing.fail()
            self._outgoing = None
