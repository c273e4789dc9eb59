"""The operator's page in Chromium: log in, look, end a conversation, on a desk and on a phone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page
from tests.browser.conftest import NARROW, WATCH, WIDE
from tests.browser.operator_server import TOKEN, OperatorServer, operator_server
from tests.browser.scripted_server import PATIENCE_S
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from antiphon.conversation import events

pytestmark = pytest.mark.browser

Look = Callable[..., Page]

SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])


@pytest.fixture(scope="module")
def served() -> Iterator[OperatorServer]:
    with operator_server(transcripts=True) as server:
        yield server


@pytest.fixture
def look(chromium: Browser, served: OperatorServer) -> Iterator[Look]:
    """Opens the page, as an operator unless said otherwise; what it logs as an error fails the test."""
    opened: list[tuple[Page, list[str]]] = []

    def come(
        size: tuple[int, int] = WIDE,
        *,
        theme: str = "light",
        inside: bool = True,
        server: OperatorServer = served,
    ) -> Page:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,  # type: ignore[arg-type]
            locale="en-GB",
        )
        context.set_default_timeout(PATIENCE_S * 1000)
        context.add_init_script(WATCH)
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request", lambda asked: None if asked.url.startswith(server.url) else problems.append(asked.url)
        )
        page.goto(server.url + "operator")
        if inside:
            log_in(page)
        opened.append((page, problems))
        return page

    yield come
    for page, problems in opened:
        violations = page.evaluate("seen.policy")
        page.context.close()
        assert not violations
        assert not problems


def log_in(page: Page) -> None:
    page.wait_for_selector("#login:not([hidden])")
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#board:not([hidden])")
    page.wait_for_selector("#stages table")


def says(page: Page, selector: str, text: str) -> None:
    """Wait until it does."""
    page.locator(selector).filter(has_text=text).first.wait_for()


def test_only_operators_see_anything(look: Look) -> None:
    page = look(inside=False)
    page.wait_for_selector("#login:not([hidden])")
    assert page.is_hidden("#board")
    page.fill("#token", "a-token-that-is-not-it")
    page.keyboard.press("Enter")
    says(page, "#login-problem", "ANTIPHON_OPERATOR_TOKEN")
    log_in(page)
    page.click("#leave")
    page.wait_for_selector("#login:not([hidden])")
    page.reload()
    page.wait_for_selector("#login:not([hidden])")


def test_one_screen_that_answers(look: Look) -> None:
    page = look()
    says(page, "#freshness", "Live")
    assert page.locator("#tiles .tile").count() == 4
    assert page.locator("#charts canvas").count() == 4
    says(page, "#stages", "Recognise")
    says(page, "#providers", "openai:gpt-4o-mini")
    says(page, "#errors", "rate limit")
    stages = page.locator("#stages tbody tr").count()
    assert stages >= 5
    assert page.locator("#turns details").count() == 25


def test_a_turn_opens_its_waterfall_and_its_words(look: Look) -> None:
    page = look()
    page.locator("#turns summary").first.click()
    says(page, "#turns .inside", "First sound")
    says(page, "#turns .words", "Answered")


def test_only_a_late_turn_has_stages_in_red(look: Look) -> None:
    with operator_server(day=False) as server:
        for turn, asr in (("in time", 400.0), ("late", 1500.0)):
            stages = (
                events.Stage(name="asr", start_ms=0.0, end_ms=asr),
                events.Stage(name="tts", start_ms=asr, end_ms=asr + 100.0),
            )
            latency = {"asr": asr, "tts": 100.0, "first_sound": asr + 100.0}
            done = events.ReplyDone(turn_id=turn, reply_id="r", text="", latency_ms=latency, stages=stages)
            server.told.tell(done)
        page = look(server=server)
        found = {}
        for turn in ("in time", "late"):
            details = page.locator(f'#turns details[data-turn*=" {turn} "]')
            details.locator("summary").click()
            details.locator("tfoot").wait_for()
            found[turn] = details.locator("tr.late th").all_inner_texts()
    assert found == {"in time": [], "late": ["Recognise"]}


def test_it_goes_on_by_itself(look: Look) -> None:
    with operator_server(day=False) as server:
        page = look(server=server, inside=False)
        page.wait_for_selector("#login:not([hidden])")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        says(page, "#turns", "None since the start.")
        server.more(2)
        page.wait_for_selector("#turns details:nth-child(2)")
        assert page.locator("#turns .nothing").count() == 0


def test_after_the_servers_clock_went_back_turns_go_on(look: Look) -> None:
    with operator_server() as server:
        page = look(server=server)
        page.wait_for_selector("#turns details:nth-child(25)")
        newest = page.locator("#turns details").first
        before = newest.get_attribute("data-turn")
        server.told.clock.at -= 3600
        server.told.tell(events.ReplyDone(turn_id="after-all", reply_id="r", text="", latency_ms={}))
        page.wait_for_selector('#turns details:first-child[data-turn*=" after-all "]')
        assert newest.get_attribute("data-turn") != before


def outcomes(server: OperatorServer) -> None:
    """Thirty of each kind of turn, the plain ones last."""
    for kind, error, first_ms in (
        ("failed", "provider_unavailable", 400.0),
        ("interrupted", "", 400.0),
        ("slow", "", 2000.0),
        ("plain", "", 400.0),
    ):
        for number in range(30):
            done = events.ReplyDone(
                turn_id=f"{kind}{number}",
                reply_id="r",
                text="",
                latency_ms={"first_sound": first_ms},
                interrupted=kind == "interrupted",
                error=error,
            )
            server.told.clock.at += 1
            server.told.tell(done)


@SIZES
def test_turns_of_one_kind_and_more_of_them(look: Look, size: tuple[int, int]) -> None:
    with operator_server(day=False) as server:
        outcomes(server)
        page = look(size, server=server)
        turns = page.locator("#turns details")

        def are(count: int, kind: str) -> None:
            page.wait_for_selector(f'#turns details:nth-child({count}):last-child[data-turn*=" {kind}"]')
            assert page.locator(f'#turns details[data-turn*=" {kind}"]').count() == count

        are(25, "plain")
        page.get_by_label("Cut short").check()
        are(25, "interrupted")
        page.keyboard.press("ArrowRight")
        are(25, "failed")
        page.click("#more")
        are(30, "failed")
        assert page.evaluate("document.activeElement.parentElement.dataset.turn").split()[1] == "failed4"
        assert page.is_hidden("#more")
        server.told.clock.at += 1
        server.told.tell(
            events.ReplyDone(turn_id="failed-again", reply_id="r", text="", latency_ms={}, error="x")
        )
        server.told.tell(events.ReplyDone(turn_id="not-shown", reply_id="r", text="", latency_ms={}))
        are(31, "failed")
        page.get_by_label("All").check()
        page.wait_for_selector("#turns details:nth-child(25):last-child")
        assert turns.first.get_attribute("data-turn") is not None
        for shown in (50, 75, 100, 122):
            page.click("#more")
            page.wait_for_selector(f"#turns details:nth-child({shown}):last-child")
        assert page.is_hidden("#more")
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_what_needs_a_person_is_said(look: Look, served: OperatorServer) -> None:
    page = look()
    health, budget = served.health, served.budget
    served.health = [replace(health[0], breaker="open", last_error="no answer within 5 s"), *health[1:]]
    served.budget = replace(budget, spent_usd=4.6, limit_usd=5.0)
    says(page, "#verdict .bad", "openai:whisper-1 is not asked any more")
    says(page, "#verdict .bad", "92 % of today’s budget is spent.")
    says(page, "#providers .breaker.open", "not asked")
    served.health, served.budget = health, budget


def test_a_conversation_is_ended(look: Look, served: OperatorServer) -> None:
    page = look()

    async def be_ended() -> int | None:
        async with connect(
            served.url.replace("http", "ws") + "ws/voice", subprotocols=[Subprotocol("antiphon.v1")]
        ) as socket:
            await socket.send(json.dumps({"type": "start"}))
            await asyncio.to_thread(ended.wait)
            await socket.wait_closed()
            return socket.close_code

    import threading

    ended, codes = threading.Event(), list[int | None]()
    caller = threading.Thread(target=lambda: codes.append(asyncio.run(be_ended())))
    caller.start()
    page.locator("#live button").first.click()
    page.wait_for_selector("dialog#ending[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog#ending:not([open])", state="attached")
    assert codes == []
    page.locator("#live button").first.click()
    page.click("#ending .main")
    says(page, "#live", "Nobody.")
    ended.set()
    caller.join()
    assert codes[0] is not None


def test_old_figures_do_not_pass_for_new_ones(look: Look) -> None:
    page = look()
    page.context.set_offline(True)
    says(page, "#freshness.old", "No answer for")
    page.context.set_offline(False)
    says(page, "#freshness:not(.old)", "Live")


@SIZES
@THEMES
def test_accessible(look: Look, axe: str, size: tuple[int, int], theme: str) -> None:
    page = look(size, theme=theme)
    page.locator("#turns summary").first.click()
    page.evaluate(axe)
    rules = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
    result = page.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
    assert [f"{rule['id']}: {node['html']}" for rule in result["violations"] for node in rule["nodes"]] == []


@SIZES
def test_it_fits(look: Look, size: tuple[int, int]) -> None:
    page = look(size)
    page.locator("#turns summary").first.click()
    says(page, "#turns .inside", "First sound")
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    small = page.eval_on_selector_all(
        "button, input, summary",
        """things => things.filter(thing => thing.checkVisibility()).filter(thing => {
          const {width, height} = thing.getBoundingClientRect();
          return Math.min(width, height) < 43.5;
        }).map(thing => thing.outerHTML)""",
    )
    assert small == []
