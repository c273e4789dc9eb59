"""How it looks and feels: accessible, still where it should be, nothing from elsewhere, quick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.browser.conftest import NARROW, WIDE, Visit, ask, speak
from tests.browser.scripted_server import LATENCY, ScriptedServer

import antiphon.web

pytestmark = pytest.mark.browser

Come = Callable[..., Visit]

SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])


def complaints(visitor: Visit, axe: str) -> list[str]:
    """What the accessibility checker says, as `rule: element`."""
    visitor.until("document.getAnimations().every(animation => animation.playState !== 'running')")
    visitor.page.evaluate(axe)
    rules = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
    result = visitor.page.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
    return [f"{rule['id']}: {node['html']}" for rule in result["violations"] for node in rule["nodes"]]


def conversation(visitor: Visit) -> None:
    """A turn, an interrupted answer, another turn that is being heard, with the details of the answer open."""
    caller = visitor.talk()
    ask(caller, "t1", "Tell me a story")
    caller.send("decision", at_ms=950, kind="turn", reason="the words are complete", details={"sure": 0.93})
    speak(caller, "r1", "Here is a long story about a dog.", ms=8000, whole=False)
    visitor.now("speaking")
    caller.send("interrupted", reply_id="r1", heard_ms=700, heard_text="Here is a long")
    done = {"turn_id": "t1", "reply_id": "r1", "text": "Here is a long", "interrupted": True, "error": ""}
    caller.send("response_done", **done, **LATENCY)
    caller.send("transcript", turn_id="t2", text="No, the other", final=False, language="en")
    visitor.page.click(".took")
    visitor.page.wait_for_selector(".timeline")


@SIZES
@THEMES
def test_accessible_at_rest(visit: Come, axe: str, size: tuple[int, int], theme: str) -> None:
    assert complaints(visit(size, theme=theme), axe) == []


@SIZES
@THEMES
def test_accessible_in_conversation(visit: Come, axe: str, size: tuple[int, int], theme: str) -> None:
    visitor = visit(size, theme=theme)
    conversation(visitor)
    assert complaints(visitor, axe) == []


@SIZES
@THEMES
@pytest.mark.parametrize("panel", ["settings", "keys", "check"])
def test_accessible_panels(visit: Come, axe: str, size: tuple[int, int], theme: str, panel: str) -> None:
    visitor = visit(size, theme=theme)
    visitor.page.click(f"[data-what={panel}]:visible")
    visitor.page.wait_for_selector(f"dialog#{panel}[open]")
    assert complaints(visitor, axe) == []
    visitor.page.keyboard.press("Escape")
    visitor.page.wait_for_selector(f"dialog#{panel}:not([open])", state="attached")


@SIZES
def test_nothing_is_too_small_for_a_finger(visit: Come, size: tuple[int, int]) -> None:
    visitor = visit(size)
    conversation(visitor)
    visitor.page.click("[data-what=settings]:visible")
    small = visitor.page.eval_on_selector_all(
        "button, select, textarea, input:not([type=radio], [type=checkbox]), .choice label, .tick",
        """things => things.filter(thing => thing.checkVisibility()).filter(thing => {
          const {width, height} = thing.getBoundingClientRect();
          return Math.min(width, height) < 43.5;
        }).map(thing => thing.outerHTML.slice(0, 90))""",
    )
    assert small == []


@SIZES
def test_nothing_moves_its_neighbours(visit: Come, size: tuple[int, int]) -> None:
    visitor = visit(size)
    caller = visitor.talk()
    ask(caller, "t1", "Tell me a story")
    speak(caller, "r1", "Here is a story about a dog that wanted to speak.", ms=300)
    visitor.now("listening")
    caller.send(
        "response_done", turn_id="t1", reply_id="r1", text="…", interrupted=False, error="", **LATENCY
    )
    visitor.page.wait_for_selector(".took")
    assert visitor.page.evaluate("seen.shifts") < 0.01
    root = "document.documentElement"
    assert not visitor.page.evaluate(f"{root}.scrollWidth > innerWidth || {root}.scrollHeight > innerHeight")


@pytest.mark.parametrize(
    "size", [(320, 568), (844, 390), (1920, 1080)], ids=["small", "on its side", "large"]
)
def test_it_fits_other_screens_too(visit: Come, size: tuple[int, int]) -> None:
    visitor = visit(size)
    outside = """things => things.filter(thing => thing.checkVisibility()).filter(thing => {
      const box = thing.getBoundingClientRect();
      return box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight;
    }).map(thing => thing.outerHTML)"""
    assert visitor.page.eval_on_selector_all("#shape, #status, #typing, .control, .bar button", outside) == []


def test_it_is_painted_at_once(visit: Come) -> None:
    """The figure (under 100 ms on loopback) is told in docs/page.md; a busy machine is no reason to fail."""
    visitor = visit()
    visitor.until("performance.getEntriesByName('first-contentful-paint').length")
    loaded = visitor.page.evaluate(
        """performance.getEntriesByType('resource')
          .map(({name, renderBlockingStatus}) => [new URL(name).pathname, renderBlockingStatus])"""
    )
    blocking = [path for path, status in loaded if status == "blocking"]
    assert all(path.endswith((".css", "start.js")) for path in blocking), "no module holds up the first paint"
    lazy = {
        "/assets/views/explained.js",
        "/assets/views/timeline.js",
        "/assets/views/waterfall.js",
        "/assets/room.js",
    }
    assert not lazy & {path for path, _ in loaded}, "what few people open is loaded when they open it"


def test_still_when_motion_is_not_wanted(visit: Come) -> None:
    visitor = visit(calm=True, script=COUNT_FRAMES)
    caller = visitor.talk()
    ask(caller, "t1", "Tell me a story")
    visitor.now("thinking")
    visitor.page.evaluate("seen.frames = 0")
    caller.expect_audio(32_000)  # a second goes by
    assert visitor.page.evaluate("seen.frames") < 10, "drawn when something changes, not all the time"


def test_still_when_nobody_talks(visit: Come) -> None:
    visitor = visit(script=COUNT_FRAMES)
    caller = visitor.talk()
    visitor.page.keyboard.press("m")
    visitor.now("muted")
    # The shape comes to rest: a whole second without a frame.
    visitor.until(
        """new Promise(done => {
          const before = seen.frames;
          setTimeout(() => done(seen.frames === before), 1000);
        })"""
    )
    assert not caller.gone


COUNT_FRAMES = """
const ask = requestAnimationFrame.bind(window);
window.requestAnimationFrame = (act) => { seen.frames += 1; return ask(act); };
"""


def test_a_chosen_theme_lasts_and_never_flashes(visit: Come) -> None:
    visitor = visit(theme="light", kept={"theme": "dark", "checked": True})
    ground = "getComputedStyle(document.body).backgroundColor"
    assert visitor.page.evaluate(ground) == "rgb(22, 18, 16)"
    visitor.page.click("[data-what=settings]:visible")
    visitor.page.check("[name=theme][value=light]", force=True)
    visitor.until(f"{ground} === 'rgb(250, 246, 240)'")
    visitor.page.reload()
    assert visitor.page.evaluate(ground) == "rgb(250, 246, 240)"
    assert visitor.page.evaluate("document.documentElement.dataset.theme") == "light"


def test_what_a_screen_reader_hears(visit: Come) -> None:
    visitor = visit()
    page = visitor.page
    assert page.get_attribute("#status", "role") == "status"
    caller = visitor.talk()
    ask(caller, "t1", "Tell me a story")
    speak(caller, "r1", "Here is a long story.", ms=8000, whole=False)
    visitor.now("speaking")
    assert page.get_attribute("#shape", "aria-label") == "Stop speaking"
    assert page.get_attribute("#log", "aria-live") == "off", "its own voice is heard already"
    assert "You: Tell me a story" in page.text_content("#entries")  # type: ignore[operator]
    caller.send("interrupted", reply_id="r1", heard_ms=700, heard_text="Here is")
    page.wait_for_selector(".reply.cut")
    assert "Antiphon: Here is (interrupted here) a long story." in page.text_content("#entries")  # type: ignore[operator]
    page.click("[data-what=settings]:visible")
    page.check("[name=announce]")
    visitor.until("page.log.getAttribute('aria-live') === 'polite'")


def test_every_script_is_served(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    folder = Path(antiphon.web.__path__[0])
    for script in folder.rglob("*.js"):
        answer = visitor.page.request.get(f"{server.url}assets/{script.relative_to(folder)}")
        assert answer.headers["content-type"].startswith("text/javascript")
