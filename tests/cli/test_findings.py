"""What doctor says of memory: what the server does with so much of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.cli.finding import Finding
from antiphon.cli.findings import memory_finding
from antiphon.settings import load_settings

EMBEDDED = {
    "ANTIPHON_PROFILE": "fast",
    "ANTIPHON_ASR": "local",
    "ANTIPHON_LLM": "local",
    "ANTIPHON_TTS": "local",
}


def found(free: int, folder: Path, *, ready: bool = False, **wishes: str) -> Finding:
    environ = {**EMBEDDED, "ANTIPHON_MODELS": str(folder), **wishes}
    return memory_finding(load_settings(environ).settings, free, ready=ready)


def test_memory_in_which_the_server_loads_nothing_is_a_fault(tmp_path: Path) -> None:
    finding = found(450_000_000, tmp_path)
    assert finding.level == "fail"
    assert "450.0 MB are free and at least" in finding.text
    assert "ASSISTANT_MEMORY" in finding.text


@pytest.mark.parametrize(("free", "level"), [(700_000_000, "note"), (1_000_000_000, "ok")])
def test_between_what_it_takes_and_what_is_good_it_is_worth_a_note(
    free: int, level: str, tmp_path: Path
) -> None:
    finding = found(free, tmp_path)
    assert finding.level == level
    assert "`fast` needs about 900.0 MB" in finding.text
    assert ("ASSISTANT_MEMORY" in finding.advice) == (level == "note")


def test_a_fallback_for_which_there_is_no_memory_keeps_no_server_from_starting(tmp_path: Path) -> None:
    """But those that nobody takes the place of do."""
    finding = found(
        450_000_000, tmp_path, ANTIPHON_ASR="scripted", ANTIPHON_LLM="scripted,local:qwen2.5-coder-1.5b",
        ANTIPHON_TTS="scripted",
    )  # fmt: skip
    assert (finding.level, finding.advice) == ("note", "It starts without that one.")
    assert "qwen2.5-coder-1.5b" in finding.text
    finding = found(400_000_000, tmp_path, ANTIPHON_LLM="scripted,local:qwen2.5-coder-1.5b")
    assert finding.level == "fail"


def test_what_the_running_server_holds_is_no_memory_that_lacks(tmp_path: Path) -> None:
    assert found(100_000_000, tmp_path, ready=True).level == "ok"
