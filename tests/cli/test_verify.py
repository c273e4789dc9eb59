"""``antiphon verify`` before deployments that are sound, and before those that are broken in one place: it must fail
there, and say how to mend it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.authority import Authority, Pair, self_signed
from tests.cli.front import Answer, Front, open_front
from tests.server.house import House, open_house, scripted_assistant
from tests.valkey_server import ValkeyServer

from antiphon.audio.sample import QUESTION
from antiphon.cli.deployment import Address, address, way_findings
from antiphon.cli.deployment_call import Trial, call_findings
from antiphon.cli.deployment_page import page_findings
from antiphon.cli.finding import Finding
from antiphon.providers.scripted import ScriptedRecognizer
from antiphon.server.voice import VoiceLimits
from antiphon.sessions.offer import Assistant
from antiphon.sessions.registry import Backing
from antiphon.sessions.valkey_store import ValkeyStore
from antiphon.store.valkey import connect_valkey

pytestmark = pytest.mark.real_time

HERE = (ip_network("127.0.0.0/8"),)
TOKEN = "for operators only"
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html"}


@dataclass(frozen=True)
class Deployment:
    """A server, a front with TLS, and one without that leads to it."""

    house: House
    front: Front
    plain: Front
    ca: str

    @property
    def at(self) -> Address:
        return address(self.front.url, ca=self.ca)

    async def way(self) -> dict[str, Finding]:
        return {found.about: found async for found in way_findings(self.at, http_port=self.plain.port)}

    async def page(self) -> dict[str, Finding]:
        return {found.about: found async for found in page_findings(self.at)}

    async def call(self, *, speak: bool = False) -> dict[str, Finding]:
        trial = Trial(at=self.at, speak=speak)
        return {found.about: found async for found, _ in call_findings(trial)}


AUTHORITY = Authority()


def hearing() -> Assistant:
    """One that understands a person who asks ``QUESTION``, which is not in the scripted providers' code."""
    deaf = scripted_assistant()
    recognizer = ScriptedRecognizer(latency_s=0.0, fallback=QUESTION)
    return replace(deaf, providers=replace(deaf.providers, recognizer=recognizer))


@asynccontextmanager
async def deployed(
    folder: Path, pair: Pair | None = None, *, http2: bool = True, **house: Any
) -> AsyncIterator[Deployment]:
    """Sound, unless the certificate is not."""
    ca = folder / "ca.pem"
    ca.write_bytes(AUTHORITY.certificate)
    async with open_house(assistant=hearing(), operator_token=TOKEN, **house) as opened:
        pair = pair or AUTHORITY.issue("localhost")
        async with (
            open_front(opened.port, pair, folder, http2=http2) as front,
            open_front(opened.port, None, folder) as plain,
        ):
            front.answers["/operator"] = (403, {}, "")
            plain.answers["/"] = (308, {"location": front.url + "/"}, "")
            yield Deployment(opened, front, plain, str(ca))


def fails(found: Finding, text: str, advice: str) -> None:
    """It is broken, and told how to mend it."""
    assert found.level == "fail", found
    assert text in found.text
    assert advice in found.advice


