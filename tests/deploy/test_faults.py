"""What can be wrong with a deployment is said in one clear line, and no restart loop hides it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from tests.deploy.docker import (
    NGINX,
    ROOT,
    container,
    inside,
    log_has,
    logs,
    run,
    stack,
    state,
    until_healthy,
)
from tests.deploy.test_image import CONFINED, SETTINGS


def test_without_an_env_file_compose_says_what_is_missing(tmp_path: Path) -> None:
    with stack(tmp_path, up=False) as made:
        (made.folder / ".env").unlink()
        said = made.compose("up", "--detach", check=False)
        assert said.returncode != 0
        assert "DOMAIN" in said.stderr or ".env" in said.stderr


def test_without_a_domain_compose_says_where_to_write_it(tmp_path: Path) -> None:
    with stack(tmp_path, up=False, DOMAIN="") as made:
        said = made.compose("up", "--detach", check=False)
        assert said.returncode != 0
        assert "write DOMAIN=your.domain" in said.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        with stack(tmp_path, up=False, HTTPS_PORT=str(port)) as made:
            said = made.compose("up", "--detach", "--wait", check=False)
            assert said.returncode != 0
            assert str(port) in said.stderr
            assert "in use" in said.stderr or "already allocated" in said.stderr


def test_a_valkey_that_is_away_is_named_and_the_server_stays_up() -> None:
    with container(*CONFINED, *SETTINGS, "--env=ANTIPHON_STORE=valkey://127.0.0.1:6399/0") as name:
        line = log_has(name, "127.0.0.1:6399")
        assert json.loads(line)["level"] in ("warning", "error")
        said = inside(name, "antiphon", "doctor", check=False)
        assert "ANTIPHON_STORE" in said
        account = state(name)
        assert account["State"]["Running"]
        assert account["RestartCount"] == 0
        assert "Traceback" not in logs(name)


def test_a_proxy_without_its_assistant_answers_and_says_so(tmp_path: Path) -> None:
    with stack(tmp_path) as made:
        made.compose("stop", "assistant")
        said = made.verify("--no-turn", check=False)
        assert said.returncode == 1
        assert "assistant" in said.stdout


def test_settings_that_cannot_be_are_told_by_compose_too(tmp_path: Path) -> None:
    with stack(tmp_path, up=False, ANTIPHON_TTS="nobody") as made:
        assert made.compose("up", "--detach", "--wait", check=False, timeout=120).returncode != 0
        [name] = made.containers("assistant")
        assert "ANTIPHON_TTS" in logs(name).strip().splitlines()[-1]


def test_a_domain_that_is_no_name_is_told_by_who_reads_it(tmp_path: Path) -> None:
    with stack(tmp_path, up=False, DOMAIN="https://localhost") as made:
        made.compose("up", "--detach", "assistant", "certificate")
        for service in ("assistant", "certificate"):
            [name] = made.containers(service)
            log_has(name, "'https://localhost' is no name; write it without https://")


NGINX_SETTINGS = {
    "DOMAIN": "localhost", "HTTPS_PORT": "443", "RESOLVER": "127.0.0.11", "OPERATOR_NETWORK": "127.0.0.1/32",
    "HSTS_SECONDS": "0", "CONNECTIONS_PER_ADDRESS": "50", "REQUESTS_PER_SECOND": "20", "TICKETS_PER_SECOND": "5",
    "CERTIFICATE_CHECK_SECONDS": "30", "PROXY_NETWORK": "", "PROXY_HEADER": "X-Forwarded-For",
}  # fmt: skip


def last_words_of_nginx(**settings: str) -> str:
    """Of a container without a certificate, which ends for want of it where nothing else is wrong."""
    files = {
        "antiphon.conf.template": "/etc/antiphon/antiphon.conf.template",
        "10-antiphon.sh": "/docker-entrypoint.d/10-antiphon.sh",
    }
    done = run(
        "docker", "run", "--rm", "--network=none", "--user=101:101", "--read-only", "--tmpfs=/tmp:mode=1777",
        *(f"--volume={ROOT}/deploy/nginx/{name}:{place}:ro" for name, place in files.items()),
        *(f"--env={name}={value}" for name, value in {**NGINX_SETTINGS, **settings}.items()),
        NGINX, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


def test_nginx_takes_what_the_guide_writes() -> None:
    """Several networks, both kinds of addresses; what it lacks then is a certificate."""
    assert "no certificate" in last_words_of_nginx(
        OPERATOR_NETWORK="198.51.100.7/32,2001:db8::/32, 10.0.0.1",
        PROXY_NETWORK="173.245.48.0/20,2400:cb00::/32",
        PROXY_HEADER="CF-Connecting-IP",
    )


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("OPERATOR_NETWORK", "foo", "no network; expected such as 198.51.100.7/32"),
        ("OPERATOR_NETWORK", "10.0.0.0/8,300.1.1.1", "no network"),
        ("PROXY_NETWORK", "cloudflare", "no network; expected such as 173.245.48.0/20"),
        ("PROXY_HEADER", "X Forwarded For", "no name of a header"),
        ("REQUESTS_PER_SECOND", "0.5", "no whole number; expected one like 20"),
        ("TICKETS_PER_SECOND", "0", "too small; expected 1 or more"),
        ("CONNECTIONS_PER_ADDRESS", "many", "no whole number"),
        ("HSTS_SECONDS", "1d", "no whole number"),
        ("CERTIFICATE_CHECK_SECONDS", "-1", "no whole number"),
        ("RESOLVER", "nowhere.invalid", "no name service"),
    ],
)
def test_a_setting_that_nginx_cannot_take_is_the_last_line_of_its_log(
    setting: str, value: str, why: str
) -> None:
    said = last_words_of_nginx(**{setting: value})
    wrong = value.rpartition(",")[2]
    assert said.startswith(f"{setting} in deploy/.env: '{wrong}' is {why}")


def test_docker_restarts_what_fails(tmp_path: Path) -> None:
    """A crash is no end: the assistant is there again without anybody doing anything."""
    with stack(tmp_path) as made:
        [name] = made.containers("assistant")
        before = state(name)["State"]
        run("kill", "-9", str(before["Pid"]))
        while state(name)["State"]["StartedAt"] == before["StartedAt"]:
            assert state(name)["State"]["Status"] != "exited", "nothing started it again"
        assert until_healthy(name)["RestartCount"] == 1
        assert made.verify("--no-turn").returncode == 0


def test_without_the_assistants_settings_compose_says_which_file_is_missing(tmp_path: Path) -> None:
    with stack(tmp_path, up=False) as made:
        (made.folder / "assistant.env").unlink()
        said = made.compose("up", "--detach", check=False)
        assert said.returncode != 0
        assert "assistant.env" in said.stderr
