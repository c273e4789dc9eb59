"""Coming back to a conversation on the same server."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from tests.server.house import open_house
from tests.server.returning import LONG, asks, away, back, counting_assistant, last_seq, resume_of

from antiphon.audio.coded_speech import coded_text
from antiphon.conversation.events import Event
from antiphon.conversation.listening import SessionFacts
from antiphon.protocol.client_messages import MAX_SEQ
from antiphon.server.voice import VoiceLimits
from antiphon.sessions.registry import Backing
from antiphon.sessions.store import Claim, HeldElsewhere, MemoryStore

pytestmark = pytest.mark.real_time

RATE = 24_000


class Ledger:
    """Notes what listeners are told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def opened(self, session: SessionFacts) -> None:
        self.notes.append("opened")

    def told(self, session_id: str, event: Event) -> None: ...

    def closed(self, session_id: str, reason: str) -> None:
        self.notes.append(f"closed: {reason}")

    def refused(self, reason: str) -> None:
        self.notes.append(f"refused: {reason}")


async def test_a_conversation_goes_on_after_a_lost_connection() -> None:
    async with open_house(assistant=counting_assistant()) as house:
        async with house.call() as first:
            assert await asks(first, "One") == "Turn 1, One."
            first.socket.transport.abort()
        async with back(house, first) as second:
            session, before = second.messages[0], first.messages[0]
            assert session["resumed"] is True
            assert (session["session_id"], session["epoch"]) == (before["session_id"], before["epoch"])
            assert session["resume_token"] == before["resume_token"]
            assert await asks(second, "Two") == "Turn 2, Two."
            numbers = [message["seq"] for message in second.messages[1:]]
            assert numbers == list(range(last_seq(first) + 1, last_seq(first) + 1 + len(numbers)))
            assert len(house.application.registry.live) == 1


async def test_who_comes_back_takes_one_place_and_not_two() -> None:
    async with open_house(assistant=counting_assistant(), max_sessions=2) as house:
        async with house.call() as first:
            await asks(first, "One")
            first.socket.transport.abort()
        async with back(house, first) as second, house.call() as another:
            assert second.messages[0]["resumed"] is True
            assert another.messages[0]["type"] == "session", "there is room for two"
            assert len(house.application.registry.live) == 2
            assert await asks(second, "Two") == "Turn 2, Two."


