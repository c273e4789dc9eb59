"""What opens: settings, the room check, and what an answer took."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.browser.conftest import NARROW, WIDE, Visit, ask, speak
from tests.browser.scripted_server import LATENCY, OPTIONS, ScriptedServer

pytestmark = pytest.mark.browser

Come = Callable[..., Visit]


def open_settings(visitor: Visit) -> None:
    visitor.until("document.querySelector('[name=voice]').options.length === 3")
    visitor.page.click("[data-what=settings]:visible")
    visitor.page.wait_for_selector("dialog#settings[open]")


def test_choices_go_into_the_next_start_and_last(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    page = visitor.page
    open_settings(visitor)
    page.select_option("[name=voice]", "af_heart")
    page.select_option("[name=language]", "fr")
    page.fill("[name=speed]", "1.4")
    page.dispatch_event("[name=speed]", "change")
    page.fill("[name=instructions]", "Call me Sam.")
    page.press("[name=instructions]", "Tab")
    assert page.inner_text("#pace") == "1.4×"
    page.keyboard.press("Escape")
    page.reload()
    page.click("#shape")
    start = server.accept(welcome=False).expect("start")
    chosen = {name: start[name] for name in ("voice", "language", "speed", "instructions")}
    assert chosen == {"voice": "af_heart", "language": "fr", "speed": 1.4, "instructions": "Call me Sam."}


def test_left_alone_everything_is_the_servers_choice(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    open_settings(visitor)
    assert (
        visitor.page.eval_on_selector("[name=voice]", "select => select.selectedOptions[0].text")
        == "Joe (as usual)"
    )
    visitor.page.keyboard.press("Escape")
    visitor.page.click("#shape")
    start = server.accept(welcome=False).expect("start")
    assert (start["voice"], start["language"], start["speed"]) == ("", "", None)


def test_a_voice_that_is_gone_is_not_asked_for(visit: Come, server: ScriptedServer) -> None:
    visitor = visit(kept={"voice": "gone", "language": "fr", "checked": True})
    visitor.until("document.querySelector('[name=voice]').options.length === 3")
    visitor.page.click("#shape")
    start = server.accept(welcome=False).expect("start")
    assert (start["voice"], start["language"]) == ("", "fr")


def test_a_change_while_talking_takes_effect_and_keeps_the_conversation(
    visit: Come, server: ScriptedServer
) -> None:
    visitor = visit()
    visitor.talk()
    open_settings(visitor)
    visitor.page.select_option("[name=voice]", "ff_siwis")
    again = server.accept(welcome=False)
    start = again.expect("start")
    assert start["voice"] == "ff_siwis"
    assert start["resume"]["session_id"] == "s1"
    again.session(resumed=True)
    visitor.page.keyboard.press("Escape")
    visitor.now("back", "listening")


def test_push_to_talk_can_be_chosen_where_it_is_used(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    visitor.talk()
    visitor.page.click("#push")
    again = server.accept(welcome=False)
    assert again.expect("start")["mode"] == "push_to_talk"
    again.session(resumed=True)
    visitor.now("back", "push")
    assert visitor.page.get_attribute("#push", "aria-pressed") == "true"


def test_microphones_are_named_and_their_level_shown(visit: Come) -> None:
    visitor = visit()
    visitor.talk()
    open_settings(visitor)
    visitor.until("document.querySelector('[name=microphone]').options.length > 1")
    visitor.until("page.level.value > 0.2")


def test_instructions_are_as_long_as_the_server_takes(visit: Come, server: ScriptedServer) -> None:
    server.options = {**OPTIONS, "instructions_max": 7}
    visitor = visit()
    open_settings(visitor)
    assert visitor.page.get_attribute("[name=instructions]", "maxlength") == "7"


def test_the_room_check_listens_plays_and_advises(visit: Come) -> None:
    visitor = visit()
    page = visitor.page
    page.click("text=Check the room first")
    page.click("#checkStart")
    page.wait_for_selector("#verdict:has-text('Quiet, please')")
    page.wait_for_selector("#answers [data-what=open_mic]:visible")
    verdicts = page.eval_on_selector_all("[id^=verdict-]", "all => all.map(one => one.textContent)")
    assert page.inner_text("#verdict") in verdicts
    assert "dBFS" in page.inner_text("#figures")
    page.click("#answers [data-what=push_to_talk]")
    page.wait_for_selector("dialog#check:not([open])", state="attached")
    assert page.get_attribute("#push", "aria-pressed") == "true"
    assert not page.is_visible("#offer"), "offered once"
    page.reload()
    assert not page.is_visible("#offer")
    visitor.now("idle")


def test_keys_in_a_dialog_are_the_dialogs(visit: Come) -> None:
    visitor = visit()
    page, caller = visitor.page, visitor.talk()
    page.click("[data-what=check]:visible")
    page.click("#checkStart")  # disabled while it runs: the focus is on nothing
    page.keyboard.press("?")
    page.keyboard.press("m")
    page.keyboard.press(" ")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog#check:not([open])", state="attached")
    visitor.now("listening")
    assert not page.is_visible("dialog#keys")
    assert not caller.gone


def test_the_room_check_without_a_microphone_says_why(visit: Come) -> None:
    deny = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); };"
    visitor = visit(script=deny)
    visitor.page.click("text=Check the room first")
    visitor.page.click("#checkStart")
    visitor.page.wait_for_selector("#verdict:has-text('Allow it with the icon')")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_an_answer_explains_itself(visit: Come, size: tuple[int, int]) -> None:
    visitor = visit(size)
    page, caller = visitor.page, visitor.talk()
    caller.expect_audio(32_000)
    ask(caller, "t1", "What is the capital of France?")
    for at_ms, kind in ((910, "pause"), (915, "speculate"), (1100, "turn")):
        caller.send(
            "decision", at_ms=at_ms, kind=kind, reason=f"because of {kind}", details={"probability": 0.9312}
        )
    speak(caller, "r1", "Paris.", ms=300)
    caller.send(
        "response_done", turn_id="t1", reply_id="r1", text="Paris.", interrupted=False, error="", **LATENCY
    )
    visitor.now("listening")
    took = page.inner_text(".took")
    assert took.startswith("0.")
    assert took.endswith(" s")
    assert page.get_attribute(".took", "aria-expanded") == "false"
    page.click(".took")
    page.wait_for_selector(".waterfall")
    rows = page.eval_on_selector_all(
        ".waterfall tbody tr", "rows => rows.map(row => row.firstChild.textContent)"
    )
    assert rows == [
        "Capture",
        "Upload",
        "Recognise",
        "Think",
        "First clause",
        "Voice",
        "Download",
        "Jitter buffer",
    ]
    assert "1450 ms" in page.inner_text(".waterfall tfoot")
    assert page.locator(".timeline .wave").count() > 20, "the sound of the microphone"
    assert page.locator(".timeline .wave.said").count() > 3, "some of it taken for speech"
    assert page.locator(".timeline .reply").count() == 1
    assert page.locator(".timeline .heard").text_content() == "What is the capital of France?"
    decisions = page.eval_on_selector_all(".decisions li", "all => all.map(one => one.textContent)")
    assert len(decisions) == 3
    assert "speculate because of speculate" in decisions[1]
    assert "probability 0.931" in decisions[1]
    page.click(".took")
    page.wait_for_selector(".took-how", state="detached")


def test_a_stage_over_its_budget_stands_out(visit: Come) -> None:
    visitor = visit()
    caller = visitor.talk()
    ask(caller, "t1", "Hello there")
    speak(caller, "r1", "Hi.", ms=200)
    slow = {**LATENCY, "stages": [{"name": "llm", "start_ms": 200.0, "end_ms": 900.0}]}
    caller.send("response_done", turn_id="t1", reply_id="r1", text="Hi.", interrupted=False, error="", **slow)
    visitor.page.click(".took")
    visitor.page.wait_for_selector(".waterfall")
    late = visitor.page.eval_on_selector_all(
        ".waterfall .late", "rows => rows.map(row => row.firstChild.textContent)"
    )
    assert late == ["Think"]
