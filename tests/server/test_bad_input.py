"""What strangers send: each gets an error that a person can act on, and the server talks on."""

from __future__ import annotations

import asyncio

import pytest
from tests.server.house import Caller, open_house, scripted_assistant
from websockets.exceptions import InvalidStatus

from antiphon.server.voice import VoiceLimits
from antiphon.sessions.readiness import ModelProgress, Readiness

pytestmark = pytest.mark.real_time


async def still_talks(caller: Caller) -> bool:
    await caller.says(type="text", text="Hello")
    return str((await caller.until("response_done"))["text"]) == "It is Paris."


@pytest.mark.parametrize(
    ("raw", "code", "said"),
    [
        ("{", "bad_message", "not valid JSON"),
        ("[" * 20_000, "bad_message", "nested"),
        ('"start"', "bad_message", "JSON object"),
        ('{"type":"played","reply_id":"r","ms":NaN}', "bad_message", "NaN"),
        ('{"type":"text"}', "bad_message", "text.text"),
        ('{"type":"start"}', "bad_message", "already had its `start`"),
        (b"", "bad_audio", "0 bytes"),
        (bytes(33), "bad_audio", "33 bytes"),
    ],
)
async def test_a_mistake_is_told_and_the_conversation_goes_on(raw: str | bytes, code: str, said: str) -> None:
    async with open_house() as house, house.call() as caller:
        await caller.sends(raw)
        error = await caller.until("error")
        assert (error["code"], error["retryable"]) == (code, False)
        assert said in error["message"]
        assert await still_talks(caller)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ({"input_rate": 96_000}, "start.input_rate"),
        ({"input_rate": "16000"}, "start.input_rate"),
        ({"output_rate": 1}, "start.output_rate"),
        ({"voice": "hal"}, "no voice 'hal'; choose one of scripted"),
        ({"language": "klingon"}, "choose one of auto, en, fr"),
        ({"mode": "telepathy"}, "start.mode"),
        ({"instructions": "x" * 2001}, "start.instructions"),
        ({"speed": 9}, "start.speed"),
    ],
)
async def test_a_start_that_cannot_be_met_may_be_sent_again(start: dict[str, object], said: str) -> None:
    async with open_house() as house, house.connect() as caller:
        await caller.says(type="start", **start)
        error = await caller.until("error")
        assert said in error["message"]
        await caller.says(type="start")
        await caller.until("session")
        assert await still_talks(caller)


@pytest.mark.parametrize("early", [bytes(1024), '{"type":"text","text":"hello"}', '{"type":"ping"}'])
async def test_what_comes_before_start_is_refused(early: str | bytes) -> None:
    async with open_house() as house, house.connect() as caller:
        await caller.sends(early)
        assert "start" in (await caller.until("error"))["message"]
        await caller.says(type="start")
        await caller.until("session")


async def test_unknown_messages_are_ignored() -> None:
    async with open_house() as house, house.call() as caller:
        for _ in range(20):
            await caller.says(type="telepathy", strength=9)
        assert await still_talks(caller)
        assert "error" not in caller.kinds()


async def test_too_many_mistakes_close_the_connection() -> None:
    async with open_house() as house, house.call() as caller:
        for _ in range(6):
            await caller.sends("{")
        code, reason = await caller.until_closed()
        assert (code, reason) == (1007, "too many messages that are not antiphon.v1")
        assert caller.kinds().count("error") == 6


async def test_sound_that_never_gets_a_start_closes_the_connection() -> None:
    async with open_house() as house, house.connect() as caller:
        for _ in range(6):
            await caller.sends(bytes(1024))
        assert (await caller.until_closed())[0] == 1008


@pytest.mark.parametrize("raw", [bytes(65_538), '{"type":"text","text":"' + "a" * 70_000 + '"}'])
async def test_an_oversize_message_is_told_and_closes_with_1009(raw: str | bytes) -> None:
    async with open_house() as house, house.call() as caller:
        await caller.sends(raw)
        assert (await caller.until_closed())[0] == 1009
        assert "over the limit of 65536" in caller.messages[-1]["message"]


async def test_a_huge_message_is_cut_off_unread() -> None:
    async with open_house() as house, house.call() as caller:
        await caller.sends(bytes(1_000_000))
        assert (await caller.until_closed())[0] == 1009


async def test_text_that_is_not_utf8_closes_with_1007() -> None:
    async with open_house() as house, house.call() as caller:
        await caller.socket.send(b"\xff\xfe", text=True)
        assert (await caller.until_closed())[0] == 1007


