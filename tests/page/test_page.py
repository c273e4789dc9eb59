"""The page as files: its node tests, its types, its weight, and that it needs nothing from elsewhere."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import antiphon.web

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
WEB = Path(antiphon.web.__path__[0])

FIRST_LOAD = 62_000
"""Bytes of script, uncompressed, that a visitor waits for. The worklets come with the first tap; the room check and
the charts when they are opened."""

ON_DEMAND = {
    "microphone-worklet.js",
    "playback-worklet.js",
    "room.js",
    "flight.js",
    "latency.js",
    "ticket.js",
} | {f"views/{name}.js" for name in ("check", "explained", "timeline", "waterfall")}


def run(*command: str) -> None:
    assert shutil.which(command[0]), f"{command[0]} is needed: install nodejs and npm, then run `npm ci`"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


VENDORED = {
    "uplot-1.6.32.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot-1.6.32.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
"""File → SHA-256, as in the npm package uplot 1.6.32 (``dist/uPlot.iife.min.js``, ``dist/uPlot.min.css``)."""


def scripts() -> dict[str, str]:
    """Those of the talking page."""
    return {
        name: text for name, text in every_script().items() if not name.startswith(("operator/", "vendor/"))
    }


def every_script() -> dict[str, str]:
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
        if path.parent.name == "vendor":  # it says where it is from, and asks for nothing
            continue
        addresses = re.findall(r"https?://[^\s'\"`<>)]+", path.read_text())
        assert [a for a in addresses if not a.startswith("http://www.w3.org/")] == [], path.name


def test_nothing_is_inline() -> None:
    """The content policy would drop it, and the page would only break where the policy is on."""
    for path in WEB.rglob("*.html"):
        document = path.read_text()
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", document)
        assert re.findall(r"<script(?![^>]*\ssrc=)", document) == []


def test_what_is_vendored_is_what_was_published() -> None:
    for name, sha256 in VENDORED.items():
        assert hashlib.sha256((WEB / "vendor" / name).read_bytes()).hexdigest() == sha256
    kept = {path.name for path in (WEB / "vendor").iterdir()}
    assert kept == {*VENDORED, "uplot.LICENSE.txt"}


def test_the_operators_page_names_what_is_there() -> None:
    document = (WEB / "operator" / "index.html").read_text()
    for path in re.findall(r'(?:src|href)="assets/([^"]+)"', document):
        assert (WEB / path).is_file(), path
    ids = re.findall(r'id="([^"]+)"', document)
    assert len(ids) == len(set(ids))
    texts = [text for name, text in every_script().items() if name.startswith("operator/")]
    assert {name for text in texts for name in re.findall(r"found\('([\w-]+)'\)", text)} <= set(ids)


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
