"""Writes deploy/grafana/antiphon.json, the Grafana dashboard. It is kept as code because nobody can review its JSON.

python scripts/dashboard.py           write
python scripts/dashboard.py --check   exit 1 when the file differs
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parent.parent / "deploy" / "grafana" / "antiphon.json"

SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH = 24
"""Columns of Grafana's grid."""

RATE = "$__rate_interval"
JOB = 'job=~"$job"'


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: a title and its queries, as (PromQL, legend)."""

    title: str
    queries: Sequence[tuple[str, str]]
    about: str = ""
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 7
    red_from: float | None = None
    """From this value on it is red; nothing else on the dashboard is."""
    line_at: float | None = None
    """A dashed line, as for a budget."""
    stack: bool = False
    exemplars: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


def total(metric: str, by: str = "", *, labels: str = "", over: str = RATE) -> str:
    """Rate a second, summed."""
    selector = ",".join(filter(None, (JOB, labels)))
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{selector}}}[{over}]))"


def quantile(share: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram."""
    groups = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, sum by ({groups}) (rate({metric}_bucket{{{JOB}}}[{RATE}])))"


def gauge(metric: str, by: str = "", *, fold: str = "sum") -> str:
    """A gauge over all replicas."""
    return f"{fold}{f' by ({by})' if by else ''} ({metric}{{{JOB}}})"


FIRST_SOUND = "antiphon_first_sound_seconds"
STAGE = "antiphon_turn_stage_seconds"

