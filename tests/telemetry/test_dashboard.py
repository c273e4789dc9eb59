"""The dashboard and the alert rules ask for what a server's /metrics has, and Prometheus' own engine, in promtool,
finds something for each of their expressions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from scripts.dashboard import ROWS, dashboard, expressions
from tests.telemetry.everything import scraped

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"

FROM_PROMETHEUS = {"up": {"job", "instance"}}
"""What Prometheus itself adds; ``job`` and ``instance`` are on everything."""

SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
METRIC = re.compile(r"\b(?:antiphon_|process_)\w+")
GROUPED = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")


Labels = frozenset[tuple[str, str]]


def samples(text: str) -> dict[tuple[str, Labels], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@cache
def series() -> Mapping[str, Mapping[str, set[str]]]:
    """Name of a series → its labels → their values, as a server's /metrics has them."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, labels in samples(scraped()[1]):
        values = found.setdefault(name, {})
        for label, value in labels:
            values.setdefault(label, set()).add(value)
    return found


def check(expression: str, extra: Mapping[str, set[str]] = FROM_PROMETHEUS) -> None:
    known = {**{name: set(labels) for name, labels in series().items()}, **extra}
    names = set(METRIC.findall(expression))
    assert names <= set(known), f"{names - set(known)} is not in /metrics: {expression}"
    for name, matchers in SELECTOR.findall(expression):
        for label, how, value in MATCHER.findall(matchers):
            assert label in known[name] | {"job", "instance"}, f"{name} has no {label}"
            if how == "=" and name in series():
                there = series()[name][label]
                assert value in there, f"{name} has no {label}={value!r}, but {sorted(there)}"
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
        'antiphon_turns_total{outcome="answer"}',
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


# ---- promtool, Prometheus' own checker

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is missing: scripts/test installs Debian's package prometheus",
)


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


SCRAPED = ', job="antiphon", instance="a:8000"'
MINUTES = 20


def between(first: str, second: str) -> list[dict[str, str]]:
    """The series of two scrapes, as promtool wants them: each goes from the one to the other in ``MINUTES``."""
    before, after = samples(first), samples(second)
    found = [{"series": f"up{{{SCRAPED[2:]}}}", "values": f"1x{MINUTES}"}]
    for (name, labels), value in after.items():
        begin = before[name, labels]
        step = (value - begin) / MINUTES
        named = ", ".join(f"{label}={json.dumps(text)}" for label, text in sorted(labels))
        found.append(
            {
                "series": f"{name}{{{(named + SCRAPED).removeprefix(', ')}}}",
                "values": f"{begin:.9f}{step:+.9f}x{MINUTES}",
            }
        )
    return found


def answered(expression: str) -> str:
    """1 where there is an answer that is a number, else nothing. What an alert compares becomes 0 or 1: whether it
    could be compared. Of what is missed (``absent``), whether it is there."""
    present = re.sub(r"\babsent\(", "(", expression)
    compared = re.sub(r" (==|!=|>=|<=|>|<) ", r" \1 bool ", present)
    return f"count(({compared}) >= 0) > bool 0"


def evaluate(asked: Iterable[str], folder: Path) -> None:
    """By promtool, over what a server told in two scrapes; fails with the expressions that find nothing."""
    document = {
        "rule_files": [str(RULES / "rules.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": between(*scraped()),
                "promql_expr_test": [
                    {
                        "expr": answered(expression),
                        "eval_time": f"{MINUTES}m",
                        "exp_samples": [{"labels": "{}", "value": 1}],
                    }
                    for expression in asked
                ],
            }
        ],
    }
    (folder / "queries_test.yml").write_text(json.dumps(document))
    run("promtool", "test", "rules", "queries_test.yml", cwd=folder)


@promtool
def test_promtool_on_the_rules() -> None:
    run("promtool", "check", "rules", "--lint-fatal", "rules.yml", cwd=RULES)
    run("promtool", "test", "rules", "rules_test.yml", cwd=RULES)


@promtool
def test_every_query_of_the_dashboard_finds_something(tmp_path: Path) -> None:
    evaluate(sorted(set(expressions())), tmp_path)


@promtool
def test_every_rule_finds_what_it_compares(tmp_path: Path) -> None:
    evaluate([expression for _, expression in rules()], tmp_path)


@promtool
@pytest.mark.parametrize(
    "wrong",
    [
        'max (antiphon_provider_breaker_state{state="opened"})',
        "antiphon_sessions and antiphon_queue_depth",
        'antiphon_ready{job="other"} == 0',
        "rate(antiphon_session_seconds[5m])",
    ],
)
def test_a_query_that_can_never_find_anything_is_found(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="exp"):
        evaluate([wrong], tmp_path)


@promtool
def test_promtool_on_the_metrics_themselves() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped()[0].encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_every_alert_has_a_test() -> None:
    tested = (RULES / "rules_test.yml").read_text()
    for name, _ in rules():
        assert name.startswith("antiphon:") or f"alertname: {name}" in tested, name
