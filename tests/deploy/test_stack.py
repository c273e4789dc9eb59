"""One assistant behind nginx and TLS, from the project's own compose files."""

from __future__ import annotations

import json
import socket
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.deploy.docker import Stack, inside, log_has, logs, stack, state
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

OPERATOR = "only a test of operators"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Up once for all tests here."""
    with stack(
        tmp_path_factory.mktemp("stack"), up=False, ANTIPHON_OPERATOR_TOKEN_FILE="/run/secrets/operator_token"
    ) as made:
        made.write_secret("operator_token", OPERATOR)
        made.compose("up", "--detach", "--wait")
        yield made


def client(made: Stack) -> httpx2.Client:
    return httpx2.Client(base_url=made.url, verify=False, timeout=10)


def test_the_whole_chain_works_for_a_user(deployed: Stack) -> None:
    findings = [json.loads(line) for line in deployed.verify("--json").stdout.splitlines()]
    told = {finding["about"]: finding["level"] for finding in findings}
    assert "fail" not in told.values()
    assert told["spoken turn"] == "ok"
    assert told["redirect"] == "ok"
    assert told["operators"] == "ok"
    assert told["resume"] == "ok"


@pytest.mark.parametrize("service", ["assistant", "nginx", "certificate"])
def test_containers_are_confined(deployed: Stack, service: str) -> None:
    [name] = deployed.containers(service)
    account = state(name)
    host = account["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["PidsLimit"] == 200
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    capabilities = [line for line in inside(name, "cat", "/proc/1/status").splitlines() if "CapEff" in line]
    assert int(capabilities[0].split()[1], 16) == 0
    assert not account["Config"]["User"].startswith("0")


def test_the_assistant_has_what_memory_and_processor_it_was_promised(deployed: Stack) -> None:
    [name] = deployed.containers("assistant")
    host = state(name)["HostConfig"]
    assert host["Memory"] == 512 * 1024 * 1024
    assert host["NanoCpus"] == 1_000_000_000


def test_nobody_comes_in_by_a_way_on_which_docker_hides_who_it_is(deployed: Stack) -> None:
    """On [::] it hands every caller on as the network's gateway: one address for all, with one address's limits."""
    [name] = deployed.containers("nginx")
    published = [
        each["HostIp"] for port in state(name)["NetworkSettings"]["Ports"].values() for each in port or []
    ]
    assert published == ["0.0.0.0", "0.0.0.0"]


def test_operators_doors_are_closed_to_the_world(deployed: Stack) -> None:
    with client(deployed) as asking:
        for path in ("/metrics", "/operator", "/api/sessions", "/metrics/"):
            answer = asking.get(path, headers={"Authorization": f"Bearer {OPERATOR}"})
            assert answer.status_code == 403, path


def test_a_secret_in_a_file_is_in_no_environment_and_no_log(deployed: Stack) -> None:
    [assistant] = deployed.containers("assistant")
    asked = (
        "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000);"
        f"c.request('GET', '/api/sessions', headers={{'Authorization': 'Bearer {OPERATOR}'}});"
        "print(c.getresponse().status)"
    )
    assert inside(assistant, "/opt/antiphon/bin/python", "-c", asked) == "200"
    for service in ("assistant", "nginx", "certificate"):
        [name] = deployed.containers(service)
        assert OPERATOR not in json.dumps(state(name)) + logs(name)


def test_logs_are_objects_without_queries(deployed: Stack) -> None:
    with client(deployed) as asking:
        asked = asking.get("/api/options?ticket=very-secret-words").headers["X-Request-ID"]
    [nginx], [assistant] = deployed.containers("nginx"), deployed.containers("assistant")
    line = json.loads(log_has(nginx, asked))
    assert line["path"] == "/api/options"
    log_has(assistant, asked)
    assert "very-secret-words" not in logs(nginx) + logs(assistant)


def test_what_nginx_refuses_has_its_headers_and_is_logged_without_the_query(deployed: Stack) -> None:
    [nginx] = deployed.containers("nginx")
    with client(deployed) as asking:
        large = asking.post("/api/tickets?ticket=very-secret-words", content=b"x" * 70_000)
        closed = asking.get("/metrics?ticket=very-secret-words")
    for answer, status in ((large, 413), (closed, 403)):
        assert answer.status_code == status
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        log_has(nginx, answer.headers["X-Request-ID"])
    assert "very-secret-words" not in logs(nginx)


def test_the_assistants_own_headers_are_not_doubled(deployed: Stack) -> None:
    with client(deployed) as asking:
        answer = asking.get("/")
    assert len(answer.headers.get_list("Content-Security-Policy")) == 1
    assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.get_list("Strict-Transport-Security") == ["max-age=31536000"]


def test_http2_is_spoken(deployed: Stack) -> None:
    modern = ssl.create_default_context()
    modern.check_hostname, modern.verify_mode = False, ssl.CERT_NONE
    modern.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("localhost", deployed.https_port)) as plain,
        modern.wrap_socket(plain) as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"


def test_the_page_is_compressed_and_nothing_else_is(deployed: Stack) -> None:
    with client(deployed) as asking:
        assert asking.get("/").headers["Content-Encoding"] == "gzip"
        assert asking.get("/assets/style.css").headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in asking.get("/api/options").headers
        assert "Content-Encoding" not in asking.post("/api/tickets", json={}).headers


def test_bodies_are_bounded(deployed: Stack) -> None:
    with client(deployed) as asking:
        assert asking.post("/api/tickets", content=b"x" * 70_000).status_code == 413


def test_only_current_tls_is_spoken(deployed: Stack) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # they are what is tried here
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with httpx2.Client(verify=old) as asking, pytest.raises(httpx2.ConnectError):
        asking.get(deployed.url)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One call for an address, one request a second, operators let in from two networks, a page of one's own."""
    with stack(
        tmp_path_factory.mktemp("strict"), "compose.page.yaml", up=False, REQUESTS_PER_SECOND="1",
        ANTIPHON_ADDRESS_SESSIONS="1", ANTIPHON_OPERATOR_TOKEN=OPERATOR.replace(" ", "-"),
        OPERATOR_NETWORK="192.0.2.0/24,172.16.0.0/12,192.168.0.0/16,10.0.0.0/8",
    ) as made:  # fmt: skip
        (made.folder / "page").mkdir()
        (made.folder / "page" / "index.html").write_text("<p>Mine</p>")
        made.compose("up", "--detach", "--wait")
        yield made


