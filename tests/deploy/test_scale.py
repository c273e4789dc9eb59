"""Replicas on Valkey behind nginx: callers move, conversations stay."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.deploy.docker import Stack, run, stack

CALLERS = 12
SETTINGS = ".env"


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One at first."""
    with stack(tmp_path_factory.mktemp("scale"), "compose.scale.yaml", REPLICAS="1") as made:
        yield made


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
