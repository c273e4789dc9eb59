"""HTTP/2 for the pool: httpcore's, made fit for replies that are cancelled and for connections that end.

httpcore leaves a stream that nobody reads any more to itself: the vendor goes on writing, and billing, and what it
sends fills the connection's window until nothing flows for anyone. Here a stream that is left early is reset.

h2 takes a GOAWAY for the end of everything. To the vendor it means: no more requests here, those up to this one are
still answered (RFC 9113, section 6.8; nginx sends it every 1,000 requests, Envoy before it restarts). Here the others
are asked again on another connection, and what is under way is read to its end.

A connection can die without a word: a laptop that slept, an address that a router forgot. One that has said nothing
while somebody waited is asked for a sign of life (PING), and gets no new requests until one has come.
"""

from __future__ import annotations

import asyncio
import contextlib

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from httpcore2 import (
    AsyncHTTP2Connection,
    ConnectionNotAvailable,
    Origin,
    RemoteProtocolError,
    Request,
    WriteError,
)
from hyperframe.frame import Frame, GoAwayFrame

from antiphon.providers.tcp import LoopStream

SIGN_OF_LIFE_S = 1.0
"""A connection that has not answered a PING for so long is closed as soon as nobody waits on it."""


class Http2(AsyncHTTP2Connection):
    """Resets what is left early, survives a GOAWAY, and knows when it is dead."""

    def __init__(self, origin: Origin, stream: LoopStream, keepalive_expiry: float | None) -> None:
        super().__init__(origin, stream, keepalive_expiry)
        self._h2_state = self._frames = _Frames(config=self.CONFIG)
        self._stream = stream
        self._doubted_at = float("-inf")

    @property
    def streams(self) -> int:
        """Requests that the vendor takes at once."""
        theirs = self._h2_state.remote_settings.max_concurrent_streams
        return max(1, min(theirs, self._h2_state.local_settings.max_concurrent_streams))

    @property
    def retired(self) -> bool:
        """Gets no new requests: the vendor said so or closed it, or it may be dead."""
        return self._ending or self._doubted

    def doubt(self, since: float) -> None:
        """Somebody has waited since then (loop time). If nothing at all was heard, ask for a sign of life."""
        if self._stream.heard_at >= since or self._doubted or self._ending:
            return
        self._doubted_at = asyncio.get_running_loop().time()
        with contextlib.suppress(h2.exceptions.ProtocolError, WriteError):
            self._h2_state.ping(b"antiphon")
            self._stream.post(self._h2_state.data_to_send())

    def is_available(self) -> bool:
        return super().is_available() and not self.retired

    def has_expired(self) -> bool:
        return super().has_expired() or (self.is_idle() and (self._ending or self._dead))

    @property
    def _ending(self) -> bool:
        return self._stream.ended or self._frames.last_stream_id is not None or self._connection_error

    @property
    def _doubted(self) -> bool:
        return self._stream.heard_at < self._doubted_at

    @property
    def _dead(self) -> bool:
        return self._doubted and asyncio.get_running_loop().time() - self._doubted_at > SIGN_OF_LIFE_S

    async def _send_request_headers(self, request: Request, stream_id: int) -> None:
        if self._frames.last_stream_id is not None:
            raise ConnectionNotAvailable
        request.extensions["stream_id"] = stream_id
        await super()._send_request_headers(request, stream_id)

    async def _receive_events(self, request: Request, stream_id: int | None = None) -> None:
        last = self._frames.last_stream_id
        if last is not None and request.extensions["stream_id"] > last:
            if last == 0:  # not even the first: another connection would fare no better
                raise RemoteProtocolError("the vendor takes no requests")
            raise ConnectionNotAvailable  # never looked at: the pool asks again, on another connection
        await super()._receive_events(request, stream_id)

    async def _read_incoming_data(self, request: Request) -> list[h2.events.Event]:
        try:
            return await super()._read_incoming_data(request)
        except h2.exceptions.ProtocolError as error:
            # For all on this connection, as httpcore has it for errors of the network.
            self._read_exception = RemoteProtocolError(str(error))
            self._connection_error = True
            raise self._read_exception from error

    async def _response_closed(self, stream_id: int) -> None:
        """The one place through which every stream ends, however it ended."""
        self._reset(stream_id)
        await super()._response_closed(stream_id)

    def _reset(self, stream_id: int) -> None:
        stream = self._h2_state.streams.get(stream_id)
        if stream is None or stream.closed:
            return
        with contextlib.suppress(h2.exceptions.ProtocolError, WriteError):  # it is over anyway
            for event in self._events.get(stream_id, ()):
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    self._h2_state.acknowledge_received_data(event.flow_controlled_length, stream_id)
            self._h2_state.reset_stream(stream_id, error_code=h2.errors.ErrorCodes.CANCEL)
            self._stream.post(self._h2_state.data_to_send())


class _Frames(h2.connection.H2Connection):
    """h2's, which goes on after the vendor's GOAWAY."""

    last_stream_id: int | None = None
    """Of the requests that are still answered, once the vendor has said so; 2**31 - 1 at first from those that say so
    twice."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        self.last_stream_id = frame.last_stream_id
        return [], []
