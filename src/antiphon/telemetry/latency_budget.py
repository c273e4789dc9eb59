"""The course's latency budget: what each stage may take from the last word to the first sound. Pure."""

from __future__ import annotations

from collections.abc import Mapping

BUDGET_MS: Mapping[str, float] = {
    "capture": 500.0,
    "upload": 50.0,
    "asr": 300.0,
    "network": 50.0,
    "llm": 300.0,
    "tts": 200.0,
    "download": 50.0,
    "playback": 0.0,
}
"""Stage → ms. ``upload``, ``download`` and ``playback`` are seen by the client only; ``network`` is the way to the
providers, which our ``asr``, ``llm`` and ``tts`` contain."""

FIRST_SOUND_MS = sum(BUDGET_MS.values())
"""1450 ms from the last word to the first sound."""

LIMIT_MS: Mapping[str, float] = {**BUDGET_MS, "first_sound": FIRST_SOUND_MS}
"""The budget of each time that is measured of a turn, where it has one."""

STAGES = ("capture", "asr", "decide", "llm", "clause", "tts", "hold", "engine")
"""What the server measures of a turn, in order (``conversation.latency.Marks``)."""

STAGE_EDGES_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0)
"""Histogram edges: every stage's budget (50, 200, 300, 500 ms) is one, so that "within budget" is exact."""

FIRST_SOUND_EDGES_S = (0.1, 0.2, 0.3, 0.4, 0.55, 0.75, 0.95, 1.2, 1.45, 2.0, 3.0, 5.0, 10.0)
"""0.55 s is the aim on embedded models, 0.95 s with hosted ones, 1.45 s the course's budget."""
