"""Docker, as the tests of the deployment use it: plain commands, their output, and stacks that are taken down again."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from antiphon.settings.secret_files import OURS

ROOT = Path(__file__).parents[2]
SLIM = os.environ.get("TEST_IMAGE", "antiphon:slim")
LOCAL = os.environ.get("TEST_LOCAL_IMAGE", "antiphon:local")
NGINX = os.environ.get("TEST_NGINX_IMAGE", "nginx:stable-alpine")
CERTBOT = os.environ.get("TEST_CERTBOT_IMAGE", "certbot/certbot:v4.2.0")
ACME = os.environ.get("TEST_ACME_IMAGE", "antiphon-test-acme")
T = TypeVar("T")
SCRIPTED = {"ANTIPHON_ASR": "scripted", "ANTIPHON_LLM": "scripted", "ANTIPHON_TTS": "scripted"}


def run(
    *command: str, check: bool = True, timeout: float = 180, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run it, and give what it said. Its whole output is in the error when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def antiphon(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Our own command line."""
    return run(sys.executable, "-m", "antiphon", *arguments, **options)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def container(*options: str, image: str = SLIM, command: tuple[str, ...] = ()) -> Iterator[str]:
    """A container that runs in the background; gone afterwards. Gives its id."""
    name = run("docker", "run", "--detach", *options, image, *command).stdout.strip()
    try:
        yield name
    finally:
        run("docker", "rm", "--force", "--volumes", name, check=False)


def inside(name: str, *command: str, check: bool = True, user: str = "") -> str:
    """What a command in the container says."""
    as_user = ["--user", user] if user else []
    done = run("docker", "exec", *as_user, name, *command, check=check)
    return (done.stdout + done.stderr).strip()


def logs(name: str) -> str:
    """All that the container said so far."""
    done = run("docker", "logs", name)
    return done.stdout + done.stderr


def log_has(name: str, words: str, *, since: datetime | None = None, within_s: float = 30.0) -> str:
    """Follow the container's log, or what was said ``since``, until a line holds the words; that line."""
    later = ["--since", since.isoformat()] if since else []
    follow = subprocess.Popen(
        ["docker", "logs", "--follow", *later, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert follow.stdout is not None
    overdue = threading.Timer(within_s, follow.terminate)
    overdue.start()
    seen: list[str] = []
    try:
        for line in follow.stdout:
            seen.append(line)
            if words in line:
                return line.strip()
    finally:
        overdue.cancel()
        follow.terminate()
        # It may be stuck in a line that nobody reads.
        follow.stdout.close()
        follow.wait()
    raise AssertionError(f"{words!r} was not logged within {within_s:g} s:\n{''.join(seen[-30:])}")


def until(ask: Callable[[], T | None], wanted: str, *, of: str = "", within_s: float = 60.0) -> T:
    """Ask until the answer is neither None nor empty; that answer. What is asked takes its time by itself.

    ``of``: the container whose last words are told when it does not come.
    """
    overdue = threading.Event()
    patience = threading.Timer(within_s, overdue.set)
    patience.start()
    try:
        while not overdue.is_set():
            if answer := ask():
                return answer
    finally:
        patience.cancel()
    said = f":\n{logs(of)[-2000:]}" if of else ""
    raise AssertionError(f"within {within_s:g} s there was no {wanted}{said}")


def state(name: str) -> dict[str, Any]:
    """Docker's own account of it."""
    [account] = json.loads(run("docker", "inspect", name).stdout)
    return dict(account)


def until_healthy(name: str) -> dict[str, Any]:
    """Ask Docker until it finds the container healthy; its account then."""

    def healthy() -> dict[str, Any]:
        account = state(name)
        return account if account["State"].get("Health", {}).get("Status") == "healthy" else {}

    return until(healthy, f"healthy {name}", of=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A deployment from the project's own compose files, in a folder of its own."""

    folder: Path
    project: str
    http_port: int
    https_port: int
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https_port}"

    def compose(
        self, *arguments: str, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """``docker compose`` in the folder."""
        return run(
            "docker",
            "compose",
            *arguments,
            check=check,
            timeout=timeout,
            cwd=self.folder,
            env=self.environ(),
        )

    def write_secret(self, name: str, value: str) -> None:
        """A file in ``secrets/``, as the guide makes it."""
        path = self.folder / "secrets" / name
        path.write_text(value)
        path.chmod(0o440)
        shutil.chown(path, 10001, 10001)

    def script(self, name: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """A script of the deployment's own."""
        return run(str(self.folder / name), check=check, timeout=timeout, cwd=self.folder, env=self.environ())

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers."""
        return self.compose("ps", "--all", "--quiet", service).stdout.split()

    def verify(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``antiphon verify``, as a user on this machine."""
        return antiphon(
            "verify", self.url, "--insecure", "--http-port", str(self.http_port), *options, check=check
        )

    def load(self, *options: str, minutes: float, timeout: float = 600) -> dict[str, Any]:
        """``antiphon load`` through nginx and TLS; its report."""
        done = antiphon(
            "load", "--url", self.url, "--insecure", "--origin", self.url, "--minutes", str(minutes), "--json",
            *options, check=False, timeout=timeout,
        )  # fmt: skip
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def environ(self) -> dict[str, str]:
        """What `docker compose` is to see of this process' environment."""
        mine = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANTIPHON_", "COMPOSE_"))
        }
        return {**mine, "COMPOSE_PROJECT_NAME": self.project}


@contextmanager
def stack(folder: Path, *files: str, up: bool = True, **settings: str) -> Iterator[Stack]:
    """The deployment with these overlays and settings: the assistant's own in ``assistant.env``, Compose's in ``.env``.
    Down and its volumes gone afterwards."""
    place = folder / "deploy"
    shutil.copytree(ROOT / "deploy", place)
    made = Stack(
        folder=place,
        project=f"antiphon-test-{os.getpid()}-{folder.name.replace('_', '-').lower()}"[:60],
        http_port=free_port(),
        https_port=free_port(),
    )
    lines = {
        "DOMAIN": "localhost",
        "HTTP_PORT": str(made.http_port),
        "HTTPS_PORT": str(made.https_port),
        "COMPOSE_FILE": ":".join(("compose.yaml", *files)),
        "ASSISTANT_IMAGE": SLIM,
        "NGINX_IMAGE": NGINX,
        "CONNECTIONS_PER_ADDRESS": "200",
        "ANTIPHON_ADDRESS_SESSIONS": "0",
        "ANTIPHON_ADDRESS_CONNECTS_PER_MINUTE": "0",
        "REQUESTS_PER_SECOND": "200",
        **SCRIPTED,
        **settings,
    }
    _write_settings(place / ".env", {name: value for name, value in lines.items() if not _is_ours(name)})
    _write_settings(place / "assistant.env", {name: value for name, value in lines.items() if _is_ours(name)})
    try:
        if up:
            made.compose("up", "--detach", "--wait")
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "5", check=False)


def _is_ours(name: str) -> bool:
    return name.startswith(OURS)


def _write_settings(path: Path, settings: Mapping[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
