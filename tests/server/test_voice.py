"""Conversations over a real socket."""

from __future__ import annotations

import pytest
from tests.server.house import open_house, scripted_assistant

from antiphon.audio.coded_speech import coded_text

pytestmark = pytest.mark.real_time


async def test_a_client_need_not_wait_for_session_to_go_on() -> None:
    async with open_house() as house, house.connect() as caller:
        await caller.says(type="start")
        await caller.says(type="text", text="What is the capital of France?")
        assert (await caller.until("response_done"))["text"] == "It is Paris."


async def test_a_spoken_question_is_answered_aloud() -> None:
    async with open_house() as house, house.call() as caller:
        await caller.speaks("what is the capital of France")
        done = await caller.until("response_done")
        kinds = caller.kinds()
        assert kinds.index("speech_started") < kinds.index("speech_stopped") < kinds.index("response_started")
        assert kinds.index("response_started") < kinds.index("audio_started") < kinds.index("audio_done")
        finals = [m for m in caller.messages if m["type"] == "transcript" and m["final"]]
        assert [m["text"] for m in finals] == ["what is the capital of France"]
        assert "".join(m["text"] for m in caller.messages if m["type"] == "response_text") == "It is Paris."
        assert coded_text(bytes(caller.sound), rate=24_000) == "It is Paris."
        assert (done["text"], done["interrupted"], done["error"]) == ("It is Paris.", False, "")
        assert done["latency_ms"]["first_sound"] >= 0
        assert {stage["name"] for stage in done["stages"]} >= {"asr", "llm", "tts"}
        total = next(m["total_ms"] for m in caller.messages if m["type"] == "audio_done")
        assert total == pytest.approx(len(caller.sound) / 48, abs=2)


async def test_what_a_reply_used_is_told() -> None:
    async with open_house() as house, house.call() as caller:
        await caller.says(type="text", text="Hello there")
        usage = (await caller.until("response_done"))["usage"]
        assert usage["providers"]["llm"] == "scripted:language-model"
        assert usage["providers"]["tts"] == "scripted:voice"
        assert usage["characters"] == len("It is Paris.")
        assert usage["output_tokens"] > 0
        assert usage["cost_usd"] == 0.0


async def test_every_message_is_numbered_from_one() -> None:
    async with open_house() as house, house.call() as caller:
        await caller.says(type="text", text="Hello")
        await caller.until("response_done")
        assert [m["seq"] for m in caller.messages] == list(range(1, len(caller.messages) + 1))


async def test_the_session_tells_what_was_agreed() -> None:
    async with open_house() as house, house.call(input_rate=48_000, output_rate=16_000) as caller:
        session = caller.messages[0]
        assert (session["input_rate"], session["output_rate"]) == (48_000, 16_000)
        assert session["resumed"] is False
        assert len(session["resume_token"]) == 43
        assert session["limits"]["max_message_bytes"] == 65_536
        assert caller.socket.subprotocol == "antiphon.v1"


async def test_an_ended_session_cannot_be_resumed_and_that_is_said() -> None:
    async with open_house() as house:
        async with house.call() as caller:
            before = caller.messages[0]
            await caller.says(type="bye")
            await caller.until_closed()
        resume = {"session_id": before["session_id"], "token": before["resume_token"], "last_seq": 1}
        async with house.call(resume=resume) as caller:
            after = caller.messages[0]
            assert after["resumed"] is False
            assert after["epoch"] > before["epoch"]
            assert (await caller.receives())["kind"] == "history"


async def test_ping_is_answered_and_bye_ends_the_call() -> None:
    async with open_house() as house, house.call() as caller:
        await caller.says(type="ping")
        assert (await caller.receives())["type"] == "pong"
        await caller.says(type="bye")
        assert await caller.until_closed() == (1000, "goodbye")


async def test_decisions_are_told_only_to_those_who_ask() -> None:
    async with open_house() as house:
        for timeline in (False, True):
            async with house.call(timeline=timeline) as caller:
                await caller.speaks("what is the capital of France")
                await caller.until("response_done")
                assert ("decision" in caller.kinds()) is timeline


async def test_an_interrupt_stops_the_reply() -> None:
    assistant = scripted_assistant(reply="This goes on and on. " * 30, letter_s=0.06)
    async with open_house(assistant=assistant) as house, house.call() as caller:
        await caller.says(type="text", text="Tell me everything")
        started = await caller.until("audio_started")
        await caller.says(type="played", reply_id=started["reply_id"], ms=480.5)
        await caller.says(type="interrupt")
        interrupted = await caller.until("interrupted")
        assert interrupted["reply_id"] == started["reply_id"]
        assert (await caller.until("response_done"))["interrupted"] is True


async def test_push_to_talk_ends_a_turn_by_hand() -> None:
    async with open_house() as house, house.call(mode="push_to_talk") as caller:
        await caller.speaks("what is the capital of", then_s=0.0)
        await caller.says(type="commit")
        assert (await caller.until("response_done"))["text"] == "It is Paris."


async def test_two_callers_have_two_conversations() -> None:
    async with open_house() as house, house.call() as one, house.call() as two:
        await one.says(type="text", text="Hello")
        await two.says(type="text", text="Hello")
        first, second = await one.until("response_done"), await two.until("response_done")
        assert one.messages[0]["session_id"] != two.messages[0]["session_id"]
        assert first["text"] == second["text"] == "It is Paris."
        assert len(house.application.registry.live) == 2


async def test_a_client_without_a_subprotocol_is_served() -> None:
    async with open_house() as house, house.connect(subprotocols=()) as caller:
        await caller.says(type="start")
        await caller.until("session")
        assert caller.socket.subprotocol is None


async def test_only_our_subprotocol_is_echoed() -> None:
    async with open_house() as house:
        async with house.connect(subprotocols=("ticket.secret", "antiphon.v1")) as caller:
            assert caller.socket.subprotocol == "antiphon.v1"
