"""Measures what docs/page.md says of the page: ``python -m tests.browser.figures`` from the root, on a machine that
does nothing else. First paint is Chromium's own `first-contentful-paint` over loopback, nothing cached; frames are
counted for three seconds while the shape moves with a voice, with the processor slowed down four times."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright
from tests.browser.conftest import CHROMIUM, FLAGS, NARROW, Visit, ask, speak
from tests.browser.scripted_server import ScriptedServer

import antiphon.web

VISITS = 15
SLOWER = 4
COUNT = """new Promise((done) => {
  const began = performance.now();
  let frames = 0;
  const next = (now) => {
    frames += 1;
    if (now - began < 3000) requestAnimationFrame(next);
    else done(frames / (now - began) * 1000);
  };
  requestAnimationFrame(next);
})"""
PAINTED = """new Promise((done) => new PerformanceObserver((list) => done(list.getEntries()[0].startTime))
  .observe({type: 'paint', buffered: true}))"""


def fresh(browser: Browser, url: str) -> Page:
    page = browser.new_context(
        viewport={"width": NARROW[0], "height": NARROW[1]}, device_scale_factor=2
    ).new_page()
    page.goto(url)
    return page


def first_paint(browser: Browser, url: str) -> float:
    times: list[float] = []
    for _ in range(VISITS):
        page = fresh(browser, url)
        times.append(page.evaluate(PAINTED))
        page.context.close()
    return median(times)


def frames(browser: Browser, server: ScriptedServer) -> float:
    visit = Visit(fresh(browser, server.url), server)
    caller = visit.talk()
    ask(caller, "t1", "Tell me a story")
    speak(caller, "r1", "Here is a long story. " * 8, ms=15_000, whole=False)
    visit.now("speaking")
    visit.page.context.new_cdp_session(visit.page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    counted: float = visit.page.evaluate(COUNT)
    return counted


def weights() -> dict[str, int]:
    web = Path(antiphon.web.__path__[0])
    return {str(path.relative_to(web)): len(path.read_bytes()) for path in sorted(web.rglob("*.js"))}


def main() -> None:
    from tests.page.test_page import ON_DEMAND

    sizes = weights()
    print(
        f"scripts loaded with the page: {sum(s for n, s in sizes.items() if n not in ON_DEMAND) / 1000:.1f} KB"
    )
    print(f"all scripts: {sum(sizes.values()) / 1000:.1f} KB")
    with ScriptedServer().running() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        print(f"first contentful paint, median of {VISITS}: {first_paint(browser, server.url):.0f} ms")
        print(f"the same for one line of text: {first_paint(browser, server.url + 'ready'):.0f} ms")
        print(f"frames a second, {SLOWER} times slower: {frames(browser, server):.0f}")
        browser.close()


if __name__ == "__main__":
    main()
