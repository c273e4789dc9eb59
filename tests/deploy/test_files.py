"""What the files of the deployment say, for services whose images are not run here, too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.docker import ROOT, stack

from antiphon.settings import Settings

SERVICES = ("assistant", "certificate", "nginx", "valkey", "prometheus", "grafana", "certbot")
OVERLAYS = (
    "compose.local.yaml", "compose.scale.yaml", "compose.monitoring.yaml", "compose.tls.yaml", "compose.page.yaml",
)  # fmt: skip
KEPT = {"valkey": ["CHOWN", "SETGID", "SETUID"]}
"""What a service needs to become its own user."""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All services of all overlays, as Compose understands them."""
    with stack(
        tmp_path_factory.mktemp("files"), *OVERLAYS, up=False, EMAIL="you@example.org",
        OPENAI_API_KEY="only-a-test-of-keys",
    ) as made:  # fmt: skip
        said = json.loads(made.compose("config", "--format", "json").stdout)
    return dict(said["services"])


def test_no_service_is_forgotten_here(services: dict[str, Any]) -> None:
    assert sorted(services) == sorted(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_confined(services: dict[str, Any], service: str) -> None:
    found = services[service]
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found.get("cap_add", []) == KEPT.get(service, [])
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert 0 < found["pids_limit"] <= 400
    assert int(found["mem_limit"]) > 0
    assert found["restart"] == "unless-stopped"
    assert found["logging"] == {"driver": "json-file", "options": {"max-file": "3", "max-size": "10m"}}
    assert not found.get("privileged")


@pytest.mark.parametrize("service", SERVICES)
def test_images_have_a_version(services: dict[str, Any], service: str) -> None:
    assert not services[service]["image"].endswith(":latest")


def test_only_the_assistant_is_given_its_keys_and_nothing_of_others(services: dict[str, Any]) -> None:
    holders = [name for name, found in services.items() if "only-a-test-of-keys" in json.dumps(found)]
    assert holders == ["assistant"]
    assert not {"COMPOSE_FILE", "HTTPS_PORT", "EMAIL"} & set(services["assistant"]["environment"])
    mounted = {name: [v["target"] for v in found.get("volumes", [])] for name, found in services.items()}
    assert [name for name, targets in mounted.items() if "/run/secrets" in targets] == ["assistant"]
    assert [secret["source"] for secret in services["prometheus"]["secrets"]] == ["operator_token"]


def test_old_workers_of_nginx_serve_the_longest_call_to_its_end() -> None:
    [minutes] = re.findall(
        r"worker_shutdown_timeout (\d+)m;", Path(ROOT / "deploy/nginx/nginx.conf").read_text()
    )
    assert int(minutes) * 60 > Settings().session_max_s
