"""Alerts: to the log, and to a webhook that may be down, slow or wrong."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from tests.usage.till import NOON, open_till, words

from antiphon.usage.alerts import Alert, Alerts, ledger_alert, threshold_alert
from antiphon.usage.books import Crossed
from antiphon.usage.budgets import Limits
from antiphon.usage.sqlite_books import SqliteBooks
from antiphon.usage.webhook import SIGNATURE, WAITING, Form, Webhook

Answer = Callable[[httpx2.Request], httpx2.Response]
URL = "https://hooks.example.org/secret-path"


class Receiver(httpx2.AsyncBaseTransport):
    """The other side: answers as the test says, and keeps what came."""

    def __init__(self, answer: Answer = lambda _: httpx2.Response(204)) -> None:
        self.answer = answer
        self.requests: list[httpx2.Request] = []
        self.taken: list[dict[str, object]] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        response = self.answer(request)
        if response.is_success:
            self.taken.append(json.loads(request.content))
        return response


@asynccontextmanager
async def webhook(receiver: Receiver, *, secret: str = "", form: Form = "generic") -> AsyncIterator[Webhook]:
    async with httpx2.AsyncClient(transport=receiver) as client:
        hook = Webhook(URL, client=client, wall=lambda: NOON, secret=secret, form=form)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(hook.run())
            yield hook
            running.cancel()


def alert(name: str = "x") -> Alert:
    return Alert(
        kind="budget", severity="warning", message="half is spent", name=name, details={"threshold": 50}
    )


async def test_an_alert_is_posted_and_signed() -> None:
    receiver = Receiver()
    async with webhook(receiver, secret="s3cret") as hook:
        hook.give(alert())
        await asyncio.sleep(0.1)
    (request,) = receiver.requests
    assert receiver.taken[0]["message"] == "half is spent"
    assert receiver.taken[0]["details"] == {"threshold": 50}
    at, _, given = request.headers[SIGNATURE].partition(",v1=")
    assert at == f"t={int(NOON)}"
    expected = hmac.new(b"s3cret", f"{int(NOON)}.".encode() + request.content, hashlib.sha256)
    assert given == expected.hexdigest()


async def test_slack_gets_what_slack_takes() -> None:
    receiver = Receiver()
    async with webhook(receiver, form="slack") as hook:
        hook.give(alert())
        await asyncio.sleep(0.1)
    assert receiver.taken == [{"text": ":warning: *Antiphon*: half is spent"}]
    assert SIGNATURE not in receiver.requests[0].headers


async def test_a_webhook_that_is_down_gets_its_alerts_when_it_is_back() -> None:
    def down(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("nobody listens", request=request)

    receiver = Receiver(down)
    async with webhook(receiver) as hook:
        hook.give(alert("first"))
        hook.give(alert("second"))
        await asyncio.sleep(20)
        assert len(receiver.requests) > 3
        assert hook.waiting == 2
        receiver.answer = lambda _: httpx2.Response(200)
        await asyncio.sleep(300)
        assert [taken["name"] for taken in receiver.taken] == ["first", "second"]
        assert (hook.waiting, hook.failed) == (0, 0)


async def test_what_may_pass_is_tried_again_and_what_will_not_is_given_up() -> None:
    answers = iter([503, 429, 200, 404])
    receiver = Receiver(lambda _: httpx2.Response(next(answers)))
    async with webhook(receiver) as hook:
        hook.give(alert("first"))
        hook.give(alert("second"))
        await asyncio.sleep(600)
        assert [taken["name"] for taken in receiver.taken] == ["first"]
        assert (len(receiver.requests), hook.failed) == (4, 1)


@pytest.mark.parametrize("meets", [OverflowError("port"), httpx2.InvalidURL("host"), RuntimeError("closed")])
async def test_whatever_an_alert_meets_with_the_next_one_is_sent(meets: Exception) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if b"first" in request.content:
            raise meets
        return httpx2.Response(204)

    receiver = Receiver(answer)
    async with webhook(receiver) as hook:
        hook.give(alert("first"))
        hook.give(alert("second"))
        await hook.all_sent()
        assert [taken["name"] for taken in receiver.taken] == ["second"]
        assert (hook.waiting, hook.failed) == (0, 1)


async def test_a_webhook_that_stays_down_is_given_up_in_the_end_and_memory_is_bounded() -> None:
    receiver = Receiver(lambda _: httpx2.Response(500))
    async with webhook(receiver) as hook:
        for n in range(WAITING + 5):
            hook.give(alert(f"{n}"))
        assert hook.failed == 5
        await asyncio.sleep(1_800)
        assert hook.failed > 5
        assert hook.waiting < WAITING


async def test_turns_do_not_wait_for_a_webhook(tmp_path: Path) -> None:
    async def never(_: httpx2.Request) -> httpx2.Response:
        raise AssertionError("not reached")

    class Stuck(Receiver):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await asyncio.sleep(1_000)
            return await never(request)

    books = SqliteBooks(tmp_path)
    async with webhook(Stuck()) as hook, open_till(books, limits=Limits(day=1_000), past="warn") as till:
        till.keeper.alert = Alerts(hook, steady=lambda: till.clock.steady)
        began = asyncio.get_running_loop().time()
        for n in range(100):
            await till.allowance.reserve(session_id="s1", turn_id=f"t{n}")
            till.calls("s1", words(10))
            till.allowance.settle(session_id="s1", turn_id=f"t{n}")
        assert asyncio.get_running_loop().time() == began
        await till.keeper.written()
        assert hook.waiting == 3
    books.close()


async def test_the_same_trouble_is_not_told_all_the_time() -> None:
    class Kept(list[Alert]):
        def give(self, alert: Alert) -> None:
            self.append(alert)

    now, kept = [0.0], Kept()
    alerts = Alerts(kept, steady=lambda: now[0])
    for now[0] in (0.0, 10.0, 3_599.0, 3_600.0):
        alerts(alert("same"))
    alerts(alert("other"))
    assert [each.name for each in kept] == ["same", "same", "other"]


def test_what_a_threshold_says() -> None:
    crossed = Crossed(account="day 2026-11-23", threshold=100, spent=5_010_000, limit=5_000_000)
    assert threshold_alert(crossed, past="degrade").message == (
        "Today's budget (2026-11-23) is 100 % spent: $5.01 of $5.00; replies go on with the cheaper models "
        "until midnight."
    )


def test_a_conversations_budget_and_a_keys_end_nothing_else() -> None:
    spent = Crossed(account="session k3f9", threshold=100, spent=60_000, limit=50_000)
    assert threshold_alert(spent, past="stop").message == (
        "The budget of one conversation (k3f9) is 100 % spent: $0.0600 of $0.0500; "
        "this conversation ends; others, and new callers, are not touched."
    )
    half = replace(spent, threshold=50, spent=26_000)
    assert threshold_alert(half, past="stop").message == (
        "The budget of one conversation (k3f9) is 50 % spent: $0.0260 of $0.0500."
    )
    key = replace(spent, account="key 2026-11-23 the shop", spent=2_000_000, limit=2_000_000)
    assert threshold_alert(key, past="degrade").message == (
        "Today's budget of the API key the shop is 100 % spent: $2.00 of $2.00; "
        "who calls with this key is answered by the cheaper models until midnight."
    )


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("the disk is full", "the disk is full. Calls go on"),
        ("it cannot be reached; is it running?", "it cannot be reached; is it running? Calls go on"),
        ("Give it some room.", "Give it some room. Calls go on"),
    ],
)
def test_a_problem_with_a_mark_at_its_end_gets_no_other(problem: str, said: str) -> None:
    assert ledger_alert(problem).message.startswith(said)
