"""Who is let in over a real socket, who is not, and that it is told, logged and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
import structlog
from tests.server.house import Caller, House, open_house
from tests.valkey_server import ValkeyServer
from websockets.exceptions import ConnectionClosed, InvalidStatus

from antiphon.conversation.events import Event
from antiphon.conversation.listening import SessionFacts
from antiphon.errors import RefusedError
from antiphon.server.credentials import ApiKeys, Identity, Password, Shown
from antiphon.server.entrance import EntranceStores
from antiphon.server.voice import VoiceLimits
from antiphon.sessions.address_limits import LimitPolicy
from antiphon.sessions.telling import LINES, LONGEST
from antiphon.sessions.tickets import ValkeyTickets
from antiphon.sessions.valkey_limits import ValkeyLimits
from antiphon.store.valkey import open_valkey

PASSWORD = "open sesame, please"
KEY = "key-of-the-shop-0123456789"
TOKEN = "operators only, thank you"
WAYS = (Password(PASSWORD), ApiKeys({"shop": KEY}))

pytestmark = pytest.mark.real_time


class Counting:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.callers: list[SessionFacts] = []
        self.endings: list[str] = []

    def opened(self, session: SessionFacts) -> None:
        self.callers.append(session)

    def told(self, session_id: str, event: Event) -> None:
        pass

    def closed(self, session_id: str, reason: str) -> None:
        self.endings.append(reason)

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)


@contextmanager
def counting(house: House) -> Iterator[Counting]:
    listener = Counting()
    with house.application.audience.joined(listener):
        yield listener


async def post(
    house: House, path: str, body: Any, *, source: str = "127.0.0.1", **headers: str
) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(local_address=source)
    async with httpx.AsyncClient(base_url=house.http, transport=transport) as client:
        return await client.post(
            path, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )


async def ticket(house: House, **more: Any) -> str:
    body = more.pop("body", {"password": PASSWORD})
    answer = await post(house, "/api/tickets", body, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told["subprotocol"] == f"ticket.{told['ticket']}"
    assert told["expires_in_ms"] == 30_000
    return str(told["ticket"])


def with_ticket(value: str) -> tuple[str, str]:
    return ("antiphon.v1", f"ticket.{value}")


async def talks(caller: Caller) -> None:
    await caller.says(type="start")
    await caller.until("session")


async def turned_away(caller: Caller, code: str, close_code: int) -> dict[str, Any]:
    """Told why, and closed."""
    closed = await caller.until_closed()
    assert closed == (close_code, code)
    assert caller.messages[-1]["code"] == code
    return caller.messages[-1]


# ---- tickets


async def test_a_ticket_lets_in_once_and_only_the_other_subprotocol_is_echoed() -> None:
    async with open_house(ways=WAYS) as house:
        with counting(house) as counts, structlog.testing.capture_logs() as logs:
            value = await ticket(house)
            async with house.connect(subprotocols=with_ticket(value)) as caller:
                assert caller.socket.subprotocol == "antiphon.v1"
                await talks(caller)
            async with house.connect(subprotocols=with_ticket(value)) as caller:
                await turned_away(caller, "bad_ticket", 1008)
        assert counts.refusals == ["bad_ticket"]
        assert any(line["event"] == "caller refused" and line["code"] == "bad_ticket" for line in logs)
        assert value not in repr(logs)
        assert PASSWORD not in repr(logs)


async def test_without_a_ticket_it_says_how_to_get_one() -> None:
    async with open_house(ways=WAYS) as house:
        async with house.connect() as caller:
            told = await turned_away(caller, "bad_ticket", 1008)
        assert "POST /api/tickets" in told["message"]
        assert told["retryable"] is False
        options = (await house.get("/api/options")).json()
        assert (options["ticket_required"], options["password"]) == (True, True)


async def test_a_ticket_is_its_address_s_and_its_page_s_own() -> None:
    async with open_house(ways=WAYS) as house:
        stolen = await ticket(house)
        async with house.connect(subprotocols=with_ticket(stolen), local_addr=("127.0.0.2", 0)) as caller:
            told = await turned_away(caller, "bad_ticket", 1008)
        assert "another address" in told["message"]
        page = await ticket(house, origin=house.http)
        async with house.connect(subprotocols=with_ticket(page)) as caller:
            await turned_away(caller, "bad_ticket", 1008)
        page = await ticket(house, origin=house.http)
        async with house.connect(subprotocols=with_ticket(page), origin=house.http) as caller:
            await talks(caller)


async def test_an_open_server_gives_tickets_too_and_holds_them_to_it() -> None:
    async with open_house() as house:
        assert (await house.get("/api/options")).json()["ticket_required"] is False
        value = await ticket(house, body={})
        async with house.connect(subprotocols=with_ticket(value)) as caller:
            await talks(caller)
        async with house.connect(subprotocols=with_ticket(value)) as caller:
            await turned_away(caller, "bad_ticket", 1008)


async def test_of_many_connections_with_one_ticket_one_is_let_in() -> None:
    async with open_house(ways=WAYS) as house:
        value = await ticket(house)

        async def attempt() -> str:
            async with house.connect(subprotocols=with_ticket(value)) as caller:
                with suppress(ConnectionClosed):  # whoever is turned away was told why before
                    await caller.says(type="start")
                return str((await caller.receives())["type"])

        kinds = await asyncio.gather(*(attempt() for _ in range(8)))
        assert sorted(kinds) == ["error"] * 7 + ["session"]


# ---- who may have one


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ({}, {}, 401, "unauthorized"),
        ({"password": "wrong"}, {}, 401, "unauthorized"),
        ({}, {"authorization": "Bearer wrong"}, 401, "unauthorized"),
        ({}, {"authorization": f"Basic {KEY}"}, 401, "unauthorized"),
        ({"password": PASSWORD}, {"origin": "https://evil.example.org"}, 403, "bad_origin"),
        ({"password": PASSWORD, "address": "any"}, {}, 400, "bad_request"),
        ({"password": 5}, {}, 400, "bad_request"),
        ({"passwort": PASSWORD}, {}, 400, "bad_request"),
        ([], {}, 400, "bad_request"),
    ],
)
async def test_who_has_nothing_to_show_gets_none(
    body: Any, headers: dict[str, str], status: int, code: str
) -> None:
    async with open_house(ways=WAYS) as house:
        answer = await post(house, "/api/tickets", body, **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert PASSWORD not in answer.text


async def test_guessing_is_slowed_down() -> None:
    async with open_house(ways=WAYS) as house:
        with counting(house) as counts:
            answers = [await post(house, "/api/tickets", {"password": f"guess {n}"}) for n in range(12)]
            right = await post(house, "/api/tickets", {"password": PASSWORD})
            neighbour = await post(house, "/api/tickets", {"password": PASSWORD}, source="127.0.0.2")
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert right.status_code == 429
    assert int(right.headers["retry-after"]) > 0
    assert neighbour.status_code == 200
    assert counts.refusals == ["bad_credentials"] * 10 + ["rate_limited"] * 3


@pytest.mark.parametrize(
    ("body", "headers"),
    [({}, {"authorization": f"Bearer {KEY}"}), ({"password": PASSWORD}, {})],
)
async def test_a_rush_of_right_ones_is_no_guessing(
    valkey: ValkeyServer, body: Any, headers: dict[str, str]
) -> None:
    """A backend's users all at once; a household after a break of its line."""
    async with replica(valkey) as here, replica(valkey) as there:
        answers = await asyncio.gather(
            *(post(house, "/api/tickets", body, **headers) for _ in range(20) for house in (here, there))
        )
    assert [answer.status_code for answer in answers] == [200] * 40