async def test_a_reply_goes_on_where_its_listener_was() -> None:
    """What was sent and not heard is sent again, what was heard is not, and no message comes twice."""
    async with open_house(assistant=counting_assistant(letter_s=0.02)) as house:
        async with house.call() as first:
            await first.says(type="text", text="A long one")
            await first.until("audio_started")
            heard_ms = 500
            while len(first.sound) < RATE:  # half a second of it
                raw = await first.socket.recv()
                first.sound += raw if isinstance(raw, bytes) else b""
            await first.says(type="played", reply_id="r1", ms=300)
            first.socket.transport.abort()
        async with back(house, first, played={"reply_id": "r1", "ms": heard_ms}) as second:
            assert second.messages[0]["resumed"] is True
            started = await second.until("audio_started")
            assert (started["reply_id"], started["from_ms"]) == ("r1", heard_ms)
            done = await second.until("response_done")
            assert (done["text"], done["interrupted"]) == (LONG, False)
            heard = bytes(first.sound[: heard_ms * RATE // 1000 * 2]) + bytes(second.sound)
            assert coded_text(heard, rate=RATE) == LONG
            assert second.kinds().count("response_done") == 1


async def test_what_was_told_while_away_is_told_on_return() -> None:
    async with open_house(assistant=counting_assistant()) as house:
        async with house.call() as first:
            await first.says(type="text", text="One")
            first.socket.transport.abort()
        async with back(house, first) as second:
            await second.until("response_done")
            assert {"transcript", "response_started", "response_text"} <= set(second.kinds())
            assert second.kinds().count("response_started") == 1


async def test_a_second_connection_takes_over_from_a_stale_one() -> None:
    """As when the first one's network is gone and nobody has noticed."""
    async with open_house(assistant=counting_assistant()) as house, house.call() as first:
        await asks(first, "One")
        async with back(house, first) as second:
            assert second.messages[0]["resumed"] is True
            assert await first.until_closed() == (4000, "another connection goes on with this session")
            assert await asks(second, "Two") == "Turn 2, Two."


async def test_twice_in_a_row() -> None:
    async with open_house(assistant=counting_assistant()) as house:
        async with house.call() as first:
            await asks(first, "One")
            first.socket.transport.abort()
        async with back(house, first) as second:
            second.messages += first.messages[1:]
            second.socket.transport.abort()
        async with back(house, second) as third:
            assert await asks(third, "Two") == "Turn 2, Two."


async def test_wishes_are_said_anew_and_hold_from_then_on() -> None:
    async with open_house(assistant=counting_assistant()) as house:
        async with house.call(output_rate=RATE) as first:
            await asks(first, "One")
            first.socket.transport.abort()
        async with house.call(output_rate=16_000, resume=resume_of(first)) as second:
            assert second.messages[0]["resumed"] is True
            assert second.messages[0]["output_rate"] == 16_000
            assert await asks(second, "Two") == "Turn 2, Two."
            done = next(message for message in second.messages if message["type"] == "audio_done")
            assert len(second.sound) == done["total_ms"] * 16 * 2


async def test_who_comes_too_late_begins_anew_and_is_told_so() -> None:
    ledger = Ledger()
    async with open_house(assistant=counting_assistant(), limits=VoiceLimits(resume_grace_s=0.1)) as house:
        with house.application.audience.joined(ledger):
            async with house.call() as first:
                await asks(first, "One")
                first.socket.transport.abort()
            await asyncio.wait_for(house.application.registry.emptied(), 10)
            async with back(house, first) as second:
                assert second.messages[0]["resumed"] is False
                assert second.messages[0]["epoch"] > first.messages[0]["epoch"]
                assert (await second.receives())["kind"] == "history"
                assert await asks(second, "Two") == "Turn 1, Two."
    assert ledger.notes[:4] == ["opened", "closed: expired", "refused: session_gone", "opened"]


async def test_another_sessions_token_opens_nothing() -> None:
    """The answer is that of a session that never was; the operator is told the difference."""
    ledger = Ledger()
    async with open_house(assistant=counting_assistant()) as house:
        with house.application.audience.joined(ledger):
            async with house.call() as victim, house.call() as thief:
                await asks(victim, "One")
                stolen = resume_of(victim) | {"token": thief.messages[0]["resume_token"]}
                nobodys = resume_of(victim) | {"session_id": "0123456789ab"}
                answers = []
                for resume in (stolen, nobodys):
                    async with house.call(resume=resume) as caller:
                        await caller.until("notice")
                        answers.append([message["type"] for message in caller.messages])
                        assert caller.messages[0]["resumed"] is False
                        assert caller.messages[0]["session_id"] != victim.messages[0]["session_id"]
                assert answers[0] == answers[1]
                assert await asks(victim, "Two") == "Turn 2, Two."
    assert ledger.notes.count("refused: bad_resume_token") == 1


async def test_whoever_is_gone_stops_waiting_for_a_session() -> None:
    store = Elsewhere()
    limits = VoiceLimits(start_timeout_s=1_000)
    async with open_house(limits=limits, backing=Backing(store=store, lease_s=1_000)) as house:
        async with house.connect() as caller:
            await caller.says(type="start", resume={"session_id": "0" * 12, "token": "t", "last_seq": 0})
            await caller.says(type="ping")
            await store.asked.wait()
            assert not house.application.registry.empty
            caller.socket.transport.abort()
        await asyncio.wait_for(house.application.registry.emptied(), 10)


class Elsewhere(MemoryStore):
    """Every session is held by a replica that does not let go."""

    def __init__(self) -> None:
        super().__init__(keep_s=60)
        self.asked = asyncio.Event()

    async def claim(self, session_id: str, *, token: bytes) -> Claim | None:
        self.asked.set()
        raise HeldElsewhere


async def test_a_connection_that_breaks_in_our_hands_holds_no_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its place would be taken for good, by nobody."""
    async with open_house(assistant=counting_assistant()) as house, house.call() as caller:
        await asks(caller, "One")
        line = house.application.registry._held[caller.messages[0]["session_id"]].outlet
        monkeypatch.setattr(line, "_kept", None)
        await caller.sends("{")
        assert await caller.until_closed() == (1011, "internal error")
        assert caller.messages[-1]["code"] == "internal"
        assert caller.messages[-1]["seq"] > caller.messages[-2]["seq"]
        await asyncio.wait_for(house.application.registry.emptied(), 10)


@pytest.mark.parametrize(
    "last_seq", [MAX_SEQ, MAX_SEQ + 1, 10**4300 - 1], ids=["most", "too much", "endless"]
)
async def test_a_client_that_claims_to_have_heard_what_was_never_said_harms_nobody(last_seq: int) -> None:
    async with open_house(assistant=counting_assistant()) as house:
        async with house.call() as first:
            await asks(first, "One")
            first.socket.transport.abort()
        await away(house)
        async with house.connect() as liar:
            await liar.says(type="start", resume=resume_of(first) | {"last_seq": last_seq})
            assert (await liar.receives())["type"] == ("session" if last_seq <= MAX_SEQ else "error")
            await liar.says(type="ping")
            await liar.receives()
            liar.socket.transport.abort()
        await away(house)
        async with back(house, first) as second:
            assert second.messages[0]["resumed"] is True
            assert await asks(second, "Two") == "Turn 2, Two."
            assert max(message["seq"] for message in second.messages) < 100


async def test_a_place_is_kept_for_one_whose_line_dropped() -> None:
    async with open_house(assistant=counting_assistant(), max_sessions=1) as house:
        async with house.call() as first:
            await asks(first, "One")
            first.socket.transport.abort()
        await away(house)
        async with house.connect() as newcomer:
            await newcomer.says(type="start")
            assert await newcomer.until_closed() == (1013, "busy")
        async with back(house, first) as second:
            assert await asks(second, "Two") == "Turn 2, Two."


@pytest.mark.parametrize("session", ["held", "made up", "put aside"])
async def test_nobody_gets_past_the_cap_with_a_token_that_is_not_right(session: str) -> None:
    async with open_house(assistant=counting_assistant(), max_sessions=1) as house:
        house.application.registry.place_kept_s = 0
        async with house.call() as first, AsyncExitStack() as stack:
            await asks(first, "One")
            if session == "put aside":
                first.socket.transport.abort()
                await away(house)
                await stack.enter_async_context(house.call())
            async with house.connect() as stranger:
                named = {"session_id": "0123456789ab"} if session == "made up" else {}
                await stranger.says(type="start", resume=resume_of(first) | {"token": "guess"} | named)
                assert await stranger.until_closed() == (1013, "busy")


async def test_one_who_was_put_aside_comes_back_though_all_places_are_taken() -> None:
    async with open_house(assistant=counting_assistant(), max_sessions=1) as house:
        house.application.registry.place_kept_s = 0
        async with house.call() as first:
            await asks(first, "One")
            first.socket.transport.abort()
        await away(house)
        async with house.call() as another:
            await asks(another, "Hello")
            async with back(house, first) as second:
                assert second.messages[0]["resumed"] is True
                assert await asks(second, "Two") == "Turn 2, Two."
                assert await asks(another, "Again") == "Turn 2, Again."


async def test_so_many_come_back_and_no_more() -> None:
    """One more than there are places; who is one too many loses nothing by it."""
    async with open_house(assistant=counting_assistant(), max_sessions=1) as house, AsyncExitStack() as stack:
        registry = house.application.registry
        registry.place_kept_s = 0
        before = []
        for said in ("One", "Uno"):
            async with house.call() as caller:
                await asks(caller, said)
                caller.socket.transport.abort()
            await away(house)
            before.append(caller)
        await stack.enter_async_context(house.call())
        first = await stack.enter_async_context(back(house, before[0]))
        for _ in range(3):
            async with house.connect() as second:
                await second.says(type="start", resume=resume_of(before[1]))
                assert (await second.until("error"))["retry_after_ms"] > 0
                assert await second.until_closed() == (1013, "busy")
            assert sum(not session.away for session in registry.live) == 2
        await first.says(type="bye")
        await first.until_closed()
        async with back(house, before[1]) as second:
            assert await asks(second, "Due") == "Turn 2, Due."


async def test_a_session_that_is_being_put_aside_is_waited_for() -> None:
    async with open_house(assistant=counting_assistant()) as house:
        async with house.call() as first:
            await asks(first, "One")
            first.socket.transport.abort()
        await away(house)
        live = house.application.registry._held[first.messages[0]["session_id"]]
        assert live.park()
        async with back(house, first) as second:
            assert second.messages[0]["resumed"] is True
            assert live.session.ended == "parked"
            assert len(house.application.registry.live) == 1
            assert await asks(second, "Two") == "Turn 2, Two."


async def test_a_connection_that_the_web_server_gives_up_leaves_its_session_waiting() -> None:
    async with open_house(assistant=counting_assistant()) as house, house.call() as first:
        await asks(first, "One")
        (serving,) = (task for task in asyncio.all_tasks() if "run_asgi" in repr(task.get_coro()))
        serving.cancel()
        await away(house)
        async with back(house, first) as second:
            assert second.messages[0]["resumed"] is True


async def test_a_connection_closed_for_its_pace_leaves_its_session_waiting() -> None:
    """Its network held everything back."""
    async with open_house(assistant=counting_assistant(), limits=VoiceLimits(messages_per_s=1)) as house:
        async with house.call() as first:
            await asks(first, "One")
            for _ in range(20):
                await first.says(type="ping")
            assert await first.until_closed() == (1008, "messages come too fast")
        async with back(house, first) as second:
            assert await asks(second, "Two") == "Turn 2, Two."


async def test_one_who_is_away_makes_room_and_loses_nothing() -> None:
    async with open_house(assistant=counting_assistant(), max_sessions=1) as house:
        house.application.registry.place_kept_s = 0
        async with house.call() as first:
            await asks(first, "One")
            first.socket.transport.abort()
        await away(house)
        async with house.call() as another:
            assert await asks(another, "Hello") == "Turn 1, Hello."
            await another.says(type="bye")
            await another.until_closed()
        async with back(house, first) as second:
            assert second.messages[0]["resumed"] is True
            assert await asks(second, "Two") == "Turn 2, Two."


async def test_a_connection_without_a_word_in_it_is_not_waited_for() -> None:
    async with open_house() as house:
        async with house.call():
            pass
        await asyncio.wait_for(house.application.registry.emptied(), 5)


async def test_without_grace_nothing_is_resumed() -> None:
    async with open_house(limits=VoiceLimits(resume_grace_s=0)) as house, house.call() as caller:
        assert caller.messages[0]["resume_token"] is None
