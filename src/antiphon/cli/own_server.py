"""A server of our own for one command: on a free loopback port, in a process of its own, gone afterwards."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from antiphon.errors import AntiphonError
from antiphon.server.serving import listen

POLL_S = 0.2
"""How often it is asked whether it is ready."""

ANSWER_S = 30.0
"""How long it may take to import itself and answer for the first time."""

ENDING_S = 2.0
"""How long a process may take between letting go of its sockets and being gone."""

STOP_S = 10.0
"""How long it may take to let go of its models."""

Ready = dict[str, Any]
"""What ``/ready`` says (docs/protocol.md)."""


class ServerFailed(AntiphonError):
    """Our own server did not start, or cannot get ready."""

    code = "server_failed"


@contextmanager
def own_server(told: Callable[[Ready], None]) -> Iterator[str]:
    """Its address once it is ready, with the settings of this process; ``told`` hears how far it is. A
    process of its own, because a loop that also loads models would not keep time. Raises ServerFailed."""
    listening = listen("127.0.0.1", 0)
    port: int = listening.getsockname()[1]
    with listening:
        process = subprocess.Popen(
            [sys.executable, "-m", "antiphon", "serve", "--fd", str(listening.fileno()), "--log-format",
            "json",
             "--log-level", "error"],
            pass_fds=[listening.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # It is on loopback, for this command alone: who may talk to the real one is not asked here, and a call on a
            # busy machine is better than none.
            env=os.environ | {"ANTIPHON_ACCESS": "open", "ANTIPHON_MAX_LOOP_LAG_MS": "0"},
            # Ctrl-C is for the command, which then ends its server in order.
            start_new_session=True,
        )  # fmt: skip
    try:
        _wait_until_ready(process, port, told)
        yield f"http://127.0.0.1:{port}"
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[str], port: int, told: Callable[[Ready], None]) -> None:
    while True:
        ready = _ask(process, port)
        told(ready)
        if ready["ready"]:
            return
        if ready["error"] is not None:
            raise ServerFailed(str(ready["error"]["message"]))
        time.sleep(POLL_S)


def _ask(process: subprocess.Popen[str], port: int) -> Ready:
    """``GET /ready``. The socket listened before the process began, so the first question waits until it
    accepts."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/ready")
        answer: Ready = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException) as error:
        # One that is ending lets go of its sockets a moment before it is gone; then it has said why.
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_S)
        if process.poll() is None:
            raise ServerFailed(f"the server that was started for this does not answer: {error}") from error
        _, said = process.communicate()
        last = said.strip().splitlines()[-1:] or ["it said nothing"]
        raise ServerFailed(last[0].removeprefix("Error: ")) from error
    finally:
        connection.close()
    return answer


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGTERM)
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