async def test_of_many_guesses_at_once_ten_are_answered(valkey: ValkeyServer) -> None:
    async with replica(valkey) as here, replica(valkey) as there:
        answers = await asyncio.gather(
            *(
                post(house, "/api/tickets", {"password": f"guess {n}"})
                for n in range(20)
                for house in (here, there)
            )
        )
        right = [await post(house, "/api/tickets", {"password": PASSWORD}) for house in (here, there)]
    assert sorted(answer.status_code for answer in answers) == [401] * 10 + [429] * 30
    assert [answer.status_code for answer in right] == [429, 429]


async def test_a_guesser_does_not_shut_out_the_backend_at_its_address() -> None:
    """A password can be guessed, so past the limit nobody is told whether one was right; a key cannot."""
    async with open_house(ways=WAYS) as house:
        for n in range(12):
            await post(house, "/api/tickets", {}, authorization=f"Bearer guess {n}")
        wrong = await post(house, "/api/tickets", {}, authorization="Bearer guess")
        right = await post(house, "/api/tickets", {}, authorization=f"Bearer {KEY}")
        password = await post(house, "/api/tickets", {"password": PASSWORD})
    assert [answer.status_code for answer in (wrong, right, password)] == [429, 200, 429]


async def test_a_provider_that_is_away_makes_nobody_a_guesser() -> None:
    class Away:
        asks_for = "a token"
        guessable = False

        async def identify(self, shown: Shown) -> Identity | None:
            raise RefusedError("the identity provider's keys cannot be had now", retry_after_s=15.0)

    async with open_house(ways=(Password(PASSWORD), Away())) as house:
        for n in range(12):
            answer = await post(house, "/api/tickets", {}, authorization=f"Bearer {n}.b.c")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
        assert (await post(house, "/api/tickets", {"password": PASSWORD})).status_code == 200


