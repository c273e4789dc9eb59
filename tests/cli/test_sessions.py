"""``antiphon sessions`` and ``antiphon key``, and calls to servers that want to know who calls."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.server.house import House, open_house

from antiphon.cli import main
from antiphon.server.credentials import ApiKeys, Password
from antiphon.settings.access import read_api_keys

TOKEN = "operators only, thank you"
KEY = "key-of-the-shop-0123456789"
WAYS = (Password("open sesame, please"), ApiKeys({"shop": KEY}))


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner(env={"ANTIPHON_OPERATOR_TOKEN": "", "COLUMNS": "100", **environ}).invoke(main, arguments)


async def sessions(house: House, *arguments: str, token: str = TOKEN) -> Result:
    command = ("sessions", "--url", house.http, *arguments)
    return await asyncio.to_thread(run, *command, ANTIPHON_OPERATOR_TOKEN=token)


@pytest.mark.real_time
async def test_who_is_on() -> None:
    async with open_house(operator_token=TOKEN) as house, house.call() as caller:
        shown = await sessions(house)
        assert shown.exit_code == 0, shown.output
        assert f"1 of 10 conversations at {house.http}" in shown.output
        told: dict[str, Any] = json.loads((await sessions(house, "--json")).output.splitlines()[-1])
        (row,) = told["sessions"]
        assert row["id"] in shown.output
        assert "$0.0000" in shown.output
        ended = await sessions(house, "--end", row["id"])
        assert ended.exit_code == 0
        assert await caller.until_closed() == (1000, "ended")
        again = await sessions(house, "--end", row["id"])
        assert again.exit_code == 1
        assert "no such session" in again.output


@pytest.mark.real_time
async def test_why_not() -> None:
    async with open_house(operator_token=TOKEN) as house:
        assert "not the operator token" in (await sessions(house, token="x" * 20)).output
        assert "ANTIPHON_OPERATOR_TOKEN is not set" in (await sessions(house, token="")).output
        nowhere = await asyncio.to_thread(
            run, "sessions", "--url", "http://127.0.0.1:1", ANTIPHON_OPERATOR_TOKEN=TOKEN
        )
        assert "Is the server running there?" in nowhere.output


def test_a_key_and_its_hash_belong_together() -> None:
    made = run("key", "shop")
    assert made.exit_code == 0
    value = re.search(r"^  (\S{40,})$", made.output, re.MULTILINE)
    setting = re.search(r"ANTIPHON_API_KEYS=(\S+)", made.output)
    assert value is not None
    assert setting is not None
    assert read_api_keys(setting.group(1)) == {
        "shop": "sha256:" + hashlib.sha256(value.group(1).encode()).hexdigest()
    }
    assert run("key", "no/slash").exit_code == 2


@pytest.mark.real_time
@pytest.mark.parametrize(
    "shown", [("--password", "open sesame, please"), ("--api-key", KEY)], ids=["password", "key"]
)
async def test_calls_show_what_they_have(shown: tuple[str, str]) -> None:
    async with open_house(ways=WAYS) as house:
        command = ("call", "--url", house.http, "--text", "Hello there", "--json")
        good = await asyncio.to_thread(run, *command, *shown)
        assert good.exit_code == 0, good.output
        bad = await asyncio.to_thread(run, *command, shown[0], "something else entirely")
        assert bad.exit_code == 1
        assert "--password or --api-key" in bad.output
        none = await asyncio.to_thread(run, *command)
        assert none.exit_code == 1
