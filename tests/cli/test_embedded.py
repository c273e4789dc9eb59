"""The whole way with embedded models, as people run it: a recording in, a right answer out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from antiphon.audio.level import level_dbfs
from antiphon.audio.wav import read_wav

SPEECH = Path(__file__).parents[1] / "speech"


@pytest.mark.models
def test_a_question_is_answered_rightly_and_noise_is_not(tmp_path: Path) -> None:
    clean = {
        name: value
        for name, value in os.environ.items()
        if name in ("ANTIPHON_MODELS",) or "ANTIPHON" not in name
    }
    ran = subprocess.run(
        [
            sys.executable, "-m", "antiphon", "call", "--json", "--out", "reply.wav",
            str(SPEECH / "callers/q00.wav"), str(SPEECH / "noise/noise1.wav"),
        ],
        cwd=tmp_path,
        env=clean | {"ANTIPHON_PROFILE": "fast"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    question, noise = (json.loads(line) for line in ran.stdout.splitlines())
    assert question["transcript"].strip(" ?.").lower() == "what is the capital of france"
    assert "Paris" in question["reply"]
    assert question["first_sound_ms"] > 0
    assert set(question["latency_ms"]) >= {"asr", "llm", "clause", "tts", "first_sound"}
    sound = read_wav(tmp_path / question["reply_wav"])
    assert sound.duration_s > 0.5
    assert level_dbfs(sound.pcm) > -45
    assert (noise["transcript"], noise["reply"], noise["error"]) == ("", "", None)