async def test_a_backend_asks_for_its_users_by_name_of_its_key() -> None:
    async with open_house(ways=WAYS) as house:
        bearer = {"authorization": f"Bearer {KEY}"}
        value = await ticket(house, body={"address": "127.0.0.2", "origin": house.http}, **bearer)
        with counting(house) as counts:
            async with house.connect(
                subprotocols=with_ticket(value), origin=house.http, local_addr=("127.0.0.2", 0)
            ) as caller:
                await talks(caller)
        assert [facts.caller_key for facts in counts.callers] == ["shop"]
        wrong = await post(house, "/api/tickets", {"address": "nowhere"}, **bearer)
        assert wrong.status_code == 400


# ---- where from


async def test_a_strangers_page_is_refused_logged_and_counted() -> None:
    async with open_house() as house:
        with counting(house) as counts, structlog.testing.capture_logs() as logs:
            with pytest.raises(InvalidStatus) as refused:
                async with house.connect(origin="https://evil.example.org"):
                    pass
    assert refused.value.response.status_code == 403
    assert counts.refusals == ["bad_origin"]
    assert any(line["event"] == "connection refused" and line["code"] == "bad_origin" for line in logs)


async def test_a_stranger_cannot_fill_the_log() -> None:
    """Neither with attempts, nor with a long one. All are counted."""
    async with open_house() as house:
        with counting(house) as counts, structlog.testing.capture_logs() as logs:
            for _ in range(30):
                with pytest.raises(InvalidStatus):
                    async with house.connect(origin="https://evil.example.org/" + "x" * 5000):
                        pass
    told = [line for line in logs if line["event"] == "connection refused"]
    assert len(told) == LINES.count
    assert max(len(line["origin"]) for line in told) <= LONGEST + 1
    assert counts.refusals == ["bad_origin"] * 30


@pytest.mark.parametrize(
    ("origin", "headers", "ways", "status"),
    [
        ("http://evil.example:8000", {}, (), 403),
        ("http://evil.example:8000", {}, WAYS, 101),
        ("http://nas.local:8000", {}, (), 101),
        ("http://192.168.1.5:8000", {}, (), 101),
        # As behind the proxy of deploy/: TLS, and a name of its own.
        ("https://talk.example.org", {"X-Forwarded-Proto": "https"}, (), 101),
        ("http://talk.example.org", {"X-Forwarded-Proto": "https"}, WAYS, 403),
    ],
)
async def test_a_strangers_name_for_this_server_is_not_its_own(
    origin: str, headers: dict[str, str], ways: Any, status: int
) -> None:
    """DNS rebinding: the name is the stranger's, the address ours. By TLS it would need our certificate."""
    host = origin.partition("://")[2]
    proxy = [ip_network("127.0.0.1/32")]
    async with open_house(ways=ways, loopback_only=False, trusted_proxies=proxy) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        lines = {
            "Host": host, "Origin": origin, "Connection": "Upgrade", "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "antiphon.v1", **headers,
        }  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"GET /ws/voice HTTP/1.1\r\n{head}\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.split()[1] == str(status).encode()
        if status == 403:
            assert b"ANTIPHON_ALLOWED_ORIGINS" in await reader.read(1000)
        writer.transport.abort()


