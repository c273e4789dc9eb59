"""Headless Chromium on the page, served by a server that follows the test's script."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, sync_playwright
from tests.browser.scripted_server import PATIENCE_S, Caller, ScriptedServer

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP kitchen.test 127.0.0.1",
)
"""A microphone that beeps, allowed without asking; and a name that is no secure place."""

WIDE, NARROW = (1280, 800), (390, 844)

WATCH = """
window.seen = {policy: [], shifts: 0, frames: 0};
addEventListener('securitypolicyviolation', ({violatedDirective, blockedURI}) => {
  seen.policy.push(`${violatedDirective} ${blockedURI}`);
});
new PerformanceObserver((list) => {
  for (const shift of list.getEntries()) if (!shift.hadRecentInput) seen.shifts += shift.value;
}).observe({type: 'layout-shift', buffered: true});
"""
"""What a page must not do, counted from its first moment."""


NETWORK = ("Failed to load resource", "WebSocket connection to", "The Cross-Origin-Opener-Policy header")
"""What the browser itself logs of answers that a test wants: 403, 503, a plain-http page."""


@dataclass
class Visit:
    """One person's page, and what went wrong on it."""

    page: Page
    server: ScriptedServer
    problems: list[str] = field(default_factory=list)

    def now(self, *sentences: str) -> None:
        """Wait until the page says one of these of itself (``say-…`` in index.html)."""
        selector = ", ".join(f'body[data-now="{sentence}"]' for sentence in sentences)
        self.page.wait_for_selector(selector)

    def says(self, text: str) -> None:
        """Wait until the status or the hint holds this."""
        self.until(f"(page.status.textContent + ' ' + page.hint.textContent).includes({json.dumps(text)})")

    def until(self, condition: str) -> None:
        """Wait until this holds on the page; ``page`` there is every element with an id. (Playwright's own way
        needs eval in the page, which the content policy forbids.)"""
        self.page.evaluate(
            f"""patience => new Promise((done, fail) => {{
              const late = performance.now() + patience;
              const page = new Proxy({{}}, {{get: (_, id) => document.getElementById(id)}});
              const look = async () => {{
                if (await ({condition})) done();
                else if (performance.now() > late) fail(new Error({json.dumps("never: " + condition)}));
                else setTimeout(look, 20);
              }};
              look();
            }})""",
            PATIENCE_S * 1000,
        )

    def talk(self, **session: Any) -> Caller:
        """Tap, and be connected."""
        self.page.click("#shape")
        caller = self.server.accept(welcome=False)
        caller.expect("start")
        caller.session(**session)
        self.now("listening", "push")
        return caller

    def words(self) -> list[str]:
        """The conversation as it can be read, without what is for screen readers only."""
        return read(self.page, "#entries .entry")


def read(page: Page, selector: str) -> list[str]:
    """What can be read in each of these entries, without what is for screen readers only."""
    visible = "[...item.querySelectorAll('.said, .rest')].map(part => part.textContent).join('')"
    found: list[str] = page.eval_on_selector_all(selector, f"items => items.map(item => {visible})")
    return found


def ask(caller: Caller, turn: str, question: str) -> None:
    """The server hears a question."""
    caller.send("speech_started", at_ms=200)
    caller.send("transcript", turn_id=turn, text=question.split()[0], final=False, language="en")
    caller.send("speech_stopped", at_ms=900)
    caller.send("transcript", turn_id=turn, text=question, final=True, language="en")


def speak(caller: Caller, reply: str, text: str, *, ms: int = 4000, whole: bool = True) -> None:
    """The server answers aloud."""
    caller.send("response_started", turn_id="t" + reply[1:], reply_id=reply)
    for word in text.split(" "):
        caller.send("response_text", reply_id=reply, text=word + " ")
    caller.send("audio_started", reply_id=reply)
    caller.sound(ms)
    if whole:
        caller.send("audio_done", reply_id=reply, total_ms=ms)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a file's tests. Not for the session: its event loop would be in the way of async tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer().running() as running:
        yield running


@pytest.fixture
def visit(chromium: Browser, server: ScriptedServer) -> Iterator[Callable[..., Visit]]:
    """Opens the page; at the end, whatever it logged as an error fails the test."""
    visits: list[Visit] = []

    def come(
        size: tuple[int, int] = WIDE,
        *,
        theme: str = "light",
        calm: bool = False,
        kept: dict[str, Any] | None = None,
        url: str | None = None,
        script: str = "",
    ) -> Visit:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,  # type: ignore[arg-type]
            reduced_motion="reduce" if calm else "no-preference",
            has_touch=size == NARROW,
            locale="en-GB",
            permissions=["clipboard-read", "clipboard-write", "microphone"],
        )
        context.set_default_timeout(PATIENCE_S * 1000)
        context.add_init_script(WATCH + script)
        if kept is not None:
            wishes = json.dumps(json.dumps(kept))
            context.add_init_script(f"localStorage.antiphon ??= {wishes};")
        visit = Visit(context.new_page(), server)
        watch(visit)
        visit.page.goto(url or server.url)
        visit.page.wait_for_selector("body[data-now]", state="attached")
        visits.append(visit)
        return visit

    def watch(visit: Visit) -> None:
        def thrown(error: Error) -> None:
            visit.problems.append(str(error))

        def logged(said: ConsoleMessage) -> None:
            if said.type == "error" and not said.text.startswith(NETWORK):
                visit.problems.append(said.text)

        def asked(request: Request) -> None:
            places = (f"//127.0.0.1:{server.port}/", f"//kitchen.test:{server.port}/")
            if not request.url.startswith(("blob:", "data:")) and not any(p in request.url for p in places):
                visit.problems.append(f"asked for {request.url}")

        visit.page.on("pageerror", thrown)
        visit.page.on("console", logged)
        visit.page.on("request", asked)

    yield come
    for each in visits:
        violations = each.page.evaluate("seen.policy")
        each.page.context.close()
        assert not violations
        assert not each.problems


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checker's script."""
    script = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
    assert script.is_file(), "axe-core is missing: run `npm ci` in the repository's root"
    return script.read_text()
