"""Three replicas, Valkey and nginx on loopback: processes that can be stopped, killed and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

PATIENCE_S = 60.0

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream antiphon {{
{servers}
  }}
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://antiphon;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $host:$server_port;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_buffering off;
      proxy_connect_timeout 1s;
      proxy_read_timeout 1h;
      # One that is about to stop, or not ready yet, says 503 to the handshake; one that died refuses.
      proxy_next_upstream error timeout http_503 non_idempotent;
    }}
  }}
}}
"""


class Replica:
    """One ``antiphon serve``, on the same port whenever it is started."""

    def __init__(self, number: int, *, settings: Mapping[str, str], folder: Path) -> None:
        self.number = number
        self.port = free_port()
        self._settings = settings
        self._log = folder / f"replica-{number}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It is not ready yet then."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "antiphon", "serve", "--port", str(self.port), "--log-format", "json"],
                env=clean | dict(self._settings),
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        """Returns when it takes calls."""
        async with asyncio.timeout(PATIENCE_S), httpx2.AsyncClient() as client:
            while True:
                try:
                    answer = await client.get(f"http://127.0.0.1:{self.port}/ready")
                    if answer.status_code == 200:
                        return
                except httpx2.HTTPError:
                    pass
                await asyncio.sleep(0.1)

    async def stop(self) -> tuple[int, float]:
        """SIGTERM: exit status, and the seconds that it took."""
        assert self._process is not None
        begun = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(self._process.wait, PATIENCE_S)
        return status, time.monotonic() - begun

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def replica_house(
    folder: Path, *, replicas: int, settings: Mapping[str, str]
) -> AsyncIterator[tuple[list[Replica], str]]:
    """The replicas, ready, and the address of nginx in front of them."""
    store_port, front_port = free_port(), free_port()
    store = _start_store(folder, store_port)
    shared = {"ANTIPHON_STORE": f"valkey://127.0.0.1:{store_port}", **settings}
    houses = [Replica(number, settings=shared, folder=folder) for number in range(replicas)]
    front = None
    try:
        for house in houses:
            house.start()
        await asyncio.gather(*(house.ready() for house in houses))
        front = _start_nginx(folder, front_port, [house.port for house in houses])
        yield houses, f"http://127.0.0.1:{front_port}"
    finally:
        for house in houses:
            house.kill()
        for process in (front, store):
            if process is not None:
                process.terminate()
                process.wait()


def _start_store(folder: Path, port: int) -> subprocess.Popen[bytes]:
    program = needed("valkey-server", "redis-server")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(
        [program, *options, "--appendonly", "yes", "--appendfsync", "everysec"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for_port(port)
    return process


def _start_nginx(folder: Path, port: int, upstreams: list[int]) -> subprocess.Popen[bytes]:
    servers = "\n".join(f"    server 127.0.0.1:{upstream} max_fails=0;" for upstream in upstreams)
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, servers=servers, port=port))
    process = subprocess.Popen(
        [needed("nginx"), "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx.log")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for_port(port)
    return process


def needed(*programs: str) -> str:
    """The first of them that is here."""
    found = next(filter(None, map(shutil.which, programs)), None)
    if found is None:
        names = " or ".join(programs)
        raise SystemExit(f"{names} is missing; install it, on Debian with: apt-get install {programs[-1]}")
    return found


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    """Until somebody listens there."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)
