"""Prometheus beside the assistant: it finds every replica, is let in by its token, and has the rules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx2
from tests.deploy.docker import free_port, log_has, stack, until

PROMETHEUS = os.environ.get("TEST_PROMETHEUS_IMAGE", "prom/prometheus:v3.5.0")
TOKEN = "only a test of operators"


def test_prometheus_scrapes_the_assistant_and_has_the_rules(tmp_path: Path) -> None:
    port = free_port()
    with stack(
        tmp_path, "compose.monitoring.yaml", up=False, ANTIPHON_OPERATOR_TOKEN_FILE="/run/secrets/operator_token",
        PROMETHEUS_PORT=str(port), PROMETHEUS_IMAGE=PROMETHEUS,
    ) as made:  # fmt: skip
        made.write_secret("operator_token", TOKEN)
        made.write_secret("grafana_password", "only a test of it")
        made.compose("up", "--detach", "--wait", "assistant", "prometheus")
        # As the guide says; nobody has to be there for Prometheus to know whom to tell.
        (made.folder / "prometheus" / "alertmanagers.yml").write_text("- targets: [alertmanager.test:9093]\n")
        # Prometheus looks every 15 s: its visit stands in the assistant's log.
        log_has(made.containers("assistant")[0], '"path": "/metrics"', within_s=60)
        assert answered(port, "up{job='antiphon'}") == "1"
        assert answered(port, "antiphon_sessions_max") == "50"
        rules = asked(port, "rules")["groups"]
        # Prometheus takes what it discovers every five seconds.
        told = until(lambda: asked(port, "alertmanagers")["activeAlertmanagers"], "Alertmanager to tell")
        assert [each["url"] for each in told] == ["http://alertmanager.test:9093/api/v2/alerts"]
        names = {rule["name"] for group in rules for rule in group["rules"]}
        assert {"AntiphonBudgetSpent", "AntiphonBudgetNear"} <= names
        assert all(rule["health"] in ("ok", "unknown") for group in rules for rule in group["rules"])


def asked(port: int, what: str, **parameters: str) -> dict[str, Any]:
    """Prometheus' own account."""
    answer = httpx2.get(f"http://127.0.0.1:{port}/api/v1/{what}", params=parameters, timeout=10)
    return dict(answer.raise_for_status().json()["data"])


def answered(port: int, query: str) -> str:
    """What the query gives. The visit was answered a moment ago; what came of it is there with one of the next
    questions."""
    found = until(lambda: asked(port, "query", query=query)["result"], f"value of {query}")
    return str(found[0]["value"][1])