async def test_sound_much_faster_than_speech_is_refused() -> None:
    async with open_house() as house, house.call() as caller:
        for _ in range(int(15 / 0.032)):
            await caller.sends(bytes(1024))
        error = await caller.until("error")
        assert error["code"] == "bad_audio"
        assert "start.input_rate" in error["message"]
        assert await still_talks(caller)
        assert caller.kinds().count("error") == 1


async def test_a_start_that_never_comes_is_not_waited_for() -> None:
    async with open_house(limits=VoiceLimits(start_timeout_s=0.1)) as house, house.connect() as caller:
        assert await caller.until_closed() == (1008, "no start message came")
        assert "no `start` came within 0.1 s" in caller.messages[-1]["message"]


@pytest.mark.parametrize("sends", ["nothing", "pings and silence"])
async def test_a_conversation_in_which_nobody_says_anything_is_ended(sends: str) -> None:
    """As of a page that was forgotten: its microphone is open, and it asks for pongs."""

    async def goes_on(caller: Caller) -> None:
        while sends != "nothing":
            await caller.sends(bytes(1024))
            await caller.says(type="ping")
            await asyncio.sleep(0.03)

    async with open_house(limits=VoiceLimits(idle_timeout_s=0.4)) as house, house.call() as caller:
        sending = asyncio.ensure_future(goes_on(caller))
        assert await asyncio.wait_for(caller.until_closed(), 20) == (1000, "nothing was said for too long")
        sending.cancel()
        told = [message for message in caller.messages if message["type"] in ("notice", "error")]
        assert [message.get("kind", message.get("code")) for message in told] == ["idle", "ended"]
        assert "nobody said anything for 0.4 s" in told[-1]["message"]


async def test_a_conversation_with_a_reply_under_way_is_not_idle() -> None:
    assistant = scripted_assistant(reply="This takes a while to say.", letter_s=0.05)
    async with open_house(assistant=assistant, limits=VoiceLimits(idle_timeout_s=0.3)) as house:
        async with house.call() as caller:
            await caller.says(type="text", text="Talk to me")
            assert (await caller.until_closed())[1] == "nothing was said for too long"
            assert caller.kinds().index("response_done") < caller.kinds().index("notice")


async def test_one_caller_too_many_is_told_when_to_come_back() -> None:
    async with open_house(max_sessions=1) as house, house.call() as first:
        async with house.connect() as second:
            await second.says(type="start")
            assert (await second.until_closed()) == (1013, "busy")
            (error,) = second.messages
            assert (error["code"], error["retryable"], error["retry_after_ms"]) == ("busy", True, 5000)
        assert await still_talks(first)


async def test_before_it_is_ready_callers_are_told_so() -> None:
    loaded = asyncio.Event()

    async def load(readiness: Readiness) -> None:
        readiness.report(ModelProgress(id="llm/big", stage="downloading", done_bytes=3, total_bytes=10))
        await loaded.wait()
        readiness.open(scripted_assistant())

    async with open_house(loading=load) as house:
        async with house.connect() as caller:
            assert await caller.until_closed() == (1013, "loading")
            assert caller.messages[0]["code"] == "loading"
            assert caller.messages[0]["retryable"] is True
        answer = await house.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["models"][0] == {
            "id": "llm/big", "stage": "downloading", "done_bytes": 3, "total_bytes": 10, "message": "",
        }  # fmt: skip
        loaded.set()
        while (await house.get("/ready")).status_code != 200:
            pass
        async with house.call() as caller:
            assert await still_talks(caller)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:1", "null", "http://evil.example:1", "garbage"]
)
async def test_pages_of_strangers_are_refused_before_the_handshake(origin: str) -> None:
    async with open_house() as house:
        with pytest.raises(InvalidStatus) as caught:
            async with house.connect(origin=origin):
                pass
        assert caught.value.response.status_code == 403
        assert b"ANTIPHON_ALLOWED_ORIGINS" in (caught.value.response.body or b"")


async def test_our_own_page_and_those_allowed_may_connect() -> None:
    async with open_house() as house, house.connect(origin=house.http) as caller:
        await caller.says(type="start")
        await caller.until("session")
    async with open_house(allowed_origins=("https://talk.example",)) as house:
        async with house.connect(origin="https://talk.example") as caller:
            await caller.says(type="start")
            await caller.until("session")


async def test_a_client_of_another_protocol_is_refused_before_the_handshake() -> None:
    async with open_house() as house:
        with pytest.raises(InvalidStatus) as caught:
            async with house.connect(subprotocols=("graphql-ws",)):
                pass
        assert b"antiphon.v1" in (caught.value.response.body or b"")
