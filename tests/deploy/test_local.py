"""The image with the embedded models."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.deploy.docker import LOCAL, container, inside, log_has, logs, run, state
from tests.deploy.test_image import CONFINED

MODELS = Path.home() / ".cache/antiphon/models"
EMBEDDED = tuple(f"--env=ANTIPHON_{kind}=local" for kind in ("ASR", "LLM", "TTS"))

INDEX = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""How a machine says where packages come from."""


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
        "for p in gcc cc make g++ git pip pip3; do command -v $p; done; true",
    ).stdout
    assert found == ""


def pulled(*options: str) -> subprocess.CompletedProcess[str]:
    """The smallest model fetched into an empty volume, as the first start does, and looked at."""
    commands = "antiphon models pull vad/silero-6 && antiphon models verify vad/silero-6"
    return run(
        "docker", "run", "--rm", *CONFINED, *options, "--entrypoint=sh", LOCAL, "-c", commands, check=False
    )  # fmt: skip


def test_models_are_fetched_into_an_empty_volume() -> None:
    """With the package index that this machine is set up with."""
    configured = [f"--env={name}" for name in os.environ if name.startswith(INDEX)]
    done = pulled(*configured)
    if "could not reach its package index" in done.stderr:
        pytest.skip("no package index can be reached from a container here")
    assert done.returncode == 0, done.stderr
    assert "vad/silero-6: right" in done.stdout


def test_a_package_index_that_cannot_be_reached_is_said_with_the_setting_that_names_another() -> None:
    """It is pip that says so: the image has one."""
    done = pulled("--network=none", "--env=PIP_RETRIES=1")
    assert done.returncode == 1
    assert "could not reach its package index" in done.stderr
    assert "PIP_INDEX_URL" in done.stderr


def test_models_that_are_baked_in_are_hidden_by_no_volume() -> None:
    """Where BAKE puts them; the volume is empty, and there is no network to fill it from."""
    baked = f"--volume={MODELS}:/opt/antiphon/models:ro"
    with container(
        *CONFINED,
        "--memory=2g",
        "--network=none",
        baked,
        *EMBEDDED,
        "--env=ANTIPHON_PROFILE=fast",
        image=LOCAL,
    ) as name:
        log_has(name, '"event": "ready"', within_s=90)
        assert "asr/whisper-base is here and right" in inside(name, "antiphon", "doctor", check=False)


def test_too_little_memory_is_said_and_hidden_by_no_restart_loop() -> None:
    with container(*CONFINED, "--memory=300m", *EMBEDDED, image=LOCAL) as name:
        line = json.loads(log_has(name, "too little memory"))
        assert line["event"] == "not ready"
        account = state(name)
        assert account["State"]["Running"]
        assert not account["State"]["OOMKilled"]
        said = inside(name, "antiphon", "doctor", check=False)
        assert "too little memory for the embedded models" in said
        assert "ASSISTANT_MEMORY" in said
        assert "It will work" not in said
        assert "Traceback" not in logs(name)
