"""docs/observability.md tells of every metric, label, alert and setting there is, and of none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from tests.telemetry.everything import metrics_with_everything

from antiphon.settings import Settings
from antiphon.settings.reference import environment_name, group_of
from antiphon.telemetry.latency_budget import BUDGET_MS, FIRST_SOUND_MS, STAGES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `((?:antiphon|process)_\w+)` \| (\w+) \| ([^|]*)\|", re.MULTILINE)


def told() -> dict[str, tuple[str, set[str]]]:
    """Metric → its type and labels, as the page has them."""
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(PAGE)}


def live() -> dict[str, tuple[str, set[str]]]:
    """… as /metrics has them."""
    text = metrics_with_everything().exposition("")[0].decode()
    found = {}
    for family in text_string_to_metric_families(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        kind = "info" if name == "antiphon_build_info" else family.type
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = kind, labels
    return found


def test_every_metric_is_in_the_table_and_no_other() -> None:
    assert told() == live()


def test_a_metric_that_is_missing_is_found() -> None:
    assert isinstance(metrics_with_everything().registry, CollectorRegistry)
    assert len(live()) > 40
    assert all(labels.isdisjoint({"session", "address", "user", "key"}) for _, labels in live().values())


def test_the_budget_is_the_one_that_turns_are_measured_against() -> None:
    for stage in {*STAGES, *BUDGET_MS} - {"network"}:
        assert f"`{stage}`" in PAGE
    for stage in ("capture", "upload", "asr", "llm", "tts"):
        assert f"| `{stage}` | {BUDGET_MS[stage]:.0f} ms |" in PAGE
    assert f"**{FIRST_SOUND_MS:.0f} ms**" in PAGE


def test_every_alert_is_explained() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    for alert in re.findall(r"alert: (\w+)", rules):
        assert f"`{alert}`" in PAGE


def test_every_setting_of_it_is_explained() -> None:
    for field in Settings.model_fields:
        if group_of(field) == "Observability":
            assert environment_name(field) in PAGE


def test_its_pictures_are_there() -> None:
    for picture in re.findall(r"\]\((pictures/[\w.-]+)\)", PAGE):
        assert (ROOT / "docs" / picture).is_file(), picture
