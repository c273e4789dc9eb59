"""docs/models.md and docs/design/dependencies.md name what there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from antiphon.inference.catalog import shipped_catalog
from antiphon.inference.profiles import PROFILES

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_model_is_documented_with_its_licence() -> None:
    lines = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    for model in shipped_catalog().models:
        (row,) = [line for line in lines if line.startswith(f"| `{model.id}` ")]
        assert row.endswith(f"| {model.licence} |")


def test_the_profiles_are_documented() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = {"speech to text": "asr", "language model": "llm", "voice": "tts"}
    for title, kind in rows.items():
        names = [getattr(PROFILES[name], kind).partition("/")[2] for name in ("fast", "balanced")]
        assert f"| {title} | `{names[0]}` | `{names[1]}` |" in text


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "docs" / "design" / "dependencies.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[a-z][a-z0-9_-]+", text.replace("_", "-")))
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {re.split(r"[<>=\[; ]", entry)[0] for group in groups for entry in group}
    assert wanted - named == set()


def test_locks_carry_hashes_and_no_addresses() -> None:
    for name in ("base", "local", "dev", "build"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        assert "://" not in text
        assert not re.search(r"^\s*-(i|f|-index|-find|-extra)", text, re.MULTILINE)
        pins = re.findall(
            r"^[a-z0-9][\w.-]*==[^\s]+.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", text, re.MULTILINE
        )
        assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 0
