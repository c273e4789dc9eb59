"""Replicas on Valkey behind nginx: callers move, conversations stay."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from tests.deploy.docker import SLIM, Stack, inside, log_has, run, stack, state, until, until_healthy
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

CALLERS = 12
SETTINGS = "assistant.env"
IMAGE = f"antiphon-test-scale:{os.getpid()}"


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One at first, of an image under a name of its own: a test here builds the next one."""
    run("docker", "tag", SLIM, IMAGE)
    with stack(
        tmp_path_factory.mktemp("scale"), "compose.scale.yaml", REPLICAS="1", ASSISTANT_IMAGE=IMAGE
    ) as made:
        yield made
    run("docker", "rmi", IMAGE)


def talkers(made: Stack, *, minutes: float) -> subprocess.Popen[str]:
    """Callers on the phone in the background."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "antiphon", "load", "--url", made.url, "--insecure", "--origin", made.url,
            "--callers", str(CALLERS), "--minutes", str(minutes), "--mix", "talk=70,pause=15,interrupt=15", "--json",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_scaling_and_a_rolling_update_lose_nobody(replicas: Stack) -> None:
    talking = talkers(replicas, minutes=1.0)
    replicas.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "assistant=3")
    before = set(replicas.containers("assistant"))
    assert len(before) == 3
    replicas.script("rolling-update")
    after = set(replicas.containers("assistant"))
    assert len(after) == 3
    assert not before & after
    report = json.loads(talking.communicate(timeout=240)[0])
    assert report["conversations_lost"] == 0
    assert report["lost"] == 0
    assert report["doubled"] == 0
    assert report["moved"] > 0, report


def test_after_a_rolling_update_a_plain_up_changes_nothing(replicas: Stack) -> None:
    """Or the guide's next step would cut every caller off at once."""
    replicas.compose("up", "--detach", "--wait", "--scale", "assistant=2")
    replicas.script("rolling-update")
    before = everything(replicas)
    replicas.compose("up", "--detach", "--wait", "--scale", "assistant=2")
    assert everything(replicas) == before


def test_a_replica_that_was_stopped_is_replaced_too(replicas: Stack) -> None:
    """Compose starts it again, with its old image, where another is asked for: it is not taken for a new one."""
    replicas.compose("up", "--detach", "--wait", "--scale", "assistant=2")
    before = set(replicas.containers("assistant"))
    run("docker", "stop", "--time", "5", min(before))
    # What `docker compose build` leaves: another image of the same name.
    run("docker", "build", "--tag", IMAGE, "-", input=f"FROM {SLIM}\nLABEL a.test=of-updates\n")
    said = replicas.script("rolling-update").stdout
    after = set(replicas.containers("assistant"))
    assert len(after) == 2
    assert not before & after
    assert {state(name)["Image"] for name in after} == {state(IMAGE)["Id"]}
    assert said.count(" → ") == 2


def everything(made: Stack) -> set[str]:
    """Ids of what runs."""
    return {name for service in ("assistant", "nginx", "valkey") for name in made.containers(service)}


def test_an_update_that_cannot_run_says_why_and_leaves_the_old_ones(replicas: Stack) -> None:
    before = everything(replicas)
    settings = (replicas.folder / SETTINGS).read_text()
    (replicas.folder / SETTINGS).write_text(settings + "ANTIPHON_TTS=nobody\n")
    said = replicas.script("rolling-update", check=False)
    (replicas.folder / SETTINGS).write_text(settings)
    assert said.returncode == 1
    assert "does not run; the old ones go on" in said.stderr
    assert "ANTIPHON_TTS" in said.stderr
    assert everything(replicas) == before


def test_a_replica_that_dies_costs_at_most_the_turn_in_flight(replicas: Stack) -> None:
    talking = talkers(replicas, minutes=0.5)
    replicas.compose("exec", "nginx", "wget", "-q", "-O", "/dev/null", "--no-check-certificate",
                     "https://127.0.0.1:8443/ready")  # fmt: skip
    victim = replicas.containers("assistant")[0]
    run("docker", "kill", "--signal", "KILL", victim)
    report = json.loads(talking.communicate(timeout=240)[0])
    assert report["conversations_lost"] == 0
    assert report["lost"] <= CALLERS
    assert report["doubled"] == 0


def test_all_replicas_are_asked_and_a_full_one_is_passed_over(replicas: Stack) -> None:
    replicas.compose("up", "--detach", "--wait", "--scale", "assistant=3")
    found = json.loads(talkers(replicas, minutes=0.2).communicate(timeout=120)[0])
    assert found["lost"] == 0
    spread = [
        run("docker", "logs", name).stdout.count('"event": "session opened"')
        + run("docker", "logs", name).stderr.count('"event": "session opened"')
        for name in replicas.containers("assistant")
    ]
    assert sum(count > 0 for count in spread) >= 2, spread


@contextmanager
def hung(name: str) -> Iterator[None]:
    """A container that takes connections and answers nothing."""
    run("docker", "pause", name)
    try:
        yield
    finally:
        run("docker", "unpause", name)
        until_healthy(name)


def remembers(made: Stack) -> bool:
    """Whether this nginx knows of a replica that it failed; an older one only passes over it."""
    [nginx] = made.containers("nginx")
    version = inside(nginx, "nginx", "-v").rpartition("/")[2].split()[0]
    return tuple(int(part) for part in version.split(".")) >= (1, 27, 3)


def test_a_replica_that_hangs_is_passed_over(replicas: Stack) -> None:
    """By the page, tickets and calls; within the time that each client has here."""
    replicas.compose("up", "--detach", "--wait", "--scale", "assistant=3")
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with hung(replicas.containers("assistant")[0]):
        with httpx2.Client(base_url=replicas.url, verify=False, timeout=10) as asking:
            for _ in range(8):
                assert asking.get("/").status_code == 200
        if not remembers(replicas):
            return
        with httpx2.Client(base_url=replicas.url, verify=False, timeout=10) as asking:
            for _ in range(8):
                assert asking.post("/api/tickets", json={}).status_code == 200
        for _ in range(8):
            url = replicas.url.replace("https", "wss") + "/ws/voice"
            with connect(
                url,
                ssl=anyone,
                origin=Origin(replicas.url),
                subprotocols=[Subprotocol("antiphon.v1")],
                open_timeout=10,
            ):
                pass


def test_a_replica_that_hangs_is_left_alone_for_a_while(replicas: Stack) -> None:
    """Once one request found that it does, the next ones do not ask it."""
    if not remembers(replicas):
        pytest.skip("this nginx has no memory of replicas that fail; TEST_NGINX_IMAGE names a newer one")
    [nginx] = replicas.containers("nginx")
    replicas.compose("up", "--detach", "--wait", "--scale", "assistant=3")
    with httpx2.Client(base_url=replicas.url, verify=False, timeout=10) as asking:

        def asked() -> str:
            """The request's id, by which nginx logs it."""
            answer = asking.get("/health")
            assert answer.status_code == 200
            return str(answer.headers["X-Request-ID"])

        def met(request: str) -> int:
            """How many replicas it met."""
            return len(json.loads(log_has(nginx, request))["upstream"].split(", "))

        with hung(replicas.containers("assistant")[0]):
            # nginx remembers for five seconds: they are asked at once, and looked up later.
            until(lambda: met(asked()) == 2, "request that met the one that hangs")
            next_ones = [asked() for _ in range(10)]
            assert [met(request) for request in next_ones] == [1] * 10
