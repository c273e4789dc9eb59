"""What strangers show that is not theirs: each is refused, logged with who it was, and counted; over a real socket.

scripts/test tests/server/test_refusals.py
"""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest
from tests.server.house import House, open_house
from tests.server.returning import resume_of
from tests.server.test_access import KEY, PASSWORD, WAYS, post, talks, ticket, turned_away, with_ticket
from websockets.exceptions import InvalidStatus

from antiphon.server.entrance import EntranceStores
from antiphon.sessions.address_limits import LimitPolicy
from antiphon.sessions.tickets import TICKET_S, MemoryTickets
from antiphon.telemetry.logs import configure_logs

pytestmark = pytest.mark.real_time

HERE, THERE = "127.0.0.1", "127.0.0.2"
OPERATORS = ip_network("127.0.0.1/32")
EVIL = "https://evil.example.org"
OPERATOR_TOKEN = "operators only, thank you"


class Clock:
    """Of the tickets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


Attempt = Callable[[House, Clock], Awaitable[None]]


async def spoofed_address(house: House, clock: Clock) -> None:
    """There may be one conversation from each address; claiming another one is of no use."""
    async with house.connect(subprotocols=with_ticket(await ticket(house))) as first:
        await talks(first)
        offered = with_ticket(await ticket(house))
        async with house.connect(subprotocols=offered, headers={"X-Forwarded-For": "203.0.113.9"}) as second:
            await turned_away(second, "rate_limited", 1013)


async def foreign_page_connects(house: House, clock: Clock) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with house.connect(subprotocols=with_ticket(await ticket(house)), origin=EVIL):
            pass
    assert refused.value.response.status_code == 403


async def foreign_page_asks_for_a_ticket(house: House, clock: Clock) -> None:
    answer = await post(house, "/api/tickets", {"password": PASSWORD}, origin=EVIL)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "bad_origin")


async def no_ticket(house: House, clock: Clock) -> None:
    async with house.connect() as caller:
        await turned_away(caller, "bad_ticket", 1008)


async def used_ticket(house: House, clock: Clock) -> None:
    value = await ticket(house)
    async with house.connect(subprotocols=with_ticket(value)) as caller:
        await talks(caller)
    async with house.connect(subprotocols=with_ticket(value)) as caller:
        await turned_away(caller, "bad_ticket", 1008)


async def expired_ticket(house: House, clock: Clock) -> None:
    value = await ticket(house)
    clock.now += TICKET_S + 0.001
    async with house.connect(subprotocols=with_ticket(value)) as caller:
        await turned_away(caller, "bad_ticket", 1008)


async def stolen_ticket(house: House, clock: Clock) -> None:
    """By somebody at another address; the thief uses it up."""
    value = await ticket(house)
    async with house.connect(subprotocols=with_ticket(value), local_addr=(THERE, 0)) as thief:
        await turned_away(thief, "bad_ticket", 1008)


async def ticket_of_another_page(house: House, clock: Clock) -> None:
    value = await ticket(house, origin=house.http)
    async with house.connect(subprotocols=with_ticket(value)) as caller:
        await turned_away(caller, "bad_ticket", 1008)


async def resumes(house: House, ticket_value: str, resume: dict[str, Any]) -> None:
    """And gets a conversation of its own, with nothing of the other one."""
    async with house.connect(subprotocols=with_ticket(ticket_value), local_addr=(THERE, 0)) as caller:
        await caller.says(type="start", resume=resume)
        session = await caller.until("session")
        assert session["resumed"] is False
        assert session["session_id"] != resume["session_id"]
        assert (await caller.until("notice"))["kind"] == "history"


async def ticket_for(house: House, address: str) -> str:
    return await ticket(house, source=address)


async def token_of_another_session(house: House, clock: Clock) -> None:
    async with house.connect(subprotocols=with_ticket(await ticket(house))) as victim:
        await talks(victim)
        async with house.connect(
            subprotocols=with_ticket(await ticket_for(house, THERE)), local_addr=(THERE, 0)
        ) as own:
            await talks(own)
            wanted = {**resume_of(victim), "token": resume_of(own)["token"]}
        await resumes(house, await ticket_for(house, THERE), wanted)


async def session_of_another_user(house: House, clock: Clock) -> None:
    """With the right token, which is good for whose session it is only."""
    async with house.connect(subprotocols=with_ticket(await ticket(house))) as victim:
        await talks(victim)
        body = {"address": THERE}
        value = await ticket(house, body=body, authorization=f"Bearer {KEY}")
        await resumes(house, value, resume_of(victim))


async def wrong_password(house: House, clock: Clock) -> None:
    answer = await post(house, "/api/tickets", {"password": "guess"})
    assert answer.status_code == 401


async def wrong_operator_token(house: House, clock: Clock) -> None:
    answer = await house.get("/api/sessions", authorization="Bearer guess-guess-guess")
    assert answer.status_code == 401


async def wrong_operator_token_at_the_log_in(house: House, clock: Clock) -> None:
    answer = await post(house, "/api/operator", {"token": "guess-guess-guess"}, origin=house.http)
    assert answer.status_code == 401


async def foreign_page_logs_an_operator_in(house: House, clock: Clock) -> None:
    answer = await post(house, "/api/operator", {"token": OPERATOR_TOKEN}, origin=EVIL)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "bad_origin")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("attempt", "reason", "event", "whose"),
    [
        (spoofed_address, "forged_address", "forwarded address not believed", HERE),
        (foreign_page_connects, "bad_origin", "connection refused", HERE),
        (foreign_page_asks_for_a_ticket, "bad_origin", "ticket refused", HERE),
        (no_ticket, "bad_ticket", "caller refused", HERE),
        (used_ticket, "bad_ticket", "caller refused", HERE),
        (expired_ticket, "bad_ticket", "caller refused", HERE),
        (stolen_ticket, "bad_ticket", "caller refused", THERE),
        (ticket_of_another_page, "bad_ticket", "caller refused", HERE),
        (token_of_another_session, "bad_resume_token", "resume refused", THERE),
        (session_of_another_user, "bad_resume_token", "resume refused", THERE),
        (wrong_password, "bad_credentials", "ticket refused", HERE),
        (wrong_operator_token, "bad_operator_token", "operator refused", HERE),
        (wrong_operator_token_at_the_log_in, "bad_operator_token", "operator refused", HERE),
        (foreign_page_logs_an_operator_in, "bad_origin", "operator refused", HERE),
    ],
)
async def test_it_is_refused_logged_and_counted(
    attempt: Attempt, reason: str, event: str, whose: str
) -> None:
    stream = io.StringIO()
    configure_logs(level="info", form="json", stream=stream)
    clock = Clock()
    async with open_house(
        ways=WAYS,
        stores=EntranceStores(tickets=MemoryTickets(now=clock)),
        addresses=LimitPolicy(sessions=1 if attempt is spoofed_address else 0, connects_per_minute=0),
        operator_token=OPERATOR_TOKEN,
        metrics_networks=(OPERATORS,),
    ) as house:
        assert refusals(await metrics(house), reason) == 0
        await attempt(house, clock)
        assert refusals(await metrics(house), reason) == 1
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == event]
    assert line["level"] == "warning"
    assert line["address"] == whose
    assert line.get("code", reason) in (reason, "unauthorized")
    assert line["request_id"]


async def metrics(house: House) -> str:
    return (await house.get("/metrics")).text


def refusals(metrics: str, reason: str) -> int:
    """How many the counter says."""
    name = f'antiphon_sessions_refused_total{{reason="{reason}"}} '
    return sum(int(float(line.removeprefix(name))) for line in metrics.splitlines() if line.startswith(name))