ROWS = (
    Row(
        title="Is it well?",
        panels=(
            Panel(
                title="Conversations",
                kind="stat",
                width=5,
                height=5,
                queries=[(gauge("antiphon_sessions"), "now"), (gauge("antiphon_sessions_max"), "at most")],
            ),
            Panel(
                title="First sound",
                kind="stat",
                width=5,
                height=5,
                unit="s",
                red_from=1.45,
                queries=[(quantile(0.5, FIRST_SOUND), "typical"), (quantile(0.95, FIRST_SOUND), "95 %")],
            ),
            Panel(
                title="Requests to providers that fail",
                kind="stat",
                width=5,
                height=5,
                unit="percentunit",
                red_from=0.05,
                queries=[
                    (
                        f"{total('antiphon_provider_errors_total')} / {total('antiphon_provider_calls_total')}",
                        "",
                    )
                ],
            ),
            Panel(
                title="Budget of the day",
                kind="gauge",
                width=5,
                height=5,
                unit="percentunit",
                red_from=0.8,
                about="Spent of what may be spent; empty where no budget is set.",
                queries=[
                    (
                        f'max (antiphon_budget_spent_usd{{{JOB},budget="day"}}) / '
                        f'max (antiphon_budget_limit_usd{{{JOB},budget="day"}})',
                        "",
                    )
                ],
            ),
            Panel(
                title="Replicas ready",
                kind="stat",
                width=4,
                height=5,
                queries=[(gauge("antiphon_ready"), "")],
            ),
        ),
    ),
    Row(
        title="Time",
        panels=(
            Panel(
                title="First sound",
                unit="s",
                width=12,
                height=9,
                line_at=1.45,
                exemplars=True,
                about="From the last word to the first sound sent. Dashed: the course's budget. Dots lead to traces.",
                queries=[
                    (quantile(0.5, FIRST_SOUND), "typical"),
                    (quantile(0.95, FIRST_SOUND), "95 %"),
                    (quantile(0.99, FIRST_SOUND), "99 %"),
                ],
            ),
            Panel(
                title="Stages, typical",
                unit="s",
                width=12,
                height=9,
                stack=True,
                about="Budgets: capture 0.5 s, recognise 0.3 s, first token 0.3 s, voice 0.2 s.",
                queries=[(quantile(0.5, STAGE, "stage"), "{{stage}}")],
            ),
            Panel(
                title="Turns within the course's budget",
                unit="percentunit",
                width=12,
                queries=[
                    (
                        f"{total(FIRST_SOUND + '_bucket', labels='le=' + chr(34) + '1.45' + chr(34))} / "
                        f"{total(FIRST_SOUND + '_count')}",
                        "first sound within 1.45 s",
                    )
                ],
            ),
            Panel(
                title="Providers, first result (95 %)",
                unit="s",
                width=12,
                queries=[
                    (
                        quantile(0.95, "antiphon_provider_first_result_seconds", "kind, provider, model"),
                        "{{kind}} {{provider}}:{{model}}",
                    )
                ],
            ),
        ),
    ),
    Row(
        title="Conversations",
        panels=(
            Panel(
                title="Conversations now",
                queries=[(gauge("antiphon_sessions", "instance"), "{{instance}}")],
                stack=True,
            ),
            Panel(
                title="Callers not let in",
                unit="ops",
                queries=[(total("antiphon_sessions_refused_total", "reason"), "{{reason}}")],
            ),
            Panel(
                title="Turns",
                unit="ops",
                stack=True,
                queries=[(total("antiphon_turns_total", "outcome"), "{{outcome}}")],
            ),
            Panel(
                title="Turn taking, a turn",
                about="How often it is spoken over, answers too soon, or hears itself, for each turn.",
                unit="percentunit",
                queries=[
                    (f"{total(f'antiphon_{name}_total')} / {total('antiphon_turns_total')}", legend)
                    for name, legend in (
                        ("interruptions", "interrupted"),
                        ("backchannels", "uh-huh"),
                        ("false_starts", "answered too soon"),
                        ("echoes", "its own voice"),
                        ("turns_dropped", "no words"),
                    )
                ],
            ),
            Panel(
                title="Answers prepared ahead that were used",
                unit="percentunit",
                queries=[
                    (
                        f"{total('antiphon_speculations_total', labels='result=' + chr(34) + 'kept' + chr(34))} / "
                        f"{total('antiphon_speculations_total')}",
                        "used",
                    )
                ],
            ),
            Panel(
                title="Conversations that ended",
                unit="ops",
                queries=[(total("antiphon_sessions_closed_total", "reason"), "{{reason}}")],
            ),
        ),
    ),
    Row(
        title="Providers",
        panels=(
            Panel(
                title="Requests",
                unit="ops",
                stack=True,
                queries=[
                    (
                        total("antiphon_provider_calls_total", "kind, provider, model"),
                        "{{kind}} {{provider}}:{{model}}",
                    )
                ],
            ),
            Panel(
                title="Failures",
                unit="ops",
                queries=[
                    (
                        total("antiphon_provider_errors_total", "provider, model, cause"),
                        "{{provider}}:{{model}} {{cause}}",
                    )
                ],
            ),
            Panel(
                title="Breakers that are open",
                about="1: it is not asked, because it kept failing.",
                queries=[
                    (
                        f'max by (provider, model) (antiphon_provider_breaker_state{{{JOB},state="open"}})',
                        "{{provider}}:{{model}}",
                    )
                ],
            ),
            Panel(
                title="Sent again, beside, elsewhere",
                unit="ops",
                queries=[
                    (total("antiphon_provider_retries_total"), "again"),
                    (total("antiphon_provider_hedges_total"), "beside a slow one"),
                    (total("antiphon_provider_fallbacks_total"), "to the next in the chain"),
                ],
            ),
            Panel(
                title="Errors told to callers",
                unit="ops",
                queries=[(total("antiphon_errors_total", "code"), "{{code}}")],
            ),
            Panel(
                title="Sentences from our own cache",
                unit="ops",
                queries=[(total("antiphon_speech_cache_hits_total"), "spoken from the cache")],
            ),
        ),
    ),
    Row(
        title="Money",
        panels=(
            Panel(
                title="Cost an hour",
                unit="currencyUSD",
                stack=True,
                queries=[
                    (
                        f"3600 * {total('antiphon_cost_usd_total', 'provider, model')}",
                        "{{provider}}:{{model}}",
                    )
                ],
            ),
            Panel(
                title="Cost a turn",
                unit="currencyUSD",
                queries=[
                    (f"{total('antiphon_cost_usd_total')} / {total('antiphon_turns_total')}", "a turn"),
                    (
                        f"{total('antiphon_cost_discarded_usd_total')} / {total('antiphon_turns_total')}",
                        "thrown away of it",
                    ),
                ],
            ),
            Panel(
                title="Today, and its budget",
                unit="currencyUSD",
                queries=[
                    (f'max (antiphon_budget_spent_usd{{{JOB},budget="day"}})', "spent"),
                    (f'max (antiphon_budget_limit_usd{{{JOB},budget="day"}})', "budget"),
                ],
            ),
            Panel(
                title="Used, a minute",
                queries=[
                    (f"60 * {total('antiphon_provider_audio_seconds_total')}", "seconds of sound"),
                    (f"60 * {total('antiphon_provider_tokens_total', 'direction')}", "tokens, {{direction}}"),
                    (f"60 * {total('antiphon_provider_characters_total')}", "characters"),
                ],
            ),
            Panel(
                title="Ledger: entries waiting",
                queries=[(gauge("antiphon_ledger_waiting", "instance"), "{{instance}}")],
            ),
            Panel(
                title="Requests without a price",
                unit="ops",
                queries=[
                    (total("antiphon_unpriced_calls_total", "provider, model"), "{{provider}}:{{model}}")
                ],
            ),
            Panel(
                title="On cheaper models",
                about="1: the day's budget is spent, and cheaper models go on.",
                queries=[
                    (gauge("antiphon_budget_degraded", "budget", fold="max"), "budget of the {{budget}}")
                ],
            ),
            Panel(
                title="Given up",
                about="In an hour: entries of the ledger, alerts that the webhook did not take.",
                queries=[
                    (f"3600 * {total('antiphon_ledger_lost_total', over='1h')}", "entries"),
                    (f"3600 * {total('antiphon_alerts_failed_total', over='1h')}", "alerts"),
                    (gauge("antiphon_alerts_waiting"), "alerts that wait"),
                ],
            ),
            Panel(
                title="Prices to be looked up again",
                about="In use, and over or verified too long ago.",
                queries=[(gauge("antiphon_prices_stale", fold="max"), "prices")],
            ),
        ),
    ),
    Row(
        title="The machine",
        panels=(
            Panel(
                title="Event loop, behind by",
                unit="s",
                queries=[(gauge("antiphon_event_loop_lag_seconds", "instance", fold="max"), "{{instance}}")],
            ),
            Panel(
                title="Waiting for embedded models",
                queries=[(gauge("antiphon_queue_depth", "queue"), "{{queue}}")],
            ),
            Panel(
                title="Memory",
                unit="bytes",
                queries=[(gauge("process_resident_memory_bytes", "instance"), "{{instance}}")],
            ),
            Panel(
                title="Processor",
                unit="percentunit",
                about="1 is one core.",
                queries=[(total("process_cpu_seconds_total", "instance"), "{{instance}}")],
            ),
            Panel(
                title="Open files and sockets",
                queries=[(gauge("process_open_fds", "instance"), "{{instance}}")],
            ),
            Panel(
                title="Versions",
                kind="stat",
                queries=[(gauge("antiphon_build_info", "version, python"), "{{version}}, Python {{python}}")],
            ),
        ),
    ),
)


