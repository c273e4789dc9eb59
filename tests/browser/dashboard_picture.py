"""Takes the picture of the dashboard: ``python -m tests.browser.dashboard_picture`` from the root.

The day is made up, the metrics, Prometheus and the queries are real: a scrape a minute and a half of a day goes into a
Prometheus, which answers every query of ``deploy/grafana/antiphon.json``. The panels are drawn here, not by Grafana,
and look plainer than there. Needs ``prometheus`` and ``promtool`` (Debian's package ``prometheus``).
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from playwright.sync_api import sync_playwright
from scripts.dashboard import dashboard
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.operator_server import WHO, Day, price
from tests.browser.pictures import PICTURES
from tests.telemetry.listened import Clock, Told
from tests.valkey_server import free_port

import antiphon.web
from antiphon.providers.health import ProviderState
from antiphon.telemetry.metrics import Metrics
from antiphon.telemetry.pricing import BudgetState, LedgerState
from antiphon.telemetry.sources import Sources

SCRAPE_S = 90.0
STEP_S = 300
DAY_S = 86_400
PATIENCE_S = 60.0
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
HERE = Path(__file__).parent
UPLOT = Path(antiphon.web.__path__[0]) / "vendor"


class Scrapes:
    """What a Prometheus would have scraped, as OpenMetrics with times."""

    def __init__(self, metrics: Metrics) -> None:
        self.lines: list[str] = []
        self._metrics = metrics
        self._next = 0.0

    def until(self, at: float) -> None:
        """Scrape as often as it would have been by then."""
        self._next = self._next or at
        while self._next <= at:
            text = self._metrics.exposition("")[0].decode()
            for name, labels, value in _samples(text):
                every = ",".join(filter(None, (labels, 'job="antiphon",instance="a:8000"')))
                self.lines.append(f"{name}{{{every}}} {value} {self._next:.3f}")
            self._next += SCRAPE_S


def _samples(text: str) -> Iterator[tuple[str, str, str]]:
    for line in text.splitlines():
        if (sample := SAMPLE.match(line)) is not None:
            yield sample.group(1), sample.group(2) or "", sample.group(3)


def scraped(end: float) -> str:
    """A day of scrapes."""
    clock = Clock(at=end - DAY_S)
    metrics = Metrics(price=price, now=clock)
    states = [ProviderState(kind=kind, provider=name, position=0) for kind, name in WHO.items()]  # type: ignore[arg-type]
    sources = metrics.sources
    fill(sources, metrics, states)
    scrapes = Scrapes(metrics)
    Day(Told([metrics], clock)).pass_by(end, at_time=scrapes.until)
    return "\n".join(scrapes.lines) + "\n# EOF\n"


def fill(sources: Sources, metrics: Metrics, states: list[ProviderState]) -> None:
    """What a scrape asks."""

    def spent() -> list[BudgetState]:
        return [BudgetState(name="day", spent_usd=sum(metrics.usage.micro.values()) / 1e6, limit_usd=5.0)]

    sources.max_sessions = lambda: 50
    sources.ready = lambda: True
    sources.health = lambda: states
    sources.depths = lambda: {"voice_detection": 0, "turn_detection": 0}
    sources.lag_s = lambda: 0.002
    sources.budgets = spent
    sources.ledger = LedgerState


@contextmanager
def prometheus(text: str, folder: Path) -> Iterator[str]:
    """One that knows these samples."""
    (folder / "day.om").write_text(text)
    (folder / "prometheus.yml").write_text("global: {}\n")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "day.om", folder / "data"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--storage.tsdb.retention.time=30d",
        "--log.level=error",
    ]
    process = subprocess.Popen(command)
    try:
        _await_ready(f"http://{address}/-/ready")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def _await_ready(url: str) -> None:
    late = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urlopen(url):
                return
        except URLError:
            if time.monotonic() > late:
                raise
            time.sleep(0.1)


def answered(url: str, expression: str, end: float) -> list[dict[str, Any]]:
    """What a query gives over the day: a list of ``metric`` and ``values``."""
    expression = expression.replace("$__rate_interval", "10m").replace("$job", ".*")
    query = {"query": expression, "start": end - DAY_S + 600, "end": end, "step": STEP_S}
    with urlopen(f"{url}/api/v1/query_range?{urlencode(query)}") as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def named(legend: str, labels: Mapping[str, str]) -> str:
    """Grafana's ``{{stage}}``, filled in."""
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label.group(1), ""), legend)


def panels(url: str, end: float) -> list[dict[str, Any]]:
    """The panels of the dashboard, with what their queries gave. Not those of the machine: this process holds a day of
    scrapes in its memory, which no server does."""
    found = []
    for panel in takewhile(lambda panel: panel["title"] != "The machine", dashboard()["panels"]):
        lines = []
        for target in panel.get("targets", ()):
            for series in answered(url, target["expr"], end):
                legend = named(target["legendFormat"], series["metric"])
                lines.append({"name": legend, "values": series["values"]})
        found.append({**{key: panel[key] for key in ("type", "title", "gridPos")}, "lines": lines,
                      "unit": panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")})  # fmt: skip
    return found


def main() -> None:
    end = float(int(time.time()) // STEP_S * STEP_S)
    with TemporaryDirectory() as name, prometheus(scraped(end), Path(name)) as url:
        found = panels(url, end)
    empty = [panel["title"] for panel in found if panel["type"] != "row" and not panel["lines"]]
    print(f"{len(found)} panels; nothing in this day for: {', '.join(empty) or 'none of them'}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        style = (HERE / "dashboard.css").read_text() + (UPLOT / "uplot-1.6.32.css").read_text()
        page.set_content(f"<style>{style}</style><div id=grid></div>")
        page.add_script_tag(content=(UPLOT / "uplot-1.6.32.js").read_text())
        page.evaluate((HERE / "dashboard_panels.js").read_text(), found)
        page.screenshot(path=PICTURES / "dashboard.png", full_page=True)
        browser.close()
    print("dashboard.png")


if __name__ == "__main__":
    main()
