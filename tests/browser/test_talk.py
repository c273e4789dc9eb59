"""A person talks, types, interrupts, mutes: the page against a scripted server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.browser.conftest import Visit, ask, speak
from tests.browser.scripted_server import LATENCY, ScriptedServer

pytestmark = pytest.mark.browser

Come = Callable[..., Visit]


def test_one_tap_opens_the_microphone_and_its_sound_arrives(visit: Come, server: ScriptedServer) -> None:
    page = visit().page
    assert page.inner_text("#status") == "Tap to talk"
    page.click("#shape")
    caller = server.accept(welcome=False)
    start = caller.expect("start")
    assert caller.protocols == ["antiphon.v1"]
    assert start["input_rate"] == 16_000
    assert start["output_rate"] == 24_000
    assert start["mode"] == "open_mic"
    assert start["timeline"] is True
    assert start["resume"] is None
    assert caller.audio_bytes == 0, "no sound before the session is open"
    caller.session()
    caller.expect_audio(32_000)
    page.wait_for_selector("text=Listening")
    assert page.get_attribute("#shape", "aria-label") == "Mute"


def test_a_turn_as_it_happens(visit: Come) -> None:
    visitor = visit()
    page, caller = visitor.page, visitor.talk()
    caller.send("speech_started", at_ms=100)
    visitor.now("hearing")
    caller.send("transcript", turn_id="t1", text="What is", final=False, language="en")
    page.wait_for_selector(".entry.you.interim")
    caller.send("speech_stopped", at_ms=900)
    caller.send("transcript", turn_id="t1", text="What is the capital of France?", final=True, language="en")
    page.wait_for_selector(".entry.you:not(.interim)")
    visitor.now("thinking")
    speak(caller, "r1", "The capital of France is Paris.", ms=1500)
    visitor.now("speaking")
    visitor.until("document.querySelector('.reply .said').textContent.startsWith('The capital')")
    positions = [caller.expect("played", reply_id="r1")["ms"] for _ in range(4)]
    assert positions == sorted(positions)
    assert positions[0] < 400
    assert positions[-1] < 1500
    caller.send(
        "response_done", turn_id="t1", reply_id="r1", text="…", interrupted=False, error="", **LATENCY
    )
    visitor.now("listening")
    caller.expect("played", reply_id="r1", ms=1500)
    assert visitor.words() == ["What is the capital of France?", "The capital of France is Paris. "]
    assert page.inner_text(".reply .rest") == ""
    page.wait_for_selector(".took")


def test_an_interruption_is_silence_at_once_and_greys_what_was_not_said(visit: Come) -> None:
    visitor = visit()
    caller = visitor.talk()
    ask(caller, "t1", "Tell me a story")
    speak(caller, "r1", "Here is a long story about a dog.", ms=8000, whole=False)
    visitor.now("speaking")
    caller.expect("played", reply_id="r1")
    caller.send("interrupted", reply_id="r1", heard_ms=700, heard_text="Here is a long")
    visitor.now("interrupted")
    visitor.page.wait_for_selector(".reply.cut")
    assert visitor.page.inner_text(".reply .said") == "Here is a long"
    assert visitor.page.inner_text(".reply .rest").strip() == "story about a dog."
    caller.sound(500)  # of the reply that is over: must not be heard
    ask(caller, "t2", "Stop")
    speak(caller, "r2", "Yes.", ms=300)
    visitor.now("speaking")
    visitor.now("listening")
    seen = [message["reply_id"] for message in caller.messages if message["type"] == "played"]
    assert seen == sorted(seen), "nothing of the first reply was played after the second began"
    assert caller.expect("played", reply_id="r2", ms=300)


def test_duck_hold_and_resume_move_or_stop_the_position(visit: Come) -> None:
    visitor = visit()
    caller = visitor.talk()
    ask(caller, "t1", "Tell me a story")
    speak(caller, "r1", "Here is a story.", ms=3000)
    visitor.now("speaking")
    caller.send("playback", reply_id="r1", action="duck")
    caller.expect("played", reply_id="r1")
    caller.send("playback", reply_id="r1", action="hold")
    visitor.now("paused")
    caller.send("playback", reply_id="r1", action="resume")
    visitor.now("speaking")
    caller.expect("played", reply_id="r1", ms=3000)


def test_escape_stops_it_and_tells_how_far_it_was_heard(visit: Come) -> None:
    visitor = visit()
    caller = visitor.talk()
    ask(caller, "t1", "Tell me a story")
    speak(caller, "r1", "Here is a long story.", ms=8000, whole=False)
    while not caller.expect("played", reply_id="r1")["ms"]:
        pass  # the first report can be of no sound at all: it is on its way through the device
    visitor.page.keyboard.press("Escape")
    caller.expect("interrupt")
    played = [message for message in caller.messages if message["type"] in {"played", "interrupt"}]
    assert played[-2]["type"] == "played", "the position is told first"
    assert 0 < played[-2]["ms"] < 8000
    visitor.now("stopped")
    assert visitor.page.is_disabled("#stop")


def test_the_shape_stops_it_too(visit: Come) -> None:
    visitor = visit()
    caller = visitor.talk()
    ask(caller, "t1", "Tell me a story")
    speak(caller, "r1", "Here is a long story.", ms=8000, whole=False)
    visitor.now("speaking")
    visitor.page.click("#shape")
    caller.expect("interrupt")
    visitor.now("stopped")


def test_typed_words_need_no_microphone(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    visitor.page.keyboard.press("/")
    visitor.page.keyboard.type("What time is it?")
    visitor.page.keyboard.press("Enter")
    caller = server.accept()
    assert caller.expect("text")["text"] == "What time is it?"
    caller.send("transcript", turn_id="t1", text="What time is it?", final=True, language="en")
    speak(caller, "r1", "It is noon.", ms=300)
    visitor.now("typing")
    assert visitor.words() == ["What time is it?", "It is noon. "]
    assert caller.audio_bytes == 0
    assert visitor.page.input_value("#typed") == ""
    visitor.page.click("#shape")
    caller.expect_audio()
    visitor.now("listening")


def test_an_example_is_a_typed_turn(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    visitor.page.click("text=Tell me a short joke.")
    assert server.accept().expect("text")["text"] == "Tell me a short joke."


def test_mute_by_key_by_button_and_by_tap(visit: Come) -> None:
    visitor = visit()
    page, caller = visitor.page, visitor.talk()
    caller.expect_audio()
    page.keyboard.press("m")
    visitor.now("muted")
    assert page.get_attribute("#mute", "aria-pressed") == "true"
    # What was under way has arrived by the time the server answers a ping; after it there is no more sound.
    page.click("#mute")
    visitor.now("listening")
    caller.expect_audio()
    page.click("#shape")
    visitor.now("muted")
    page.click("#shape")
    visitor.now("listening")


def test_holding_space_is_push_to_talk(visit: Come) -> None:
    visitor = visit(kept={"mode": "push_to_talk", "checked": True})
    page, caller = visitor.page, visitor.talk()
    assert next(m for m in caller.messages if m["type"] == "start")["mode"] == "push_to_talk"
    assert caller.audio_bytes == 0
    page.keyboard.down(" ")
    visitor.now("held")
    caller.expect_audio(16_000)  # half a second: longer than any tap
    page.keyboard.up(" ")
    caller.expect("commit")
    visitor.now("thinking")


def test_holding_the_shape_is_push_to_talk_and_two_taps_are_too(visit: Come) -> None:
    visitor = visit(kept={"mode": "push_to_talk", "checked": True})
    page, caller = visitor.page, visitor.talk()
    page.hover("#shape")
    page.mouse.down()
    caller.expect_audio(16_000)
    page.mouse.up()
    caller.expect("commit")
    caller.send("transcript", turn_id="t1", text="", final=True, language="")
    visitor.now("missed")
    page.click("#shape")
    visitor.now("latched")
    caller.expect_audio()
    page.click("#shape")
    caller.expect("commit")


def test_space_in_the_box_is_a_space_and_keys_there_are_letters(visit: Come) -> None:
    visitor = visit()
    caller = visitor.talk()
    visitor.page.click("#typed")
    visitor.page.keyboard.type("mum / dad? m")
    assert visitor.page.input_value("#typed") == "mum / dad? m"
    assert visitor.page.get_attribute("#mute", "aria-pressed") == "false"
    visitor.page.keyboard.press("Enter")
    assert caller.expect("text")["text"] == "mum / dad? m"


def test_by_keyboard_alone(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    page = visitor.page
    page.focus("#shape")
    page.keyboard.press("Enter")
    server.accept()
    visitor.now("listening")
    page.keyboard.press("Enter")
    visitor.now("muted")
    page.keyboard.press("?")
    page.wait_for_selector("dialog#keys[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog#keys:not([open])", state="attached")
    visitor.now("muted")


def test_the_words_can_be_copied_saved_and_cleared(visit: Come) -> None:
    visitor = visit()
    page, caller = visitor.page, visitor.talk()
    ask(caller, "t1", "Tell me a story")
    speak(caller, "r1", "Once upon a time.", ms=200)
    visitor.now("listening")
    page.click("[data-do=copy]")
    copied = "You: Tell me a story\\n\\nAntiphon: Once upon a time.\\n"
    visitor.until(f"navigator.clipboard.readText().then(text => text === '{copied}')")
    with page.expect_download() as download:
        page.click("[data-do=save]")
    assert download.value.suggested_filename == "conversation.txt"
    assert download.value.path().read_text().startswith("You: Tell me a story")
    page.click("[data-do=clear]")
    page.wait_for_selector(".example")
    assert visitor.words() == []


def test_the_end_lets_the_microphone_go(visit: Come) -> None:
    visitor = visit()
    caller = visitor.talk()
    ask(caller, "t1", "Hello there")
    visitor.page.click("#end")
    caller.expect("bye")
    caller.expect_gone()
    visitor.now("idle")
    assert "new conversation" in visitor.words()[-1]


def test_newest_words_stay_in_view_unless_one_reads_further_up(visit: Come) -> None:
    visitor = visit()
    page, caller = visitor.page, visitor.talk()
    for number in range(12):
        ask(caller, f"t{number}", f"Question number {number}, long enough to fill a line of the page or so?")
    visitor.until("document.querySelectorAll('.entry').length === 12")
    visitor.until("page.words.scrollHeight - page.words.scrollTop - page.words.clientHeight < 2")
    page.evaluate("document.getElementById('words').scrollTop = 0")
    ask(caller, "t12", "One more?")
    visitor.until("document.querySelectorAll('.entry').length === 13")
    assert page.evaluate("document.getElementById('words').scrollTop") == 0
