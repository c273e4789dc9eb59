"""The dashboard and the alert rules ask for what /metrics has, and promtool agrees with them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from scripts.dashboard import ROWS, dashboard, expressions
from tests.telemetry.everything import metrics_with_everything

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"

FROM_PROMETHEUS = {"up": {"job", "instance"}}
"""What Prometheus itself adds; ``job`` and ``instance`` are on everything."""

SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
METRIC = re.compile(r"\b(?:antiphon_|process_)\w+")
GROUPED = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def series() -> dict[str, set[str]]:
    """Name of a series → its labels, as a live /metrics has them."""
    text = metrics_with_everything().exposition("")[0].decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


SERIES = series()


def check(expression: str, extra: Mapping[str, set[str]] = FROM_PROMETHEUS) -> None:
    known = {**SERIES, **extra}
    names = set(METRIC.findall(expression))
    assert names <= set(known), f"{names - set(known)} is not in /metrics: {expression}"
    for name, labels in SELECTOR.findall(expression):
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
        assert asked <= known[name] | {"job", "instance"}, f"{name} has no {asked - known[name]}"
    grouped = {label.strip() for labels in GROUPED.findall(expression) for label in labels.split(",")}
    has = set().union(*(known[name] for name in names)) | {"job", "instance", "le"}
    assert grouped <= has, f"nothing in it has {grouped - has}: {expression}"


def rules() -> list[tuple[str, str]]:
    """(name, expression) of each rule, read without a YAML library: promtool checks the rest of the form."""
    text = (RULES / "rules.yml").read_text()
    found = []
    for block in re.split(r"^ {6}- ", text, flags=re.MULTILINE)[1:]:
        name = re.match(r"(?:alert|record): (\S+)", block)
        expression = re.search(r"expr: (>-\n)?((?:.+\n)(?: {10}.+\n)*)", block)
        assert name is not None
        assert expression is not None
        found.append((name.group(1), " ".join(expression.group(2).split())))
    return found


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_the_dashboard_asks_for_what_is_there(expression: str) -> None:
    assert METRIC.search(expression)
    check(expression)


@pytest.mark.parametrize(("name", "expression"), rules())
def test_the_rules_ask_for_what_is_there(name: str, expression: str) -> None:
    recorded = {
        rule: {"job", "kind", "provider", "model"} for rule, _ in rules() if rule.startswith("antiphon:")
    }
    check(expression, {**FROM_PROMETHEUS, **recorded})


def test_a_wrong_name_or_label_would_be_found() -> None:
    for wrong in (
        "sum(rate(antiphon_turn_total[5m]))",
        'antiphon_turns_total{stage="llm"}',
        "sum by (user) (rate(antiphon_turns_total[5m]))",
    ):
        with pytest.raises(AssertionError):
            check(wrong)


def test_legends_name_labels_that_the_query_keeps() -> None:
    for row in ROWS:
        for panel in row.panels:
            for expression, legend in panel.queries:
                kept = {
                    label.strip() for labels in GROUPED.findall(expression) for label in labels.split(",")
                }
                assert set(LEGEND.findall(legend)) <= kept, panel.title


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_the_file_is_what_the_script_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "dashboard.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    document = json.loads((ROOT / "deploy/grafana/antiphon.json").read_text())
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))


def test_rules_name_values_that_are_told() -> None:
    text = metrics_with_everything().exposition("")[0].decode()
    for value in re.findall(r'(?:state|outcome|result)="(\w+)"', "\n".join(expr for _, expr in rules())):
        assert f'="{value}"' in text


# ---- promtool, Prometheus' own checker

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is missing: scripts/test installs Debian's package prometheus",
)


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_promtool_on_the_rules() -> None:
    run("promtool", "check", "rules", "--lint-fatal", "rules.yml", cwd=RULES)
    run("promtool", "test", "rules", "rules_test.yml", cwd=RULES)


@promtool
def test_promtool_on_every_query_of_the_dashboard(tmp_path: Path) -> None:
    written = [
        f"      - record: query:{n}\n        expr: {json.dumps(e)}" for n, e in enumerate(expressions())
    ]
    (tmp_path / "queries.yml").write_text("groups:\n  - name: all\n    rules:\n" + "\n".join(written) + "\n")
    run("promtool", "check", "rules", "queries.yml", cwd=tmp_path)


@promtool
def test_promtool_on_the_metrics_themselves() -> None:
    text = metrics_with_everything().exposition("")[0]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_every_alert_has_a_test() -> None:
    tested = (RULES / "rules_test.yml").read_text()
    for name, _ in rules():
        assert name.startswith("antiphon:") or f"alertname: {name}" in tested, name