@pytest.mark.parametrize(
    "origin",
    ["https://talk.example.org.evil.com", "http://talk.example.org", "https://talk.example.org:8443", "null"],
)
async def test_origins_are_matched_exactly(origin: str) -> None:
    async with open_house(allowed_origins=["https://talk.example.org"]) as house:
        with pytest.raises(InvalidStatus):
            async with house.connect(origin=origin):
                pass
        async with house.connect(origin="https://talk.example.org") as caller:
            await talks(caller)


async def test_an_allowed_page_elsewhere_may_ask_for_tickets_and_no_other() -> None:
    async with open_house(allowed_origins=["https://talk.example.org"], ways=WAYS) as house:
        for origin, allowed in [("https://talk.example.org", True), ("https://evil.example.org", False)]:
            async with httpx.AsyncClient(base_url=house.http) as client:
                asked = await client.options(
                    "/api/tickets",
                    headers={
                        "Origin": origin,
                        "Access-Control-Request-Method": "POST",
                        "Access-Control-Request-Headers": "authorization,content-type",
                    },
                )
            assert (asked.headers.get("access-control-allow-origin") == origin) is allowed
            assert "access-control-allow-credentials" not in asked.headers


async def test_a_forged_address_changes_nothing_and_is_logged_and_counted() -> None:
    limits = LimitPolicy(sessions=1, connects_per_minute=0)
    async with open_house(addresses=limits) as house:
        with counting(house) as counts, structlog.testing.capture_logs() as logs:
            async with house.connect() as first:
                await talks(first)
                async with house.connect(headers={"X-Forwarded-For": "203.0.113.9"}) as second:
                    await turned_away(second, "rate_limited", 1013)
        assert counts.refusals == ["forged_address", "rate_limited"]
        assert any(line["event"] == "forwarded address not believed" for line in logs)


async def test_a_proxy_of_ours_is_believed() -> None:
    limits = LimitPolicy(sessions=1, connects_per_minute=0)
    async with open_house(addresses=limits, trusted_proxies=[ip_network("127.0.0.1/32")]) as house:
        with counting(house) as counts:
            async with house.connect(headers={"X-Forwarded-For": "198.51.100.1"}) as first:
                await talks(first)
                async with house.connect(headers={"X-Forwarded-For": "198.51.100.2"}) as second:
                    await talks(second)
                lie = {"X-Forwarded-For": "198.51.100.9, 198.51.100.1"}
                async with house.connect(headers=lie) as third:
                    await turned_away(third, "rate_limited", 1013)
        assert counts.refusals == ["rate_limited"]


# ---- how much


async def test_an_address_has_so_many_conversations_and_gets_its_place_back() -> None:
    async with open_house(addresses=LimitPolicy(sessions=2, connects_per_minute=0)) as house:
        async with house.connect() as one, house.connect() as two:
            await talks(one)
            await talks(two)
            async with house.connect() as three:
                told = await turned_away(three, "rate_limited", 1013)
            assert told["retryable"] is True
            assert told["retry_after_ms"] > 0
            async with house.connect(local_addr=("127.0.0.2", 0)) as neighbour:
                await talks(neighbour)
            await two.says(type="bye")
            await two.until_closed()
            async with house.connect() as four:
                await talks(four)


async def test_an_address_connects_only_so_often() -> None:
    async with open_house(addresses=LimitPolicy(sessions=0, connects_per_minute=3)) as house:
        for _ in range(3):
            async with house.connect() as caller:
                await talks(caller)
        async with house.connect() as caller:
            await turned_away(caller, "rate_limited", 1013)


async def test_a_flood_of_messages_is_slowed_then_ended() -> None:
    async with open_house(limits=VoiceLimits(messages_per_s=10)) as house, house.call() as caller:
        for _ in range(200):
            await caller.says(type="ping")
        assert (await caller.until_closed())[0] == 1008
        errors = [message for message in caller.messages if message["type"] == "error"]
        assert {error["code"] for error in errors} == {"rate_limited"}
        assert errors[0]["retry_after_ms"] > 0


