"""The shipped catalog holds together, and its reader refuses one that does not."""

from __future__ import annotations

import re

import pytest

from antiphon.errors import ModelError
from antiphon.inference.catalog import KINDS, parse_catalog, shipped_catalog
from antiphon.inference.profiles import PROFILES

HEX = re.compile(r"[0-9a-f]{64}")

ENTRY = """
schema = 1
[[model]]
id = "{id}"
title = "t"
languages = []
licence = "MIT"
source = "s"
packages = [{{ registry = "pypi", name = "p", version = "1", size = 1, sha256 = "0" }}]
files = [{{ name = "{file}", size = 1, sha256 = "0", parts = ["{package}:p/x"] }}]
"""


def test_every_model_is_whole() -> None:
    for model in shipped_catalog().models:
        assert model.kind in KINDS
        assert model.licence
        assert model.source.startswith("https://")
        assert all(HEX.fullmatch(package.sha256) and package.size > 0 for package in model.packages)
        assert all(HEX.fullmatch(file.sha256) and file.size > 0 for file in model.files)
        used = {part.package for file in model.files for part in file.parts}
        assert used == {package.name for package in model.packages}, model.id
        assert len({file.name for file in model.files}) == len(model.files)


def test_the_profiles_name_models_of_the_right_kind() -> None:
    catalog = shipped_catalog()
    for profile in PROFILES.values():
        kinds = [catalog.find(model_id).kind for model_id in profile.models]
        assert kinds == ["vad", "turn", "asr", "tts", "llm"]


def test_kokoro_has_its_54_voices() -> None:
    kokoro = shipped_catalog().find("kokoro-82m-int8")
    voices = [file for file in kokoro.files if file.name.startswith("voices/")]
    assert len(voices) == 54
    assert {file.size % (256 * 4) for file in voices} == {0}
    assert len({file.sha256 for file in voices}) == 54
    assert kokoro.main_file == "kokoro-82m-int8.onnx"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("whisper_base", "asr/whisper-base"),
        ("qwen2.5", "llm/qwen2.5-coder-1.5b"),
        ("tiny", "asr/whisper-tiny.en"),
    ],
)
def test_a_name_mistyped_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(ModelError, match=f"Did you mean {re.escape(meant)}"):
        shipped_catalog().find(typed)


def test_a_name_like_nothing_points_to_the_list() -> None:
    with pytest.raises(ModelError, match="antiphon models list"):
        shipped_catalog().find("zzzzzz")


@pytest.mark.parametrize(
    ("model_id", "file", "package", "complaint"),
    [
        ("asr/x", "../x", "p", "leaves the model's folder"),
        ("asr/x", "/etc/x", "p", "leaves the model's folder"),
        ("asr/x", "x", "q", "is not its package"),
        ("song/x", "x", "p", "is not kind/name"),
        ("asr", "x", "p", "is not kind/name"),
    ],
)
def test_an_entry_that_does_not_hold_together_is_refused(
    model_id: str, file: str, package: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_catalog(ENTRY.format(id=model_id, file=file, package=package))


def test_another_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="schema"):
        parse_catalog("schema = 2")