def expressions() -> Iterator[str]:
    """Every PromQL expression, with Grafana's variables filled in, for whoever checks them."""
    for row in ROWS:
        for panel in row.panels:
            for expression, _ in panel.queries:
                yield expression.replace(RATE, "5m").replace("$job", ".*")


def dashboard() -> dict[str, Any]:
    """The whole document."""
    return {
        "uid": "antiphon",
        "title": "Antiphon",
        "description": "Written by scripts/dashboard.py; do not edit.",
        "tags": ["antiphon"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [_source_variable(), _job_variable()]},
        "panels": list(_laid_out()),
    }


def _laid_out() -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for row in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
        }
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            yield _panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": panel.height})
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "exemplar": panel.exemplars,
            }
            for index, (expression, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": panel.options or _options(panel.kind),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "text", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    if panel.line_at is not None:
        steps.append({"color": "semi-dark-orange", "value": panel.line_at})
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stack else 0,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stack else "none"},
            "thresholdsStyle": {"mode": "off" if panel.line_at is None else "dashed"},
        }
    else:
        defaults["max"] = 1 if panel.kind == "gauge" else None
        defaults["color"] = {"mode": "thresholds"}
    return defaults


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _job_variable() -> dict[str, Any]:
    return {
        "name": "job",
        "label": "Job",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(antiphon_build_info, job)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def main() -> int:
    text = json.dumps(dashboard(), indent=2) + "\n"
    if "--check" not in sys.argv:
        DASHBOARD.write_text(text, encoding="utf-8")
        return 0
    if DASHBOARD.is_file() and DASHBOARD.read_text(encoding="utf-8") == text:
        return 0
    print("deploy/grafana/antiphon.json is not what the script says: run python scripts/dashboard.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