async def test_connections_of_one_address_share_its_pace() -> None:
    """None of them sends too much by itself; the neighbour is not held up."""
    addresses = LimitPolicy(sessions=0, connects_per_minute=0, messages_per_s=1)
    async with open_house(addresses=addresses) as house:
        async with (
            house.call() as one,
            house.call() as other,
            house.connect(local_addr=("127.0.0.2", 0)) as neighbour,
        ):
            await talks(neighbour)
            for caller in (one, neighbour):
                for _ in range(6):
                    await caller.says(type="ping")
                    await caller.until("pong")
                assert "error" not in caller.kinds()
            for _ in range(10):
                await other.says(type="ping")
            told = await other.until("error")
            assert (told["code"], told["retryable"]) == ("rate_limited", True)
            assert told["retry_after_ms"] > 0


async def test_a_conversation_ends_at_its_longest() -> None:
    async with open_house(limits=VoiceLimits(session_max_s=0.2)) as house:
        with counting(house) as counts:
            async with house.call() as caller:
                assert await caller.until_closed() == (1000, "ended")
                assert caller.messages[-1]["code"] == "ended"
            await asyncio.wait_for(house.application.registry.emptied(), 5)
        assert counts.endings == ["ended"]


# ---- several replicas


@asynccontextmanager
async def replica(server: ValkeyServer) -> AsyncIterator[House]:
    """One of those that share a store."""
    async with open_valkey(server.url) as valkey:
        stores = EntranceStores(tickets=ValkeyTickets(valkey), limits=ValkeyLimits(valkey))
        limits = LimitPolicy(sessions=2, connects_per_minute=0)
        async with open_house(ways=WAYS, stores=stores, addresses=limits) as house:
            yield house


async def test_a_ticket_of_one_replica_is_good_at_another_and_once(valkey: ValkeyServer) -> None:
    async with replica(valkey) as here, replica(valkey) as there:
        value = await ticket(here)
        async with there.connect(subprotocols=with_ticket(value)) as caller:
            await talks(caller)
        for house in (here, there):
            async with house.connect(subprotocols=with_ticket(value)) as caller:
                await turned_away(caller, "bad_ticket", 1008)


async def test_an_address_has_so_many_conversations_at_all_replicas_together(valkey: ValkeyServer) -> None:
    async with replica(valkey) as here, replica(valkey) as there:
        async with here.connect(subprotocols=with_ticket(await ticket(here))) as one:
            await talks(one)
            async with there.connect(subprotocols=with_ticket(await ticket(here))) as two:
                await talks(two)
                async with there.connect(subprotocols=with_ticket(await ticket(there))) as three:
                    await turned_away(three, "rate_limited", 1013)


async def test_guesses_are_counted_at_all_replicas_together(valkey: ValkeyServer) -> None:
    async with replica(valkey) as here, replica(valkey) as there:
        statuses = [
            (await post(house, "/api/tickets", {"password": f"guess {n}"})).status_code
            for n in range(6)
            for house in (here, there)
        ]
    assert statuses == [401] * 10 + [429] * 2


async def test_without_the_store_callers_are_still_let_in_and_held_to_their_limits(
    valkey: ValkeyServer,
) -> None:
    async with replica(valkey) as house:
        valkey.kill()
        async with house.connect(subprotocols=with_ticket(await ticket(house))) as one:
            await talks(one)
            async with house.connect(subprotocols=with_ticket(await ticket(house))) as two:
                await talks(two)
                async with house.connect(subprotocols=with_ticket(await ticket(house))) as three:
                    await turned_away(three, "rate_limited", 1013)


async def test_without_the_store_a_ticket_of_another_replica_is_no_reason_to_give_up(
    valkey: ValkeyServer,
) -> None:
    async with replica(valkey) as here, replica(valkey) as there:
        valkey.kill()
        value = await ticket(here)
        async with there.connect(subprotocols=with_ticket(value)) as caller:
            told = await turned_away(caller, "store_away", 1013)
        assert told["retry_after_ms"] > 0
        async with there.connect(subprotocols=with_ticket(await ticket(there))) as caller:
            await talks(caller)


