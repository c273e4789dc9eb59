"""The image: small, confined, orderly."""

from __future__ import annotations

import json
from pathlib import Path

from tests.deploy.docker import SCRIPTED, SLIM, container, inside, log_has, logs, run, state

CONFINED = (
    "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true", "--tmpfs=/tmp:size=16m",
    "--memory=512m", "--cpus=1", "--pids-limit=200",
)  # fmt: skip
SETTINGS = tuple(f"--env={name}={value}" for name, value in SCRIPTED.items())


def test_it_is_small_and_holds_no_compiler_and_no_package_client() -> None:
    [image] = json.loads(run("docker", "image", "inspect", SLIM).stdout)
    assert image["Size"] <= 250e6, f"{image['Size'] / 1e6:.0f} MB"
    found = run(
        "docker", "run", "--rm", "--entrypoint=sh", SLIM, "-c",
        "for p in gcc cc make g++ git curl pip pip3; do command -v $p; done; ls /opt/antiphon/bin | grep -i pip;"
        "for p in python3 /opt/antiphon/bin/python; do $p -c 'import pip' 2>/dev/null && echo $p has pip; done; true",
    ).stdout  # fmt: skip
    assert found == ""


def test_it_says_what_it_is() -> None:
    [image] = json.loads(run("docker", "image", "inspect", SLIM).stdout)
    config = image["Config"]
    assert config["User"] == "10001:10001"
    assert config["ExposedPorts"] == {"8000/tcp": {}}
    assert config["Entrypoint"] == ["antiphon"]
    assert config["Cmd"] == ["serve"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert {"/data", "/models"} <= set(config["Volumes"])


def test_it_serves_as_an_ordinary_user_without_capabilities_on_a_read_only_root() -> None:
    with container(*CONFINED, *SETTINGS) as name:
        log_has(name, '"event": "ready"')
        status = dict(
            line.split(":\t") for line in inside(name, "cat", "/proc/1/status").splitlines() if ":\t" in line
        )
        assert status["Uid"].split() == ["10001"] * 4
        assert status["Gid"].split() == ["10001"] * 4
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert "Read-only file system" in inside(name, "touch", "/opt/antiphon/x", check=False)
        assert "Read-only file system" in inside(name, "touch", "/x", check=False, user="0")
        assert inside(name, "touch", "/data/x") == ""
        assert (
            inside(name, "/opt/antiphon/bin/python", "-I", "-S", "/opt/antiphon/share/healthcheck.py") == ""
        )


def test_it_takes_calls_with_vendors_though_no_model_was_fetched() -> None:
    asked = tuple(f"--env={name}=openai" for name in SCRIPTED)
    with container(*CONFINED, *asked, "--env=OPENAI_API_KEY=only-a-test") as name:
        log_has(name, '"event": "ready"')
        assert "words and silence alone end a turn" in logs(name)


def test_it_leaves_in_order_when_told_to() -> None:
    with container(*CONFINED, *SETTINGS) as name:
        log_has(name, '"event": "ready"')
        run("docker", "stop", "--time", "30", name)
        ended = state(name)["State"]
        assert (ended["ExitCode"], ended["OOMKilled"]) == (0, False)
        assert '"event": "stopping"' in logs(name)


def test_a_wrong_setting_is_the_last_line_of_the_log() -> None:
    with container(*CONFINED, "--env=ANTIPHON_LLM=nobody") as name:
        run("docker", "wait", name)
        assert state(name)["State"]["ExitCode"] != 0
        last = logs(name).strip().splitlines()[-1]
        assert "ANTIPHON_LLM" in last
        assert "nobody" in last
        assert "Traceback" not in logs(name)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with container(*CONFINED, *SETTINGS, f"--volume={tmp_path}:/data") as name:
        line = log_has(name, "/data")
        assert "permission denied" in line.lower()
        assert "Traceback" not in logs(name)
        said = inside(name, "antiphon", "doctor", check=False)
        assert "/data" in said


def test_secrets_may_come_as_files(tmp_path: Path) -> None:
    token = tmp_path / "operator_token"
    token.write_text("not a secret, only a test of them\n")
    token.chmod(0o444)
    tmp_path.chmod(0o755)
    with container(
        *CONFINED, *SETTINGS, f"--volume={tmp_path}:/run/secrets:ro",
        "--env=ANTIPHON_OPERATOR_TOKEN_FILE=/run/secrets/operator_token",
    ) as name:  # fmt: skip
        log_has(name, '"event": "ready"')
        assert "only a test" not in logs(name)
        asked = (
            "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000);"
            "c.request('GET', '/api/sessions', headers={'Authorization': 'Bearer not a secret, only a test of them'});"
            "print(c.getresponse().status)"
        )
        assert inside(name, "/opt/antiphon/bin/python", "-c", asked) == "200"
