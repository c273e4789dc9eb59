"""RFC 6455, by the Autobahn test suite, against the WebSocket server as it is served here; and through nginx.

    python2.7 -m virtualenv autobahn && autobahn/bin/pip install autobahntestsuite
    .venv/bin/python benchmarks/autobahn.py --wstest autobahn/bin/wstest
    .venv/bin/python benchmarks/autobahn.py --wstest autobahn/bin/wstest --nginx

The suite (Python 2.7) talks to an echo that is served by the same protocol classes and settings as ``/ws/voice``, with
larger messages allowed. Without compression, which is not offered (cases 12 and 13 are about that).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from antiphon.server.serving import listen, web_server_config

MAX_MESSAGE = 4 * 1024 * 1024
"""Times four is what the library lets through: the largest message of the suite has 16 MiB."""

PASSED = ("OK", "NON-STRICT", "INFORMATIONAL")
"""``NON-STRICT``: right, but said in another order. ``INFORMATIONAL``: there is no right or wrong."""

KNOWN = {
    "7.1.5": "a close in the middle of a fragmented message is answered with 1002, not 1000: the websockets library "
    "takes a message that is never finished for an error. The connection is closed either way.",
}
"""Cases whose outcome is understood and left so."""

NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{front};
    location / {{
      proxy_pass http://127.0.0.1:{back};
      proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
      proxy_set_header Host $host; proxy_buffering off; proxy_read_timeout 120s;
    }}
  }}
}}
"""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says back what it hears."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def serve_echo(descriptor: int) -> None:
    """In a process of its own."""
    import socket

    server = uvicorn.Server(web_server_config(echo, max_message_bytes=MAX_MESSAGE))
    asyncio.run(server.serve([socket.socket(fileno=descriptor)]))


@contextmanager
def running(*command: str, **more: Any) -> Iterator[None]:
    """A process, ended on leaving."""
    process = subprocess.Popen(command, **more)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def through_nginx(back: int, folder: Path) -> Iterator[int]:
    """Its port."""
    with listen("127.0.0.1", 0) as free:
        front: int = free.getsockname()[1]
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    settings = folder / "nginx.conf"
    settings.write_text(NGINX.format(folder=folder, front=front, back=back))
    with running(program, "-c", str(settings), "-p", str(folder), stderr=subprocess.DEVNULL):
        yield front


def run_suite(wstest: str, url: str, cases: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Case → what came of it."""
    spec = {
        "outdir": str(folder / "reports"),
        "servers": [{"agent": "antiphon", "url": url}],
        "cases": cases,
        "exclude-cases": ["12.*", "13.*"],
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    done = subprocess.run(
        [wstest, "-m", "fuzzingclient", "-s", str(folder / "spec.json")],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    index = folder / "reports" / "index.json"
    if not index.exists():
        raise SystemExit(f"wstest did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    results: dict[str, dict[str, Any]] = json.loads(index.read_text())["antiphon"]
    return results


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wstest", default="wstest", help="the suite's program")
    parser.add_argument("--nginx", action="store_true", help="through nginx instead of directly")
    parser.add_argument("--cases", default="*", help="which, with commas: 1.*,2.*")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        listening = stack.enter_context(listen("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        code = f"import benchmarks.autobahn as a; a.serve_echo({listening.fileno()})"
        root = Path(__file__).parents[1]
        stack.enter_context(
            running(
                sys.executable, "-c", code, pass_fds=[listening.fileno()], cwd=root, stderr=subprocess.DEVNULL
            )
        )
        if chosen.nginx:
            port = stack.enter_context(through_nginx(port, folder))
        results = run_suite(chosen.wstest, f"ws://127.0.0.1:{port}", chosen.cases.split(","), folder)
    counts = Counter(result["behavior"] for result in results.values())
    closes = Counter(result["behaviorClose"] for result in results.values())
    failed = sorted(
        case
        for case, result in results.items()
        if (result["behavior"] not in PASSED or result["behaviorClose"] not in PASSED) and case not in KNOWN
    )
    print(f"RFC 6455 by Autobahn, {'through nginx' if chosen.nginx else 'directly'}: {len(results)} cases")
    print("  answers: " + ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    print("  closing: " + ", ".join(f"{name} {count}" for name, count in closes.most_common()))
    for case in KNOWN.keys() & results.keys():
        print(f"  {case}: {KNOWN[case]}")
    print("  failed: " + (", ".join(failed) if failed else "none"))
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
