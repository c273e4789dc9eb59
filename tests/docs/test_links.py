"""Every link and picture in the documents leads somewhere, headings included; every page is reached from the README."""

import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])

FENCE = re.compile(r"^\s*```.*?^\s*```\s*$", re.MULTILINE | re.DOTALL)
# Text in code spans is not a link, though a link's text may be code.
CODE_SPAN = re.compile(r"`[^`\n]*`")
# [text](target) and ![text](target), a title after the target left out.
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)


def _prose(document: Path) -> str:
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def _targets(document: Path) -> Iterator[str]:
    for match in LINK.finditer(CODE_SPAN.sub("code", _prose(document))):
        if not urllib.parse.urlsplit(match[1]).scheme:
            yield match[1]


def _anchors(document: Path) -> set[str]:
    """A heading's anchor as GitHub makes it: lower case, no punctuation, dashes for spaces, -1, -2 for repeats."""
    anchors: set[str] = set()
    for heading in HEADING.findall(_prose(document)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        repeats = sum(1 for other in anchors if re.fullmatch(re.escape(anchor) + r"(-\d+)?", other))
        anchors.add(f"{anchor}-{repeats}" if anchor in anchors else anchor)
    return anchors


def _dead(document: Path) -> list[str]:
    dead = []
    for target in _targets(document):
        path, _, anchor = target.partition("#")
        there = (document.parent / urllib.parse.unquote(path)).resolve() if path else document
        if not there.exists():
            dead.append(f"{target}: no such file")
        elif anchor and there.suffix == ".md" and anchor not in _anchors(there):
            dead.append(f"{target}: no such heading in {there.name}")
    return dead


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert _dead(document) == []


def test_a_dead_link_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# What's *here*?\n## Twice\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[good](there.md) [good](there.md#whats-here) [good](there.md#twice-1) [good](https://example.org/none)\n"
        "`[no link](nowhere.md)`\n```\n[no link](nowhere.md)\n```\n"
        "[dead](nowhere.md) ![dead](none.png) [dead](there.md#elsewhere) [dead](#nothing)\n"
    )
    assert _dead(page) == [
        "nowhere.md: no such file",
        "none.png: no such file",
        "there.md#elsewhere: no such heading in there.md",
        "#nothing: no such heading in page.md",
    ]


def test_every_page_and_example_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in reached:
            continue
        reached.add(document)
        if document.suffix != ".md":
            continue
        for target in _targets(document):
            path = target.partition("#")[0]
            there = (document.parent / urllib.parse.unquote(path)).resolve() if path else document
            if there.is_file():
                waiting.append(there)
    docs = {path for path in (ROOT / "docs").rglob("*") if path.suffix in {".md", ".env"}}
    assert sorted(str(path.relative_to(ROOT)) for path in docs - reached) == []


def test_every_page_of_docs_is_named_in_the_readme_itself() -> None:
    named = {target.partition("#")[0] for target in _targets(ROOT / "README.md")}
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(pages - named) == []
