"""The server's side of one antiphon.v1 connection, without the socket: what may come when, how many
mistakes are forgiven, and the ``seq`` of what goes out."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.errors import AudioError, ProtocolError, RateLimitedError
from antiphon.protocol.client_messages import Bye, ClientMessage, Start
from antiphon.protocol.codec import decode_client, encode, size
from antiphon.protocol.pace import AudioPace, MessagePace, Pace
from antiphon.protocol.server_messages import ServerMessage

FORGIVEN = 5
"""Messages per connection, malformed or too many, that are answered with ``error`` only: a client with a bug notices,
one that floods is rid of."""

CALM_S = 1.0
"""Seconds of sound that must be free to come at once before a client that was too fast counts as in time again."""

NOT_ANTIPHON = 1007
"""Close code for data that cannot be read."""
OUT_OF_ORDER = 1008
"""Close code for messages at the wrong time, or too fast."""
TOO_BIG = 1009
"""Close code for a message over the limit."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The connection must be closed so."""

    code: int
    reason: str
    """At most 123 bytes, as WebSocket demands."""


_WHY = "too many messages that are not antiphon.v1"
UNREADABLE = Closing(NOT_ANTIPHON, _WHY)
MISPLACED = Closing(OUT_OF_ORDER, _WHY)
TOO_FAST = Closing(OUT_OF_ORDER, "messages come too fast")
"""No mistake of the client's: its network may have held them back."""


class ServerConnection:
    """Feed it what arrives; it gives the message or raises ClientError. After an error, ``closing`` tells
    whether the connection has had its chances."""

    def __init__(
        self,
        *,
        max_message_bytes: int,
        messages_per_s: float = 200.0,
        bytes_per_s: float = 250_000.0,
        shared: Pace | None = None,
    ) -> None:
        """``shared``: what it is held to together with other connections."""
        self.closing: Closing | None = None
        self.started: Start | None = None
        """What the caller asked for, once ``accept_start`` said that it can be done."""
        self._max_bytes = max_message_bytes
        self._mistakes = 0
        self._seq = 0
        self._pace: AudioPace | None = None
        self._dropping = False
        """Whether sound comes too fast, and the client was told."""
        self._messages = MessagePace(messages_per_s=messages_per_s, bytes_per_s=bytes_per_s)
        self._shared = shared

    # ---- in

    def check_pace(self, frame: str | bytes, *, now: float) -> None:
        """Before a frame of either kind is looked at. Raises RateLimitedError when it comes too soon; then it is not to
        be looked at."""
        length = size(frame)
        wait_s = self._messages.admit(length, now=now)
        if not wait_s and self._shared is not None:
            wait_s = self._shared.admit(length, now=now)
        if wait_s:
            self._mistake(TOO_FAST)
            raise RateLimitedError(
                "messages come faster than this server takes them; what came too soon was dropped",
                retry_after_s=wait_s,
            )

    def receive_text(self, text: str) -> ClientMessage | None:
        """A text message → what it says, None when it is of a type to be ignored."""
        self._check_size(text)
        try:
            message = decode_client(text)
        except ProtocolError:
            self._mistake(UNREADABLE)
            raise
        if message is not None:
            self._check_order(message)
        return message

    def receive_sound(self, pcm: bytes, *, now: float) -> bytes | None:
        """A binary message → PCM to hear; None when it comes too fast and is dropped, which is told by an AudioError
        the first time. ``now`` in seconds."""
        self._check_size(pcm)
        if self._pace is None or self.started is None:
            self._mistake(MISPLACED)
            raise ProtocolError(
                'sound came before `start`; send {"type":"start"} first and wait for `session`'
            )
        if not pcm or len(pcm) % 2:
            self._mistake(UNREADABLE)
            raise AudioError(
                f"a binary message of {len(pcm)} bytes is not PCM s16le mono: send whole 16-bit samples, "
                "20-60 ms a message"
            )
        if self._pace.admit(len(pcm), now=now):
            self._dropping = self._dropping and self._pace.room_s < CALM_S
            return pcm
        if self._dropping:
            return None
        self._dropping = True
        raise AudioError(
            f"sound arrives faster than it can be spoken at {self.started.input_rate} Hz, and what is too much is "
            "dropped; send it in real time, and check that `start.input_rate` is the microphone's"
        )

    def accept_start(self, start: Start, *, now: float) -> None:
        """The caller's wishes can be met: sound may come from ``now`` on."""
        self.started = start
        self._pace = AudioPace(start.input_rate, now=now)

    def refuse_start(self) -> None:
        """The caller's wishes cannot be met; it may try another ``start``."""
        self._mistake(MISPLACED)

    def _check_size(self, frame: str | bytes) -> None:
        length = size(frame)
        if length > self._max_bytes:
            self.closing = Closing(TOO_BIG, f"message over {self._max_bytes} bytes")
            raise ProtocolError(
                f"a message of {length} bytes is over the limit of {self._max_bytes}; send sound 20-60 ms at "
                "a time"
            )

    def _check_order(self, message: ClientMessage) -> None:
        if isinstance(message, Bye):
            return
        is_start = isinstance(message, Start)
        if self.started is None and not is_start:
            self._mistake(MISPLACED)
            raise ProtocolError(f'the first message must be {{"type":"start"}}, not `{message.TYPE}`')
        if self.started is not None and is_start:
            self._mistake(MISPLACED)
            raise ProtocolError("this session has already had its `start`; connect again for another one")

    def _mistake(self, closing: Closing) -> None:
        self._mistakes += 1
        if self._mistakes > FORGIVEN:
            self.closing = closing

    # ---- out

    @property
    def seq(self) -> int:
        """Of the last message sent."""
        return self._seq

    def send(self, message: ServerMessage) -> str:
        """The text to send, with the next ``seq``."""
        self._seq += 1
        return encode(message, seq=self._seq)
