"""Takes the pictures of the page that the docs show: ``python -m tests.browser.pictures`` from the root.

Those of a conversation are of the real server and its embedded models; the rest follow a script.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from tests.browser.conftest import CHROMIUM, FLAGS, NARROW, WIDE, Visit, ask, speak
from tests.browser.real_server import ON_CUE, say, serving
from tests.browser.scripted_server import READY, ScriptedServer

ANSWER = "The capital of France is Paris. It has been so, with a few pauses, for a thousand years."
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def look(browser: Browser, url: str, size: tuple[int, int], theme: str, script: str = "") -> Page:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,  # type: ignore[arg-type]
        device_scale_factor=2 if size == NARROW else 1,
        locale="en-GB",
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.add_init_script(script)
    page.goto(url)
    page.wait_for_selector("body[data-now]", state="attached")
    return page


def settle(page: Page) -> None:
    """Until the shape has taken its form."""
    page.evaluate("new Promise(done => setTimeout(done, 900))")


def take(page: Page, name: str) -> None:
    page.screenshot(path=PICTURES / f"page-{name}.png")
    print(f"page-{name}.png")


def scripted(browser: Browser, server: ScriptedServer) -> None:
    """At rest, hearing, loading, settings."""
    for size, width in ((WIDE, "1280"), (NARROW, "390")):
        for theme in ("light", "dark"):
            visit = Visit(look(browser, server.url, size, theme), server)
            settle(visit.page)
            take(visit.page, f"first-{width}-{theme}")
            caller = visit.talk()
            ask(caller, "t1", "What is the capital of France?")
            speak(caller, "r1", ANSWER, ms=5500)
            visit.now("speaking")
            settle(visit.page)
            settle(visit.page)
            take(visit.page, f"speaking-{width}-{theme}")
            visit.page.click("[data-what=settings]:visible")
            settle(visit.page)
            take(visit.page, f"settings-{width}-{theme}")
            visit.page.context.close()
    caller_hears(browser, server)
    loading(browser, server)


def caller_hears(browser: Browser, server: ScriptedServer) -> None:
    visit = Visit(look(browser, server.url, NARROW, "dark"), server)
    caller = visit.talk()
    caller.send("speech_started", at_ms=100)
    caller.send("transcript", turn_id="t1", text="Could you explain what a black", final=False, language="en")
    visit.now("hearing")
    settle(visit.page)
    take(visit.page, "hearing-390-dark")
    visit.page.context.close()


def loading(browser: Browser, server: ScriptedServer) -> None:
    model = {
        "id": "asr/whisper-base",
        "stage": "downloading",
        "done_bytes": 45e6,
        "total_bytes": 145e6,
        "message": "",
    }
    server.readiness = {**READY, "ready": False, "models": [model]}
    visit = Visit(look(browser, server.url, NARROW, "light"), server)
    visit.now("loading")
    settle(visit.page)
    take(visit.page, "loading-390-light")
    visit.page.context.close()
    server.readiness = READY


def conversation(browser: Browser, url: str) -> None:
    """A question with a pause in it, an "okay", an interruption; and why each was decided so."""
    page = look(browser, url, (1280, 1700), "light", ON_CUE)
    page.click("#shape")
    page.wait_for_selector("body[data-now=listening]")
    say(page, "callers/qpause00.wav")
    page.wait_for_selector("body[data-now=speaking]")
    page.wait_for_selector("body[data-now=listening]")
    say(page, "callers/q07.wav")
    page.wait_for_selector("body[data-now=speaking]")
    say(page, "overlap/b03.wav")
    settle(page)
    say(page, "overlap/i04.wav")
    page.wait_for_selector(".reply.cut")
    page.wait_for_selector("body[data-now=listening]")
    for number, name in ((0, "timeline-pause"), (1, "timeline-interruption")):
        page.locator(".took").nth(number).click()
        page.wait_for_selector(".timeline")
        settle(page)
        page.locator(".took-how").screenshot(path=PICTURES / f"page-{name}.png")
        page.locator(".took").nth(number).click()
        print(f"page-{name}.png")
    page.set_viewport_size({"width": 1280, "height": 1000})
    settle(page)
    take(page, "conversation-1280-light")
    page.context.close()


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        with ScriptedServer().running() as server:
            scripted(browser, server)
        with serving() as url:
            conversation(browser, url)
        browser.close()


if __name__ == "__main__":
    main()
