"""The real server, as it is started by hand, and a microphone that speaks on cue."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from playwright.sync_api import Page

SPEECH = Path(__file__).parents[1] / "speech"

ON_CUE = """
window.cue = (() => {
  const context = new AudioContext({sampleRate: 16000});
  const stream = context.createMediaStreamDestination();
  navigator.mediaDevices.getUserMedia = async () => (await context.resume(), stream.stream);
  return async (wav) => {
    const bytes = Uint8Array.from(atob(wav), (letter) => letter.charCodeAt(0));
    const source = new AudioBufferSourceNode(context, {buffer: await context.decodeAudioData(bytes.buffer)});
    source.connect(stream);
    source.start();
    await new Promise((done) => (source.onended = done));
  };
})();
"""
"""Recordings go through the browser's own audio graph into the page's capture."""


@contextmanager
def serving() -> Iterator[str]:
    """`antiphon serve` on a free loopback port, its models warm (and fetched first, if they are not here)."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "antiphon", "serve", "--port", str(port)]
    settings = {**os.environ, "ANTIPHON_PROFILE": "fast", "ANTIPHON_LOG_FORMAT": "json"}
    ready = threading.Event()
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, env=settings, **pipes) as process:
        assert process.stdout is not None
        threading.Thread(target=follow, args=(process.stdout, ready), daemon=True).start()
        try:
            assert ready.wait(600), "the server did not become ready"
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def follow(log: IO[str], ready: threading.Event) -> None:
    """Read the log to its end, for the line that says that calls are taken."""
    for line in log:
        if '"event": "ready"' in line:
            ready.set()


def say(page: Page, recording: str) -> None:
    """The user says this."""
    page.evaluate("wav => cue(wav)", base64.b64encode((SPEECH / recording).read_bytes()).decode())
