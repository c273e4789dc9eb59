"""The page as files: its node tests, its types, its weight, and that it needs nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import antiphon.web

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
WEB = Path(antiphon.web.__path__[0])

FIRST_LOAD = 60_000
"""Bytes of script, uncompressed, that a visitor waits for. The worklets come with the first tap; the room check and
the charts when they are opened."""

ON_DEMAND = {"microphone-worklet.js", "playback-worklet.js", "room.js", "flight.js", "latency.js"} | {
    f"views/{name}.js" for name in ("check", "explained", "timeline", "waterfall")
}


def run(*command: str) -> None:
    assert shutil.which(command[0]), f"{command[0]} is needed: install nodejs and npm, then run `npm ci`"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def scripts() -> dict[str, str]:
    return {str(path.relative_to(WEB)): path.read_text() for path in WEB.rglob("*.js")}


def test_its_pure_parts() -> None:
    run("node", "--test", *map(str, sorted(Path(__file__).parent.glob("*.test.js"))))


def test_its_types() -> None:
    run("npm", "run", "--silent", "types")


def test_its_weight() -> None:
    texts = scripts()
    assert set(texts) >= ON_DEMAND
    assert sum(len(text.encode()) for name, text in texts.items() if name not in ON_DEMAND) < FIRST_LOAD


def test_what_loads_first_imports_nothing_that_can_wait() -> None:
    for name, text in scripts().items():
        if name in ON_DEMAND:
            continue
        paths = [(WEB / name).parent / path for path in re.findall(r"from '(.+?)'", text)]
        imported = {str(path.resolve().relative_to(WEB)) for path in paths}
        assert not imported & ON_DEMAND, name


def test_nothing_comes_from_elsewhere() -> None:
    for path in [*WEB.rglob("*.js"), *WEB.rglob("*.css"), *WEB.rglob("*.html"), *WEB.rglob("*.svg")]:
        addresses = re.findall(r"https?://[^\s'\"`<>)]+", path.read_text())
        assert [a for a in addresses if not a.startswith("http://www.w3.org/")] == [], path.name


def test_nothing_is_inline() -> None:
    """The content policy would drop it, and the page would only break where the policy is on."""
    document = (WEB / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", document)
    assert re.findall(r"<script(?![^>]*\ssrc=)", document) == []


def test_what_the_document_names_is_there() -> None:
    document = (WEB / "index.html").read_text()
    for path in re.findall(r'(?:src|href)="assets/([^"]+)"', document):
        assert (WEB / path).is_file(), path
    ids = re.findall(r'id="([^"]+)"', document)
    assert len(ids) == len(set(ids))
    acts = set(re.findall(r'data-do="(\w+)"', document))
    table = scripts()["app.js"].partition("const ACTS = {")[2].partition("\n};")[0]
    assert acts <= set(re.findall(r"^\t(\w+)[:(,]", table, re.MULTILINE))
    assert {f"#{name}" for name in re.findall(r'href="#([\w-]+)"', document)} <= {f"#{name}" for name in ids}
    assert set(re.findall(r'data-what="(\w+)"', document)) <= {*ids, "open_mic", "push_to_talk"}
    looks = set(re.findall(r'data-look="(\w+)"', document))
    assert looks == set(re.findall(r"^\t(\w+): \[0", scripts()["views/shape.js"], re.MULTILINE))
