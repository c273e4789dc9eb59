"""A whole spoken conversation in the browser: the real page, the real server, the embedded models.

The microphone speaks on cue, so that each turn can wait for what came before it, however slow the machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright
from tests.browser.conftest import CHROMIUM, read
from tests.browser.real_server import ON_CUE, say, serving

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.timeout(900)]

LONGEST_MS = 90_000
"""For any one thing to happen; models on a busy machine are slow, a broken conversation never goes on."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture
def page(server: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(LONGEST_MS)
        page.add_init_script(ON_CUE)
        page.goto(server)
        page.wait_for_selector("body[data-now]", state="attached")
        yield page
        browser.close()


def await_state(page: Page, *sentences: str) -> None:
    page.wait_for_selector(", ".join(f'body[data-now="{sentence}"]' for sentence in sentences))


def turns(page: Page, who: str) -> list[str]:
    return read(page, f".entry.{who}")


def test_five_turns_with_a_pause_a_backchannel_and_an_interruption(page: Page) -> None:
    page.click("#shape")
    await_state(page, "listening")

    say(page, "callers/q00.wav")
    await_state(page, "speaking")
    await_state(page, "listening")
    assert "capital of france" in turns(page, "you")[0].lower()
    assert "Paris" in turns(page, "reply")[0]

    say(page, "callers/qpause01.wav")  # 600 ms of silence in its middle
    await_state(page, "speaking")
    await_state(page, "listening")
    assert len(turns(page, "you")) == 2, "one turn, in spite of the pause"
    assert "museum" in turns(page, "you")[1].lower()

    page.fill("#typed", "Explain what a black hole is, in five long sentences.")
    page.keyboard.press("Enter")
    await_state(page, "speaking", "speaking-only")
    say(page, "overlap/b00.wav")  # "Uh-huh."
    say(page, "overlap/i04.wav")  # "Stop talking, please."
    page.wait_for_selector(".reply.cut")
    assert page.locator(".reply.cut").count() == 1
    assert page.locator(".reply.cut .said").text_content(), "what was heard stays"
    assert page.locator(".reply.cut .rest").text_content(), "what was not is greyed"

    await_state(page, "listening", "speaking")
    await_state(page, "listening")
    say(page, "callers/q09.wav")
    await_state(page, "speaking")
    await_state(page, "listening")
    assert "romeo" in turns(page, "you")[-1].lower()
    assert len(turns(page, "reply")) >= 4

    page.locator(".took").last.click()
    page.wait_for_selector(".waterfall tbody tr")
    assert page.locator(".timeline .wave.said").count() > 5
    assert page.locator(".decisions li").count() >= 3
