"""The image with the embedded models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.deploy.docker import LOCAL, container, inside, log_has, logs, run, state
from tests.deploy.test_image import CONFINED

MODELS = Path.home() / ".cache/antiphon/models"
EMBEDDED = tuple(f"--env=ANTIPHON_{kind}=local" for kind in ("ASR", "LLM", "TTS"))


@pytest.fixture(autouse=True)
def image() -> None:
    found = run("docker", "image", "inspect", LOCAL, check=False)
    assert found.returncode == 0, f"{LOCAL} was not built: scripts/test-deploy builds it"


def test_it_holds_no_compiler() -> None:
    found = run(
        "docker",
        "run",
        "--rm",
        "--entrypoint=sh",
        LOCAL,
        "-c",
        "for p in gcc cc make g++ git; do command -v $p; done; true",
    ).stdout
    assert found == ""


def test_too_little_memory_is_said_and_hidden_by_no_restart_loop() -> None:
    with container(*CONFINED, "--memory=300m", *EMBEDDED, image=LOCAL) as name:
        line = json.loads(log_has(name, "too little memory"))
        assert line["event"] == "not ready"
        account = state(name)
        assert account["State"]["Running"]
        assert not account["State"]["OOMKilled"]
        said = inside(name, "antiphon", "doctor", check=False)
        assert "memory" in said
        assert "needs about" in said
        assert "Traceback" not in logs(name)
