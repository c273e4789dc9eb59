"""The line breaks, and the page goes on: against the real server, with scripted providers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from playwright.sync_api import Browser, Page, WebSocket
from tests.browser.conftest import Visit
from tests.browser.scripted_server import ScriptedServer
from tests.valkey_server import free_port

pytestmark = pytest.mark.browser

REPLY = "There was a miller once who had a mill, a donkey and a cat. One day he left. And the cat stayed."
PATIENCE_MS = 30_000

BREAKABLE = """
const Real = WebSocket;
window.lines = [];
window.WebSocket = class extends Real {
  constructor(...given) { super(...given); lines.push(this); }
};
"""


@pytest.fixture
def address() -> Iterator[str]:
    port = free_port()
    scripted = {f"ANTIPHON_{name}": "scripted" for name in ("ASR", "LLM", "TTS")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "antiphon", "serve", "--port", str(port)],
        env=clean | scripted | {"ANTIPHON_SCRIPTED_REPLY": REPLY},
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/"
    transport = httpx.HTTPTransport(retries=20)
    with httpx.Client(transport=transport, timeout=30) as client:
        while client.get(url + "ready").status_code != 200:
            pass
    yield url
    process.terminate()
    process.wait(20)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(permissions=["microphone"])
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(BREAKABLE)
    yield context.new_page()
    context.close()


def test_a_reply_goes_on_where_it_was_and_nothing_is_new(page: Page, address: str) -> None:
    told: list[list[dict[str, Any]]] = []
    said: list[dict[str, Any]] = []

    def opened(line: WebSocket) -> None:
        messages: list[dict[str, Any]] = []
        told.append(messages)
        line.on(
            "framereceived", lambda data: messages.append(json.loads(data)) if isinstance(data, str) else None
        )
        line.on("framesent", lambda data: said.append(json.loads(data)) if isinstance(data, str) else None)

    def until(condition: str) -> None:
        Visit(page, cast(ScriptedServer, None)).until(condition)

    page.on("websocket", opened)
    page.goto(address)
    page.fill("#typed", "Tell me a story")
    page.press("#typed", "Enter")
    until("document.querySelector('.reply .said')?.textContent.length > 15")
    page.evaluate("lines.at(-1).close()")
    until(f"document.querySelector('.reply .said')?.textContent.trim() === {json.dumps(REPLY)}")

    page.wait_for_selector(".took")  # which comes with `response_done`
    assert len(told) == 2
    session = next(message for message in told[1] if message["type"] == "session")
    assert session["resumed"] is True
    resume = [message for message in said if message["type"] == "start"][1]["resume"]
    again = next(message for message in told[1] if message["type"] == "audio_started")
    assert again["reply_id"] == resume["played"]["reply_id"]
    assert again["from_ms"] == resume["played"]["ms"] > 0
    done = [message for messages in told for message in messages if message["type"] == "response_done"]
    assert [(message["text"], message["interrupted"]) for message in done] == [(REPLY, False)]
    assert page.locator("#entries .entry.note").count() == 0
    played = [message["ms"] for message in said if message["type"] == "played"]
    assert played == sorted(played)
