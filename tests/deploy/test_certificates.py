"""Certificates: nginx always comes up, takes a new pair without dropping a call, and never half a pair."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.deploy.docker import Stack, inside, log_has, logs, run, stack, state, until


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Up once for all tests here; nginx looks for a newer certificate every second."""
    with stack(tmp_path_factory.mktemp("certificates"), CERTIFICATE_CHECK_SECONDS="1") as made:
        yield made


@pytest.fixture
def own(deployed: Stack) -> Iterator[Stack]:
    """Without a certificate of one's own before and after."""
    yield deployed
    inside(holder(deployed), "sh", "-c", "rm -f /certificates/*.pem")
    until_served(deployed, "localhost")


def holder(made: Stack) -> str:
    [name] = made.containers("certificate")
    return name


def nginx(made: Stack) -> str:
    [name] = made.containers("nginx")
    return name


def put(made: Stack, name: str, content: bytes) -> None:
    """As the guide does."""
    run(
        "docker", "compose", "exec", "-T", "certificate", "sh", "-c", f"umask 027; cat >/certificates/{name}",
        input=content.decode(), cwd=made.folder, env=made.environ(),
    )  # fmt: skip


def pair(name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate for the name alone, and its key, PEM."""
    with TemporaryDirectory() as folder:
        chain, key = Path(folder) / "fullchain.pem", Path(folder) / "privkey.pem"
        run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(chain),
        )  # fmt: skip
        return chain.read_bytes(), key.read_bytes()


def served(made: Stack) -> str:
    """Whom the certificate that is served is for, and its PEM."""
    pem = ssl.get_server_certificate(("localhost", made.https_port))
    subject = run("openssl", "x509", "-noout", "-subject", "-nameopt", "compat", input=pem).stdout
    return subject.replace(" = ", "=") + pem


def until_served(made: Stack, name: str) -> None:
    """nginx looks every second."""
    until(lambda: f"CN={name}" in served(made), f"certificate for {name}", of=nginx(made))


def test_a_pair_is_taken_only_when_it_is_whole(own: Stack) -> None:
    """The guide writes one file, then the other; nginx may look in between, and does here."""
    for name in ("one.example.org", "two.example.org"):
        before = served(own)
        certificate, key = pair(name)
        put(own, "fullchain.pem", certificate)
        if name == "two.example.org":
            log_has(nginx(own), "is not used")
            assert served(own) == before
        put(own, "privkey.pem", key)
        until_served(own, name)


def test_what_cannot_be_read_does_not_end_the_looking(own: Stack) -> None:
    inside(
        holder(own),
        "sh",
        "-c",
        "cd /certificates && echo none | tee fullchain.pem >privkey.pem && chmod 000 *.pem",
    )
    log_has(nginx(own), "Permission denied")
    inside(holder(own), "sh", "-c", "rm -f /certificates/*.pem")
    certificate, key = pair("readable.example.org")
    put(own, "privkey.pem", key)
    put(own, "fullchain.pem", certificate)
    until_served(own, "readable.example.org")


def test_with_a_key_that_does_not_fit_nginx_comes_up_and_says_so_once(own: Stack) -> None:
    certificate, _ = pair("mine.example.org")
    _, key = pair("mine.example.org")
    put(own, "fullchain.pem", certificate)
    put(own, "privkey.pem", key)
    own.compose("up", "--detach", "--wait", "--force-recreate", "nginx", "certificate")
    assert "CN=localhost" in served(own)
    account = state(nginx(own))
    assert (account["State"]["Running"], account["RestartCount"]) == (True, 0)
    said = logs(nginx(own))
    assert said.count("the pair in /certificates is not used") == 1
    assert "key values mismatch" in said
    assert "belongs to another certificate" in log_has(holder(own), "yours")


def test_each_state_of_a_pair_that_is_no_use_is_told(own: Stack) -> None:
    """One of its two files may be the one that it was."""
    _, key = pair("mine.example.org")
    put(own, "privkey.pem", key)
    for told in (1, 2):
        since = datetime.now(UTC)
        certificate, _ = pair(f"mine{told}.example.org")
        put(own, "fullchain.pem", certificate)
        log_has(nginx(own), "is not used", since=since)


def test_a_certificate_of_another_name_is_served_and_told_of(own: Stack) -> None:
    """Self-signed or not, it is yours: nothing replaces it."""
    certificate, key = pair("wrong.example.org")
    put(own, "privkey.pem", key)
    put(own, "fullchain.pem", certificate)
    until_served(own, "wrong.example.org")
    own.compose("up", "--detach", "--wait", "--force-recreate", "certificate")
    assert "not for localhost: browsers will refuse it" in log_has(holder(own), "yours")
    [assistant] = own.containers("assistant")
    told = inside(assistant, "antiphon", "doctor", "--json", check=False)
    assert "not for localhost" in told


def test_doctor_knows_the_certificate_that_is_served(deployed: Stack) -> None:
    [assistant] = deployed.containers("assistant")
    told = inside(assistant, "antiphon", "doctor", check=False)
    assert "/served/fullchain.pem is good for localhost" in told


def test_a_new_certificate_is_taken_without_dropping_a_call(own: Stack) -> None:
    """Twenty callers talk while the certificate changes under them."""
    talking = subprocess.Popen(
        [
            sys.executable, "-m", "antiphon", "load", "--url", own.url, "--insecure", "--origin",
            own.url, "--callers", "20", "--minutes", "0.4", "--mix", "talk=1", "--json",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    [assistant] = own.containers("assistant")
    log_has(assistant, '"event": "session opened"')
    certificate, key = pair("another.example.org")
    put(own, "privkey.pem", key)
    put(own, "fullchain.pem", certificate)
    until_served(own, "another.example.org")
    report = json.loads(talking.communicate(timeout=120)[0])
    assert report["lost"] == 0
    assert report["broken"] + report["moved"] == 0
