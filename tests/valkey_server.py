"""A real Valkey (or Redis) for tests: a process of its own on a free loopback port, with an append-only file, that can
be stopped, killed, frozen and started again on the same port with the same data.

    @pytest.fixture
    def valkey(tmp_path):
        with running_valkey(tmp_path) as server:
            yield server

``tests/conftest.py`` has that fixture as ``valkey``.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 20.0
"""For the process to answer, or to end, on a busy machine."""


class ValkeyServer:
    """One server on ``url``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For ANTIPHON_STORE."""
        return f"valkey://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers."""
        assert self._process is None, "it is running"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [
                _program(),
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                *("--databases", "4", "--logfile", str(self.folder / "valkey.log")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._await_answer()

    def stop(self) -> None:
        """Let it end in order: what it was told is on disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9: what it was told in the last second may be lost."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: connections stay open, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def unpause(self) -> None:
        """After ``pause``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str) -> str:
        """The first line of the answer to a command, as the wire has it: ``ask("PING")`` → ``+PONG``."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            parts = [f"*{len(words)}", *(line for word in words for line in (f"${len(word.encode())}", word))]
            connection.sendall(("\r\n".join(parts) + "\r\n").encode())
            return connection.makefile("rb").readline().decode().rstrip("\r\n")

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)  # a frozen process does not hear the other signal
        self._process.send_signal(how)
        self._process.wait(PATIENCE_S)
        self._process = None

    def _await_answer(self) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            assert self._process is not None
            try:
                if self.ask("PING") == "+PONG":
                    return
            except OSError:
                pass
            if self._process.poll() is not None or time.monotonic() > give_up:
                log = self.folder / "valkey.log"
                raise RuntimeError(f"Valkey does not start:\n{log.read_text() if log.exists() else ''}")
            time.sleep(0.02)  # the process cannot tell us when it listens


@contextmanager
def running_valkey(folder: Path) -> Iterator[ValkeyServer]:
    """A server, ended on leaving."""
    server = ValkeyServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _program() -> str:
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise RuntimeError(
            "valkey-server is missing; install it, on Debian 12 with: apt-get install redis-server"
        )
    return found
