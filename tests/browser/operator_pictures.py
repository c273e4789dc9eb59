"""Takes the pictures of the operator's page: ``python -m tests.browser.operator_pictures`` from the root.

The server is the real one; its day is made up (``operator_server``).
"""

from __future__ import annotations

from dataclasses import replace

from playwright.sync_api import Browser, Page, sync_playwright
from tests.browser.conftest import CHROMIUM, FLAGS, NARROW
from tests.browser.operator_server import TOKEN, OperatorServer, callers, operator_server
from tests.browser.pictures import PICTURES

SHOWN = 4
"""The turn that is opened: the first ones are those of the callers who are on, whose providers are scripted."""

DESK = (1280, 1640)


def look(browser: Browser, server: OperatorServer, size: tuple[int, int], theme: str) -> Page:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,  # type: ignore[arg-type]
        device_scale_factor=2 if size == NARROW else 1,
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(server.url + "operator")
    page.wait_for_selector("#login:not([hidden])")
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#stages table")
    page.wait_for_selector("#turns details")
    return page


def take(page: Page, name: str) -> None:
    page.screenshot(path=PICTURES / f"operator-{name}.png")
    print(f"operator-{name}.png")


def main() -> None:
    with sync_playwright() as playwright, operator_server(transcripts=True) as server, callers(server, 3):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        take(look(browser, server, DESK, "light"), "1280-light")
        page = look(browser, server, DESK, "light")
        page.locator("#turns summary").nth(SHOWN).click()
        page.locator("#turns details").nth(SHOWN).screenshot(path=PICTURES / "operator-turn.png")
        print("operator-turn.png")
        server.health[1] = replace(server.health[1], breaker="open", last_error="no answer within 4 s")
        page = look(browser, server, NARROW, "dark")
        page.wait_for_selector("#verdict .bad")
        take(page, "390-dark")
        browser.close()


if __name__ == "__main__":
    main()
