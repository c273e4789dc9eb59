"""Serving the application: the socket, uvicorn, and an orderly end."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from antiphon.errors import AntiphonError, SettingsError
from antiphon.server.application import Application
from antiphon.server.back_pressure import hold_little
from antiphon.server.housekeeping import keep_house
from antiphon.server.sockets import GuardedWebSocket, PatientHttp
from antiphon.telemetry.logs import logger

SOCKET_SLACK = 4
"""Messages up to this many times the limit are read, so that the caller can be told; larger ones are cut
off by the WebSocket library, with the same close code."""

PING_S = 20.0
"""How often a silent client is asked whether it is still there, and how long it may take to answer."""

KEEP_ALIVE_S = 75
"""How long an HTTP connection may wait for its next request: longer than proxies keep theirs (nginx and most load
balancers 60 s), or one would send a request into a connection that is just being closed."""

BACKLOG = 2048
"""Connections waiting to be accepted: all clients of a full server coming back at once."""

DRAIN_SLACK_S = 5.0
"""How much longer than the grace time of a reply all conversations may take to end, with what is then written of them.
Supervisors are told to allow as much (docs/reliability.md)."""

GOODBYES_S = 3.0
"""How long the last connections may take to be told why they end: a little more than each of them may
(``voice.FAREWELL_S``)."""

ONE_SIGNAL_S = 0.2
"""Signals within this time of the first are the same one: ``timeout`` sends its own to the process and then to its
group, and a supervisor that is interrupted in a terminal passes on what the terminal has sent to all, within a tenth of
a second. Nobody has waited in vain by then and presses Ctrl-C again."""

log = logger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises SettingsError saying what to do when it cannot
    be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise SettingsError(
            f"ANTIPHON_HOST={host!r} is not an address of this machine: {error.strerror or error}. Use "
            "127.0.0.1 for"
            " this machine only, 0.0.0.0 for every network."
        ) from error
    listening = socket.socket(family, kind, proto)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise SettingsError(_why_not(host, port, error)) from error
    listening.setblocking(False)
    return listening


def _why_not(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"port {port} on {host} is in use by another program. Stop that one, or use another port:"
                f" antiphon serve --port {port + 1 if port < 65535 else 8000} (or ANTIPHON_PORT)."
            )
        case errno.EACCES:
            return f"port {port} may not be opened by this user; use one above 1023, such as --port 8000."
        case errno.EADDRNOTAVAIL:
            return (
                f"ANTIPHON_HOST={host!r} is not an address of this machine. Use 127.0.0.1 for this machine "
                "only,"
                " 0.0.0.0 for every network."
            )
        case _:
            return f"cannot listen on {host} port {port}: {error.strerror or error}"


def web_server_config(app: ASGIApp, *, max_message_bytes: int) -> uvicorn.Config:
    """How uvicorn is to serve."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=PatientHttp,
        ws=GuardedWebSocket,
        ws_max_size=max_message_bytes * SOCKET_SLACK,
        timeout_keep_alive=KEEP_ALIVE_S,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # server/callers.py reads them, and believes only our own proxies; uvicorn would take any loopback's.
        proxy_headers=False,
        # Closing handshakes that clients do not finish: nothing of worth is waited for by then. Requests have ended
        # before (``sockets.LAST_REQUESTS_S``).
        timeout_graceful_shutdown=3,
    )


class Server(uvicorn.Server):
    """uvicorn's server, but SIGTERM and SIGINT let conversations end first.

    By itself uvicorn closes every WebSocket within 100 ms of the signal. Here the first signal turns
    readiness off, tells callers, and waits until their replies have been heard (each for at most the grace
    time); another one, later than ``ONE_SIGNAL_S``, ends the process at once.
    """

    def __init__(
        self,
        application: Application,
        *,
        max_message_bytes: int,
        own_process: bool = False,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """``own_process``: whether nothing else is in it, so that its memory may be kept as suits it. ``clock`` in
        seconds; ``end`` ends the process, with a status."""
        super().__init__(web_server_config(application.asgi, max_message_bytes=max_message_bytes))
        self._application = application
        self.drain_s = application.drain_grace_s + DRAIN_SLACK_S
        """How long conversations may take to end once it is to stop."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaving_since: float | None = None
        self._own_process = own_process
        self._clock = clock
        self._end = end

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop. Raises AntiphonError when the server failed and ended by itself."""
        self._loop = asyncio.get_running_loop()
        for listening in sockets or ():
            hold_little(listening)
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(self._drain())]
            if self._own_process:
                beside.append(
                    tasks.create_task(
                        keep_house(self._application.registry, forget=self._application.forget_old)
                    )
                )
            await super().serve(sockets)
            for task in beside:
                task.cancel()
        if self._application.failed:
            raise AntiphonError("the server has failed; its log says why")

    def stop(self) -> None:
        """What the first signal does."""
        if self._leaving_since is None:
            self._leaving_since = self._clock()
        log.info("stopping", sessions=len(self._application.registry.live))
        self._application.registry.drain()

    async def _drain(self) -> None:
        registry = self._application.registry
        await registry.draining.wait()
        try:
            async with asyncio.timeout(self.drain_s):
                await registry.emptied()
                # Their sessions are over, and their goodbyes on the way: uvicorn would close them without a reason.
                with suppress(TimeoutError):
                    async with asyncio.timeout(GOODBYES_S):
                        await self._application.hung_up()
        except TimeoutError:
            log.error("stopping with sessions that do not end", sessions=[one.id for one in registry.live])
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal. Not passed to uvicorn: it would raise it again at the end, and the exit status would
        not be 0."""
        now = self._clock()
        if self._leaving_since is not None:
            if now - self._leaving_since > ONE_SIGNAL_S:
                self._end(128 + sig)
        elif self._loop is None:
            self.should_exit = True
        else:
            self._leaving_since = now
            self._loop.call_soon_threadsafe(self.stop)
