"""The page that ``antiphon report --html`` writes: a made-up day, on a desk and on a phone."""

from __future__ import annotations

from datetime import date

import pytest
from playwright.sync_api import Browser
from tests.browser.conftest import NARROW, WIDE
from tests.browser.operator_server import Day, price
from tests.telemetry.listened import Clock, Told

from antiphon.cli.report_html import report_html
from antiphon.telemetry.recent import Recent
from antiphon.telemetry.report import Report

pytestmark = pytest.mark.browser

EXPLAINED = "Grey: the budget"


@pytest.fixture(scope="module")
def document() -> str:
    clock = Clock()
    recent = Recent(price=price, now=clock)
    Day(Told([recent], clock)).pass_by(clock.at)
    return report_html(Report.of(recent.minutes.total(clock.at - 86_400, clock.at)), date(2026, 11, 23))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_it_fits_and_explains_what_it_shows(
    chromium: Browser, axe: str, document: str, size: tuple[int, int], theme: str
) -> None:
    page = chromium.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,  # type: ignore[arg-type]
    )
    page.set_content(document)
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert page.locator("td.bars").first.is_visible() == (EXPLAINED in page.inner_text("main"))
    assert page.locator("td.bars").first.is_visible() == (size == WIDE)
    page.evaluate(axe)
    rules = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
    result = page.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
    assert [f"{rule['id']}: {node['html']}" for rule in result["violations"] for node in rule["nodes"]] == []
    page.close()