# ---- operators


async def ask(house: House, method: str, path: str, token: str = TOKEN) -> httpx.Response:
    async with httpx.AsyncClient(base_url=house.http) as client:
        return await client.request(method, path, headers={"Authorization": f"Bearer {token}"})


async def test_operators_see_who_is_on_and_end_one() -> None:
    async with open_house(operator_token=TOKEN) as house, house.call() as caller, house.call() as other:
        answer = await ask(house, "GET", "/api/sessions")
        listed = answer.json()
        assert answer.headers["cache-control"] == "no-store"
        assert (listed["live"], listed["max_sessions"]) == (2, 10)
        row = listed["sessions"][0]
        full = caller.messages[0]["session_id"]
        assert full.startswith(row["id"])
        assert len(row["id"]) < len(full)
        assert full not in answer.text
        assert row["turns"] == 0
        assert row["cost_usd"] == 0
        ended = await ask(house, "DELETE", f"/api/sessions/{row['id']}")
        assert ended.status_code == 204
        assert await caller.until_closed() == (1000, "ended")
        assert "operator" in caller.messages[-1]["message"]
        await other.says(type="ping")
        await other.until("pong")
        again = await ask(house, "DELETE", f"/api/sessions/{row['id']}")
        assert (again.status_code, again.json()["error"]["code"]) == (404, "no_such_session")


async def test_counts_of_a_conversation_are_listed() -> None:
    async with open_house(operator_token=TOKEN) as house, house.call() as caller:
        await caller.speaks("What is the capital of France?")
        await caller.until("response_done")
        row = (await ask(house, "GET", "/api/sessions")).json()["sessions"][0]
    assert row["turns"] == 1
    assert row["replies"] == 1
    assert row["audio_in_s"] > 1
    assert row["audio_out_s"] > 0.05
    assert row["address"] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/api/sessions", "/api/sessions/abcdefgh"])
async def test_nobody_else_does(path: str) -> None:
    method = "GET" if path.endswith("s") else "DELETE"
    async with open_house(operator_token=TOKEN) as house:
        for token in ("wrong", TOKEN + "x", TOKEN[:-1]):
            assert (await ask(house, method, path, token)).status_code == 401
    async with open_house() as house:
        off = await ask(house, method, path)
        assert (off.status_code, off.json()["error"]["code"]) == (403, "operator_off")
        assert "ANTIPHON_OPERATOR_TOKEN" in off.text


async def test_operators_log_in_by_a_cookie() -> None:
    async with open_house(operator_token=TOKEN) as house:
        async with httpx.AsyncClient(base_url=house.http) as browser:
            assert (await browser.post("/api/operator", json={"token": "wrong"})).status_code == 401
            assert (await browser.post("/api/operator", json={"token": TOKEN})).status_code == 204
            assert (await browser.get("/api/sessions")).status_code == 200
            assert (await browser.delete("/api/sessions/abcdefgh")).status_code == 403
            own = {"Origin": house.http}
            assert (await browser.delete("/api/sessions/abcdefgh", headers=own)).status_code == 404
            assert (await browser.delete("/api/operator")).status_code == 204
            assert (await browser.get("/api/sessions")).status_code == 401
        foreign = await post(house, "/api/operator", {"token": TOKEN}, origin="https://evil.example.org")
        assert foreign.status_code == 403


# ---- the edge


async def test_tls_is_made_to_stay() -> None:
    async with open_house(trusted_proxies=[ip_network("127.0.0.1/32")]) as house:
        plain = await house.get("/")
        secure = await house.get("/", X_Forwarded_Proto="https")
    assert "strict-transport-security" not in plain.headers
    assert secure.headers["strict-transport-security"] == "max-age=31536000"
    for answer in (plain, secure):
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        assert answer.headers["permissions-policy"].startswith("microphone=(self)")


async def test_a_body_has_its_size() -> None:
    async with open_house() as house:
        answer = await post(house, "/api/tickets", {"password": "x" * 100_000})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
