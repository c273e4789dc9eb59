"""docs/protocol.md tells of every message, field, error and close code there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest

from antiphon import errors
from antiphon.protocol import client_messages as client
from antiphon.protocol import server_messages as server

PAGE = (Path(__file__).parents[2] / "docs/protocol.md").read_text(encoding="utf-8")
MESSAGES = (*get_args(client.ClientMessage), *get_args(server.ServerMessage))


def section(kind: str) -> str:
    """The part of the page about one message type."""
    found = re.search(rf"^### `{kind}`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/protocol.md has no section on {kind}"
    return found.group(1)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: str(message.TYPE))
def test_every_field_of_a_message_is_explained(
    message: type[client.ClientMessage | server.ServerMessage],
) -> None:
    text = section(message.TYPE)
    for field in dataclasses.fields(message):
        assert f"`{field.name}`" in text, f"{message.TYPE}.{field.name} is not explained"


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("start", client.Resume),
        ("session", server.Limits),
        ("response_done", server.Stage),
        ("response_done", server.Usage),
    ],
)
def test_every_part_of_a_message_is_explained(kind: str, part: type) -> None:
    for field in dataclasses.fields(part):
        assert f"`{field.name}`" in section(kind), f"{kind}: {field.name} is not explained"


def test_the_page_tells_of_no_message_that_there_is_not() -> None:
    told = re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)
    assert sorted(told) == sorted(message.TYPE for message in MESSAGES)


def test_every_error_is_explained() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, errors.AntiphonError)}
    assert {"busy", "bad_message", "internal"} <= codes
    for code in codes - {errors.SettingsError.code}:  # that one stops the start, before anyone can connect
        assert f"| `{code}` |" in PAGE


@pytest.mark.parametrize("code", [1000, 1007, 1008, 1009, 1011, 1012, 1013, 4000, 4001])
def test_every_close_code_is_explained(code: int) -> None:
    assert f"\n| {code} |" in PAGE