def test_a_page_of_ones_own_is_served_from_a_folder_that_cannot_be_written(strict: Stack) -> None:
    with client(strict) as asking:
        assert asking.get("/").text == "<p>Mine</p>"
        assert asking.get("/assets/app.js").status_code == 200
    [assistant] = strict.containers("assistant")
    assert "Read-only file system" in inside(assistant, "touch", "/page/x", check=False, user="0")


def test_operators_may_come_from_several_networks(strict: Stack) -> None:
    with client(strict) as asking:
        assert asking.get("/api/sessions").status_code == 401
        answer = asking.get(
            "/api/sessions", headers={"Authorization": f"Bearer {OPERATOR.replace(' ', '-')}"}
        )
        assert answer.status_code == 200


def test_what_a_caller_claims_about_its_address_is_dropped(strict: Stack) -> None:
    """It has one call; under another address it would get another."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    url = strict.url.replace("https", "wss") + "/ws/voice"

    def call(**claimed: str) -> ClientConnection:
        return connect(
            url, ssl=anyone, origin=Origin(strict.url), subprotocols=[Subprotocol("antiphon.v1")],
            additional_headers={name.replace("_", "-"): value for name, value in claimed.items()},
            open_timeout=60,
        )  # fmt: skip

    with call() as first:
        first.send(json.dumps({"type": "start"}))
        assert json.loads(first.recv())["type"] == "session"
        for header in ("X_Forwarded_For", "Forwarded", "X_Real_IP"):
            with call(**{header: "198.51.100.66"}) as second:
                assert json.loads(second.recv())["code"] == "rate_limited"


def test_who_asks_too_much_is_told_so(strict: Stack) -> None:
    """A hundred at once, then one a second. The last test here: who asks again is refused for a while."""
    with client(strict) as asking:
        answers = [asking.get("/health") for _ in range(150)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert "Content-Security-Policy" in refused[0].headers
    assert {answer.status_code for answer in answers} == {200, 429}


def test_a_proxy_in_front_that_is_named_says_who_calls(tmp_path: Path) -> None:
    """Docker's networks, from which this test comes, stand for a CDN's."""
    with stack(
        tmp_path, PROXY_NETWORK="172.16.0.0/12,192.168.0.0/16,10.0.0.0/8", PROXY_HEADER="CF-Connecting-IP"
    ) as made:
        with client(made) as asking:
            told = asking.get("/health", headers={"CF-Connecting-IP": "198.51.100.7"})
        [nginx] = made.containers("nginx")
        line = json.loads(log_has(nginx, told.headers["X-Request-ID"]))
        assert line["address"] == "198.51.100.7"
