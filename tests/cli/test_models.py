"""``antiphon models``, as typed: real pip, small wheels in a local folder, the shipped catalog where it
shows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from antiphon.cli import main
from antiphon.inference.catalog import shipped_catalog


def antiphon(folder: Path, *arguments: str, **environ: str) -> Result:
    return CliRunner(env={"ANTIPHON_MODELS": str(folder), **environ}).invoke(main, ["models", *arguments])


def test_the_list_shows_every_model_and_what_is_here(tmp_path: Path) -> None:
    shown = antiphon(tmp_path, "list", COLUMNS="100")
    assert shown.exit_code == 0
    for model in shipped_catalog().models:
        assert model.id in shown.output
    assert shown.output.count("not here") == len(shipped_catalog().models)


def test_the_list_as_json_is_an_object_a_model(tmp_path: Path) -> None:
    lines = antiphon(tmp_path, "list", "--json").output.splitlines()
    facts = {entry["id"]: entry for entry in map(json.loads, lines)}
    assert facts["asr/whisper-base"]["state"] == "not here"
    assert facts["asr/whisper-base"]["licence"] == "MIT"
    assert facts["llm/smollm2-135m"]["disk_bytes"] == 98_362_432


def test_a_damaged_model_is_seen_and_verify_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "vad" / "silero-6"
    folder.mkdir(parents=True)
    (folder / "silero_vad.onnx").write_bytes(b"short")
    assert "damaged" in antiphon(tmp_path, "list").output
    checked = antiphon(tmp_path, "verify")
    assert checked.exit_code == 1
    assert "vad/silero-6 is damaged: silero_vad.onnx is cut short" in checked.output
    assert "antiphon models pull vad/silero-6" in checked.output


def test_path_of_a_model_that_is_not_here_is_an_error(tmp_path: Path) -> None:
    assert antiphon(tmp_path, "path").output.strip() == str(tmp_path)
    missing = antiphon(tmp_path, "path", "whisper-base")
    assert missing.exit_code == 1
    assert "antiphon models pull asr/whisper-base" in missing.output


def test_an_unknown_id_suggests_and_fetches_nothing(tmp_path: Path) -> None:
    unknown = antiphon(tmp_path, "pull", "vad/silero-6", "wisper-base")
    assert unknown.exit_code == 1
    assert "Did you mean asr/whisper-base?" in unknown.output
    assert list(tmp_path.iterdir()) == []


def test_pull_says_how_much_before_it_fails_without_an_index(tmp_path: Path) -> None:
    no_index = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(tmp_path)}
    failed = antiphon(tmp_path / "models", "pull", "vad/silero-6", **no_index)
    assert failed.exit_code == 1
    assert "11.3 MB to download" in failed.output
    assert "vad/silero-6 could not be fetched: pip could not fetch silero-vad==6.2.3" in failed.output


@pytest.mark.parametrize(("profile", "llm"), [("fast", "smollm2"), ("balanced", "qwen2.5")])
def test_without_ids_the_profile_in_effect_is_fetched(tmp_path: Path, profile: str, llm: str) -> None:
    no_index = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(tmp_path)}
    failed = antiphon(tmp_path / "models", "pull", ANTIPHON_PROFILE=profile, COLUMNS="300", **no_index)
    assert f"Profile {profile}: set by ANTIPHON_PROFILE" in failed.output
    assert llm in failed.output


@pytest.mark.models
def test_what_is_here_verifies_and_is_not_fetched_again() -> None:
    runner = CliRunner()
    assert runner.invoke(main, ["models", "pull", "vad/silero-6"]).exit_code == 0
    again = runner.invoke(main, ["models", "pull", "vad/silero-6"])
    assert "vad/silero-6: already here" in again.output
    assert runner.invoke(main, ["models", "verify", "vad/silero-6"]).output.strip() == "vad/silero-6: right"