async def verify(*arguments: str) -> tuple[int | None, str]:
    """The command itself: its exit status, and what it printed."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "antiphon", "verify", *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await running.communicate()
    return running.returncode, said.decode()


# ---- sound


async def test_a_server_on_this_machine_is_told_as_it_is() -> None:
    async with open_house(operator_token=TOKEN, metrics_networks=HERE) as house:
        at = address(house.http)
        assert [found.level async for found in way_findings(at)] == ["ok", "ok"]
        found = {finding.about: finding async for finding in page_findings(at)}
    assert {about for about, finding in found.items() if finding.level == "fail"} == set()
    # Read by this machine, as the settings have it: no door that strangers find open.
    assert "open to this machine" in found["operators"].text
    assert "HSTS" not in found["headers"].text


async def test_a_sound_deployment_is_walked_to_its_end(tmp_path: Path) -> None:
    async with deployed(tmp_path) as sound:
        status, said = await verify(
            sound.front.url, "--ca", sound.ca, "--http-port", str(sound.plain.port), "--json"
        )
    told = [json.loads(line) for line in said.splitlines()]
    assert {finding["level"] for finding in told} == {"ok"}, said
    assert [finding["about"] for finding in told] == [
        "name", "port", "certificate", "HTTP/2", "redirect", "page", "headers", "ready", "operators", "origins",
        "WebSocket", "spoken turn", "resume",
    ]  # fmt: skip
    assert status == 0


async def test_a_broken_link_ends_it_with_1_and_advice(tmp_path: Path) -> None:
    async with deployed(tmp_path) as broken:
        broken.front.answers["/metrics"] = (200, {}, "antiphon_sessions 0")
        status, said = await verify(broken.front.url, "--ca", broken.ca, "--no-turn")
    assert status == 1
    assert "✗ operators" in said
    assert "→ Set ANTIPHON_OPERATOR_TOKEN" in said
    assert "1 broken link." in said


# ---- the way there


async def test_a_name_that_leads_nowhere() -> None:
    [found] = [each async for each in way_findings(address("https://nowhere.invalid"))]
    fails(found, "nowhere.invalid leads nowhere", "Make an A record")


async def test_a_port_that_nobody_listens_on(tmp_path: Path) -> None:
    async with deployed(tmp_path) as gone:
        at = gone.at
    *_, found = [each async for each in way_findings(at)]
    assert found.about == "port"
    fails(found, "refused", "Is nginx running")


@pytest.mark.parametrize(
    ("pair", "text", "advice"),
    [
        (AUTHORITY.issue("localhost", days=-3), "it ended on", "Renew it"),
        (AUTHORITY.issue("other.example"), "Hostname mismatch", "must name this domain"),
        (self_signed("localhost"), "self-signed", "compose.tls.yaml"),
        (Authority("Another").issue("localhost"), "unable to get local issuer", "its chain"),
    ],
    ids=["ended", "another name", "self-signed", "unknown authority"],
)
async def test_a_certificate_that_browsers_refuse(tmp_path: Path, pair: Pair, text: str, advice: str) -> None:
    async with deployed(tmp_path, pair) as broken:
        found = await broken.way()
        assert list(found)[-1] == "certificate"
        fails(found["certificate"], text, advice)
        # For those who know of it, the rest is looked at, too.
        lenient = address(broken.front.url, insecure=True)
        levels = {each.about: each.level async for each in way_findings(lenient)}
        assert levels["certificate"] == "note"
        assert "redirect" in levels
        assert {each.level async for each in page_findings(lenient)} == {"ok"}


async def test_a_certificate_that_should_have_been_renewed_is_told_of(tmp_path: Path) -> None:
    async with deployed(tmp_path, AUTHORITY.issue("localhost", days=5)) as late:
        found = (await late.way())["certificate"]
    assert found.level == "note"
    assert "logs certbot" in found.advice


async def test_no_tls_where_it_should_be(tmp_path: Path) -> None:
    async with deployed(tmp_path) as mixed_up:
        at = address(f"https://localhost:{mixed_up.house.port}")
        *_, found = [each async for each in way_findings(at)]
    assert found.about == "certificate"
    fails(found, "no TLS on port", "Is it the https port?")


async def test_http2_is_seen_and_missing_is_no_failure(tmp_path: Path) -> None:
    async with deployed(tmp_path) as new, deployed(tmp_path, http2=False) as old:
        assert (await new.way())["HTTP/2"].level == "ok"
        found = (await old.way())["HTTP/2"]
    assert found.level == "note"
    assert "http2 on;" in found.advice


@pytest.mark.parametrize(
    ("location", "text", "advice"),
    [
        ("", "answers 200 without leading to https", "only redirect"),
        ("http://localhost/again", "answers 308 without leading to https", "only redirect"),
        (
            "https://parked.example/",
            "leads to https://parked.example/, not to",
            "the name that was asked for",
        ),
        ("https://localhost/", "leads to https://localhost/, not to", "HTTPS_PORT"),
    ],
    ids=["none", "to http", "to another host", "to another port"],
)
async def test_a_redirect_that_leads_astray(tmp_path: Path, location: str, text: str, advice: str) -> None:
    async with deployed(tmp_path) as broken:
        broken.plain.answers["/"] = (308, {"location": location}, "") if location else (200, HTML, "hello")
        fails((await broken.way())["redirect"], text, advice)


async def test_without_port_80_it_is_told_that_something_is_missing(tmp_path: Path) -> None:
    async with deployed(tmp_path) as broken:
        # Nothing listens on a port below those that anybody gets.
        levels = [each async for each in way_findings(broken.at, http_port=1)]
    assert (levels[-1].about, levels[-1].level) == ("redirect", "note")
    assert "Publish port 80" in levels[-1].advice


# ---- the page


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Security-Policy", ""),
        ("Content-Security-Policy", "default-src *"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors *"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; script-src 'unsafe-inline'"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; script-src 'unsafe-eval'"),
        ("Permissions-Policy", ""),
        ("Permissions-Policy", "microphone=()"),
        ("X-Content-Type-Options", ""),
        ("Referrer-Policy", "unsafe-url"),
        ("Strict-Transport-Security", ""),
        ("Strict-Transport-Security", "max-age=0"),
    ],
)
async def test_headers_that_are_missing_or_weak(tmp_path: Path, header: str, value: str) -> None:
    async with deployed(tmp_path) as broken:
        broken.front.headers[header] = value
        found = (await broken.page())["headers"]
    fails(found, f"missing or too weak: {header}", "deploy/nginx/ passes them on")


@pytest.mark.parametrize("path", ["/metrics", "/api/sessions", "/api/operator/now", "/operator"])
async def test_doors_that_are_open_to_the_world(tmp_path: Path, path: str) -> None:
    async with deployed(tmp_path) as broken:
        broken.front.answers[path] = (200, JSON, "{}")
        fails((await broken.page())["operators"], f"open to everybody: {path} (200)", "OPERATOR_NETWORK")


@pytest.mark.parametrize("status", [302, 403, 502])
async def test_what_leads_elsewhere_or_fails_is_not_open(tmp_path: Path, status: int) -> None:
    async with deployed(tmp_path) as closed:
        closed.front.answers["/metrics"] = (status, {"location": "https://login.example/"}, "")
        assert (await closed.page())["operators"].level == "ok"


async def test_an_operator_page_that_everybody_can_see_is_told_of(tmp_path: Path) -> None:
    async with deployed(tmp_path) as shown:
        del shown.front.answers["/operator"]
        found = (await shown.page())["operators"]
    assert found.level == "note"
    assert "OPERATOR_NETWORK" in found.advice


@pytest.mark.parametrize(
    ("path", "answer", "about", "text", "advice"),
    [
        ("/", (502, HTML, "Bad Gateway"), "page", "/ answers 502", "the assistant is not running"),
        ("/ready", (404, HTML, "nothing"), "ready", "answers 404", "logs assistant"),
        ("/ready", (503, JSON, '{"ready": false, "draining": true}'), "ready", "about to stop", "log"),
    ],
)
async def test_an_assistant_that_takes_no_calls(
    tmp_path: Path, path: str, answer: Answer, about: str, text: str, advice: str
) -> None:
    async with deployed(tmp_path) as broken:
        broken.front.answers[path] = answer
        fails((await broken.page())[about], text, advice)


# ---- a call


async def test_a_proxy_that_does_not_pass_the_upgrade_on(tmp_path: Path) -> None:
    async with deployed(tmp_path) as broken:
        broken.front.request_headers |= {"upgrade": "", "connection": "close"}
        found = await broken.call()
    assert list(found)[-1] == "WebSocket"
    fails(found["WebSocket"], "HTTP 4", "Upgrade and Connection")


async def test_another_site_at_the_websockets_place(tmp_path: Path) -> None:
    async with deployed(tmp_path) as broken:
        broken.front.answers["/ws/voice"] = (200, HTML, "<p>Hello</p>")
        found = await broken.call()
    fails(found["WebSocket"], "HTTP 200", "Upgrade and Connection")
    assert found["origins"].level == "note"
    assert found["origins"].advice


async def test_pages_of_other_sites_that_get_in(tmp_path: Path) -> None:
    async with deployed(tmp_path) as broken:
        broken.front.request_headers["origin"] = ""
        fails((await broken.call())["origins"], "may connect", "ANTIPHON_ALLOWED_ORIGINS")


async def test_an_origin_of_its_own_that_is_not_allowed(tmp_path: Path) -> None:
    async with deployed(tmp_path, allowed_origins=("https://talk.example.org",)) as broken:
        fails((await broken.call())["WebSocket"], "HTTP 403", "ANTIPHON_ALLOWED_ORIGINS")


async def test_a_lost_connection_that_is_refused(tmp_path: Path) -> None:
    async with deployed(tmp_path) as broken:
        broken.front.calls = 2  # the stranger's, and the first of ours
        found = (await broken.call(speak=True))["resume"]
    fails(found, "the second connection was refused", "docker compose ps")


async def test_a_lost_conversation_that_begins_anew(tmp_path: Path) -> None:
    """Two replicas that share nothing."""
    async with deployed(tmp_path) as broken, open_house(assistant=hearing()) as other:
        found = {}
        async for each, _ in call_findings(Trial(at=broken.at)):
            found[each.about] = each
            if each.about == "spoken turn":
                broken.front.upstream = other.port
    fails(found["resume"], "began anew", "ANTIPHON_STORE")


async def test_a_server_that_waits_for_nobody(tmp_path: Path) -> None:
    async with deployed(tmp_path, limits=VoiceLimits(resume_grace_s=0.0)) as single:
        found = (await single.call(speak=True))["resume"]
    assert found.level == "note"
    assert "ANTIPHON_RESUME_GRACE_S" in found.advice


# ---- a deploy, watched


@asynccontextmanager
async def replica(server: ValkeyServer, name: str) -> AsyncIterator[House]:
    valkey = connect_valkey(server.url, timeout_s=1.0)
    store = ValkeyStore(valkey, replica=name, lease_s=1.0, keep_s=60.0)
    backing = Backing(store=store, lease_s=1.0, watched=valkey.watched)
    async with open_house(assistant=hearing(), backing=backing) as house:
        yield house


async def watched(at: Address, front: Front, leaving: House, staying: House) -> Finding:
    """What is told of a call while one replica leaves; from then on the front leads to the other."""
    found = None
    async for found, _ in call_findings(Trial(at=at, watch_s=1.0)):
        if found.about == "resume":
            front.upstream = staying.port
            leaving.server.stop()
    assert found is not None
    assert found.about == "deploy"
    return found


async def test_a_call_is_watched_while_its_replica_leaves(tmp_path: Path, valkey: ValkeyServer) -> None:
    async with (
        replica(valkey, "one") as one,
        replica(valkey, "two") as two,
        open_front(one.port, None, tmp_path) as front,
    ):
        found = await watched(address(front.url), front, one, two)
    assert found.level == "ok", found
    assert found.text.startswith("1 move in 1 s; longest gap 0.")
    assert "was told before" in found.text


async def test_a_call_that_nobody_takes_up_is_told_of(tmp_path: Path) -> None:
    async with (
        open_house(assistant=hearing()) as one,
        open_house(assistant=hearing()) as two,
        open_front(one.port, None, tmp_path) as front,
    ):
        found = await watched(address(front.url), front, one, two)
    fails(found, "the call was lost (1012", "./rolling-update")


async def test_a_quiet_hour_has_no_moves(tmp_path: Path) -> None:
    async with open_house(assistant=hearing()) as one:
        *_, (found, _) = [each async for each in call_findings(Trial(at=address(one.http), watch_s=0.1))]
    assert (found.about, found.level, found.text) == ("deploy", "ok", "0 moves in 0 s; longest gap 0.0 s")
