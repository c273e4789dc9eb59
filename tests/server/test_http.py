"""The page and the small answers beside it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from tests.server.house import open_house, scripted_assistant, with_defaults
from websockets.exceptions import InvalidStatus

from antiphon.errors import SettingsError
from antiphon.providers.health import ProviderState
from antiphon.server.page import CONTENT_TYPES, read_page
from antiphon.sessions.readiness import Readiness

pytestmark = pytest.mark.real_time


async def test_the_page_is_served_with_its_type_and_headers() -> None:
    async with open_house() as house:
        answer = await house.get("/")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.content == (files("antiphon") / "web" / "index.html").read_bytes()
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["permissions-policy"].startswith("microphone=(self)")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_file_of_the_page_is_served_and_asked_for_again_by_tag() -> None:
    async with open_house() as house:
        assets = read_page()
        assert {".html", ".js", ".css"} <= {"." + path.rpartition(".")[2] for path in assets}
        for path, asset in assets.items():
            answer = await house.get(f"/assets/{path}")
            assert (answer.status_code, answer.content) == (200, asset.content)
            assert answer.headers["content-type"] == CONTENT_TYPES["." + path.rpartition(".")[2]]
            again = await house.get(f"/assets/{path}", If_None_Match=answer.headers["etag"])
            assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/nope.js",
        "/assets/../settings/sources.py",
        "/assets/%2e%2e/errors.py",
        "/assets/types.d.ts",
        "/docs",
    ],
)
async def test_nothing_else_is_served(path: str) -> None:
    """Asked for as it stands here: clients take the dots out."""
    async with open_house() as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 ")
        assert b"content-security-policy" in head
        writer.close()


async def test_a_page_of_ones_own_takes_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>Mine</p>")
    async with open_house(page=tmp_path) as house:
        assert (await house.get("/")).text == "<p>Mine</p>"
        assert (await house.get("/assets/app.js")).status_code == 200
    with pytest.raises(SettingsError, match="cannot be read"):
        read_page(tmp_path / "nowhere")


@pytest.mark.parametrize(("asked", "status"), [("status", 503), ("404", 404)])
async def test_a_full_server_refuses_a_call_as_the_proxy_in_front_asks(asked: str, status: int) -> None:
    async with open_house(max_sessions=1) as house, house.call():
        with pytest.raises(InvalidStatus, match=str(status)):
            async with house.connect(headers={"X-Antiphon-Refuse": asked}):
                pass


async def test_the_page_has_nothing_inline() -> None:
    """What the content policy forbids must not be there."""
    page = (files("antiphon") / "web" / "index.html").read_text(encoding="utf-8")
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    scripts = re.findall(r"<script[^>]*>", page)
    assert scripts
    assert all(' src="' in script for script in scripts)


async def test_health_and_readiness() -> None:
    async with open_house() as house:
        assert (await house.get("/health")).json() == {"status": "ok"}
        ready = await house.get("/ready")
        assert (ready.status_code, ready.headers["cache-control"]) == (200, "no-store")
        assert ready.json() == {
            "ready": True, "draining": False, "models": [], "degraded": [], "error": None,
            "sessions": 0, "max_sessions": 10,
        }  # fmt: skip


async def test_providers_that_rest_are_told_of_without_what_they_said() -> None:
    states = (
        ProviderState(
            kind="llm", provider="openai:gpt-4o-mini", position=0, breaker="open", last_error="401"
        ),
        ProviderState(kind="llm", provider="local:smollm2-135m", position=1),
    )
    async with open_house(assistant=replace(scripted_assistant(), health=lambda: states)) as house:
        ready = (await house.get("/ready")).json()
        assert ready["ready"]
        assert ready["degraded"] == [{"kind": "llm", "provider": "openai:gpt-4o-mini", "breaker": "open"}]


async def test_the_options_tell_what_can_be_chosen() -> None:
    assistant = with_defaults(scripted_assistant(), language="fr", speed=1.5)
    async with open_house(assistant=assistant) as house:
        options = (await house.get("/api/options")).json()
        assert options["voices"] == [{"id": "scripted", "name": "Scripted", "language": "en"}]
        assert options["default_voice"] == "scripted"
        assert options["languages"] == ["auto", "en", "fr"]
        assert (options["default_language"], options["default_speed"]) == ("fr", 1.5)
        assert options["modes"] == ["open_mic", "push_to_talk"]
        assert options["ticket_required"] is False
        assert options["instructions_max"] == 2000
        assert options["limits"]["max_message_bytes"] == 65_536


async def test_a_fault_in_the_loading_is_told_and_the_server_stays() -> None:
    async def load(_: Readiness) -> None:
        raise ZeroDivisionError("a bug of ours")

    async with open_house(loading=load) as house:
        answer = await house.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "internal"
        # Whose fault it is, is not known here: neither the bug's words nor the models' name.
        assert answer.json()["error"]["message"] == "the server could not be made ready; its log says why"
        assert (await house.get("/")).status_code == 200
