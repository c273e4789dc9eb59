"""Lines that break, servers that are full, leaving or not ready, microphones that are not to be had."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.browser.conftest import Visit, ask, speak
from tests.browser.scripted_server import OPTIONS, READY, ScriptedServer

pytestmark = pytest.mark.browser

Come = Callable[..., Visit]


def model(stage: str, done: int = 0, message: str = "") -> dict[str, object]:
    size = {"done_bytes": done, "total_bytes": 145_000_000}
    return {"id": "asr/whisper-base", "stage": stage, "message": message, **size}


def not_ready(**more: object) -> dict[str, object]:
    return {**READY, "ready": False, **more}


def test_a_lost_connection_comes_back_by_itself_and_goes_on(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    caller = visitor.talk()
    ask(caller, "t1", "Are you there?")
    visitor.page.wait_for_selector(".entry")
    caller.close(1011)
    again = server.accept(welcome=False)
    resume = again.expect("start")["resume"]
    assert resume == {"session_id": "s1", "token": "t1", "last_seq": 5, "played": None}
    again.session(resumed=True)
    visitor.now("back")
    assert visitor.page.inner_text("#hint") == "Right where we were."
    again.expect_audio()
    visitor.now("listening")


def test_a_lost_conversation_is_said_quietly(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    caller = visitor.talk(resume_token=None)
    ask(caller, "t1", "Are you there?")
    visitor.page.wait_for_selector(".entry")
    caller.close(1011)
    again = server.accept(welcome=False)
    assert again.expect("start")["resume"] is None
    again.session(session_id="s2", epoch=2)
    visitor.now("fresh")
    assert visitor.words() == ["Are you there?", "A new conversation: it does not remember what is above."]


def test_while_it_is_gone_it_says_how_long(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    caller = visitor.talk()
    server.refuse = True
    caller.close(1011)
    visitor.now("lost")
    visitor.says("Connection lost")
    visitor.says("Trying again in")
    server.refuse = False
    server.accept()
    visitor.now("fresh")


def test_a_full_server_is_asked_again_when_it_says(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    visitor.page.click("#shape")
    caller = server.accept(welcome=False)
    caller.send(
        "error", code="busy", message="All 50 sessions are taken.", retryable=True, retry_after_ms=1500
    )
    caller.close(1013)
    visitor.now("busy")
    visitor.says("Trying again in 1 s")
    server.accept()
    visitor.now("listening")


def test_busy_need_not_be_waited_for(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    visitor.page.click("#shape")
    caller = server.accept(welcome=False)
    caller.send("error", code="busy", message="Full.", retryable=True, retry_after_ms=600_000)
    caller.close(1013)
    visitor.now("busy")
    visitor.page.click("#shape")
    server.accept()
    visitor.now("listening")


def test_a_server_that_leaves_lets_the_reply_end_and_is_found_again(
    visit: Come, server: ScriptedServer
) -> None:
    visitor = visit()
    caller = visitor.talk()
    ask(caller, "t1", "Tell me a story")
    speak(caller, "r1", "Here is a story.", ms=1500)
    visitor.now("speaking")
    caller.send("going_away", reconnect_in_ms=100)
    caller.expect("played", reply_id="r1", ms=1500)
    again = server.accept(welcome=False)
    assert again.expect("start")["resume"]["session_id"] == "s1"
    again.session(resumed=True)
    visitor.now("back")


def test_models_on_their_way(visit: Come, server: ScriptedServer) -> None:
    server.readiness = not_ready(models=[model("downloading", 45_000_000)])
    visitor = visit()
    visitor.now("loading")
    visitor.says("asr/whisper-base: downloading, 45 of 145 MB")
    assert visitor.page.is_visible("#loading")
    visitor.page.click("#shape")
    visitor.says("It starts by itself.")
    server.readiness = not_ready(models=[model("warming")])
    visitor.says("warming up")
    server.readiness = READY
    server.accept()
    visitor.now("listening")
    assert not visitor.page.is_visible("#loading")


def test_a_model_that_failed_says_what_to_do(visit: Come, server: ScriptedServer) -> None:
    server.readiness = not_ready(models=[model("failed", message="The disk is full: 200 MB are needed.")])
    visitor = visit()
    visitor.now("broken")
    visitor.says("The disk is full: 200 MB are needed.")


def test_a_ticket_is_fetched_for_every_connection(visit: Come, server: ScriptedServer) -> None:
    server.options = {**OPTIONS, "ticket_required": True}
    visitor = visit()
    visitor.until("document.querySelector('[name=voice]').options.length === 3")
    caller = visitor.talk()
    assert caller.protocols == ["antiphon.v1", "ticket.ticket-1"]
    caller.close(1011)
    assert server.accept().protocols == ["antiphon.v1", "ticket.ticket-2"]


def test_no_ticket_no_entry(visit: Come, server: ScriptedServer) -> None:
    server.options, server.tickets = {**OPTIONS, "ticket_required": True}, []
    visitor = visit()
    visitor.until("document.querySelector('[name=voice]').options.length === 3")
    visitor.page.click("#shape")
    visitor.now("failed")
    visitor.says("did not give out a ticket")


def test_a_password_is_asked_once_a_tab(visit: Come, server: ScriptedServer) -> None:
    server.options, server.password = {**OPTIONS, "ticket_required": True, "password": True}, "open sesame"
    visitor = visit()
    visitor.until("document.querySelector('[name=voice]').options.length === 3")
    visitor.page.click("#shape")
    visitor.page.wait_for_selector("#entry[open]")
    visitor.page.fill("#password", "open simsim")
    visitor.page.keyboard.press("Enter")
    visitor.until("page.why.textContent === 'That was not it. Try again.'")
    visitor.page.fill("#password", "open sesame")
    visitor.page.click("#entry .main")
    caller = server.accept()
    assert caller.protocols == ["antiphon.v1", "ticket.ticket-1"]
    visitor.now("listening")
    assert visitor.page.input_value("#password") == ""
    assert "sesame" not in visitor.page.evaluate("JSON.stringify(localStorage)")
    caller.close(1011)
    assert server.accept().protocols == ["antiphon.v1", "ticket.ticket-2"]


def test_no_password_no_entry(visit: Come, server: ScriptedServer) -> None:
    server.options, server.password = {**OPTIONS, "ticket_required": True}, "open sesame"
    visitor = visit()
    visitor.until("document.querySelector('[name=voice]').options.length === 3")
    visitor.page.click("#shape")
    visitor.page.wait_for_selector("#entry[open]")
    visitor.page.keyboard.press("Escape")
    visitor.now("failed")
    visitor.says("asks for a password")


def test_where_no_password_helps_none_is_asked(visit: Come, server: ScriptedServer) -> None:
    server.options = {**OPTIONS, "ticket_required": True, "password": False}
    told = {"code": "unauthorized", "message": "this server wants an API key", "retry_after_ms": None}
    server.ticket_answers = [(401, told)]
    visitor = visit()
    visitor.until("document.querySelector('[name=voice]').options.length === 3")
    visitor.page.click("#shape")
    visitor.now("failed")
    visitor.says("this server wants an API key")
    assert not visitor.page.is_visible("#entry")


def test_a_ticket_that_has_to_wait_is_asked_for_again(visit: Come, server: ScriptedServer) -> None:
    server.options = {**OPTIONS, "ticket_required": True}
    told = {"code": "rate_limited", "message": "too many tickets; wait a little", "retry_after_ms": 1500}
    server.ticket_answers = [(429, told)]
    visitor = visit()
    visitor.until("document.querySelector('[name=voice]').options.length === 3")
    visitor.page.click("#shape")
    visitor.now("busy")
    server.accept()
    visitor.now("listening")


def test_too_many_from_one_address_come_back_when_told(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    visitor.page.click("#shape")
    caller = server.accept(welcome=False)
    caller.send("error", code="rate_limited", message="Too many.", retryable=True, retry_after_ms=1500)
    caller.close(1013)
    visitor.now("busy")
    server.accept()
    visitor.now("listening")


def test_a_server_that_now_wants_tickets_is_given_one(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    visitor.page.click("#shape")
    caller = server.accept(welcome=False)
    caller.send("error", code="bad_ticket", message="This server wants a ticket.", retryable=False)
    caller.close(1008)
    visitor.now("failed")
    visitor.page.click("#shape")
    assert server.accept().protocols == ["antiphon.v1", "ticket.ticket-1"]


def test_what_the_server_does_not_accept_is_said(visit: Come, server: ScriptedServer) -> None:
    visitor = visit()
    visitor.page.click("#shape")
    caller = server.accept(welcome=False)
    caller.send("error", code="bad_request", message="There is no voice x.", retryable=False)
    visitor.now("failed")
    visitor.says("There is no voice x.")


def test_trouble_and_notices_in_a_conversation(visit: Come) -> None:
    visitor = visit()
    caller = visitor.talk()
    caller.send("notice", kind="degraded", message="A smaller model answers for now.")
    caller.send("error", code="provider_failed", message="The voice failed.", retryable=False)
    caller.send("unheard_of", text="from a newer server")
    caller.send("error", code="budget_reached", message="Used up. Try again tomorrow.", retryable=False)
    visitor.now("budget")
    visitor.says("Try again tomorrow.")
    assert visitor.words() == ["A smaller model answers for now.", "The voice failed."]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("NotAllowedError", "refused"), ("NotReadableError", "taken"), ("NotFoundError", "missing")],
)
def test_a_microphone_that_is_not_to_be_had(
    visit: Come, server: ScriptedServer, name: str, sentence: str
) -> None:
    visitor = visit(script=DENY.replace("NAME", name))
    visitor.page.click("#shape")
    caller = server.accept()
    visitor.now(sentence)
    visitor.says("Typing works meanwhile.")
    visitor.page.fill("#typed", "Hello")
    visitor.page.keyboard.press("Enter")
    assert caller.expect("text")["text"] == "Hello"


def test_a_page_that_is_not_secure(visit: Come, server: ScriptedServer) -> None:
    visitor = visit(url=server.url.replace("127.0.0.1", "kitchen.test"))
    visitor.page.click("#shape")
    caller = server.accept()
    visitor.now("insecure")
    visitor.says("https")
    visitor.page.fill("#typed", "Hello")
    visitor.page.keyboard.press("Enter")
    caller.expect("text")
    speak(caller, "r1", "Hi there.", ms=300)
    visitor.now("insecure")
    assert visitor.words() == ["Hello", "Hi there. "]
    assert visitor.page.inner_text(".reply .rest") == ""


def test_the_page_comes_up_though_nothing_else_answers(visit: Come, server: ScriptedServer) -> None:
    server.refuse = True
    visitor = visit()
    visitor.page.click("#shape")
    visitor.now("lost")
    server.refuse = False
    server.accept()
    visitor.now("listening")


def test_a_line_that_is_dead_without_saying_so_is_given_up(visit: Come, server: ScriptedServer) -> None:
    visitor = visit(script=HURRY)
    caller = visitor.talk()
    caller.mute = True
    again = server.accept(welcome=False)
    assert again.expect("start")["resume"]["session_id"] == "s1"


DENY = """
const {mediaDevices} = navigator;
if (mediaDevices) mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NAME'); };
"""

HURRY = """
const slow = setInterval;
window.setInterval = (act, ms) => slow(act, ms / 20);
const clock = performance.now.bind(performance);
performance.now = () => clock() * 20;
"""
"""A clock that runs twenty times faster, so that a test need not wait out the patience for a dead line."""
