"""What the rows of a report say, in the terminal and on its page."""

from __future__ import annotations

import math
from collections.abc import Mapping

from antiphon.telemetry.report import ProviderRow, StageRow
from antiphon.telemetry.signs import Sign

STAGE_NAMES = {
    "capture": "capture",
    "asr": "recognise",
    "decide": "decide",
    "llm": "think, first token",
    "clause": "first clause",
    "tts": "voice, first sound",
    "hold": "held until sure",
    "engine": "ours, between",
    "first_sound": "first sound",
}
SIGN_NAMES: Mapping[str, str] = {
    Sign.KEPT: "answers prepared ahead and used",
    Sign.DISCARDED: "answers prepared ahead and thrown away",
    Sign.FALSE_START: "answered too soon",
    Sign.BACKCHANNEL: "uh-huh over an answer",
    Sign.NOISE: "noise over an answer",
    Sign.ECHO: "heard its own voice",
    Sign.DROPPED: "turns without words",
}


def stage_name(row: StageRow) -> str:
    """For people; one of a newer version as it is."""
    return STAGE_NAMES.get(row.stage, row.stage)


def signs_named(signs: Mapping[str, int]) -> dict[str, int]:
    """Name for people → how often; those of a newer version as they are."""
    return {SIGN_NAMES.get(sign, sign.replace("_", " ")): count for sign, count in signs.items()}


def milliseconds(ms: float | None) -> str:
    """With its unit."""
    return "–" if ms is None else f"{ms:.0f} ms" if ms >= 1 else f"{ms:.1f} ms"


def within(row: StageRow) -> str:
    """Not rounded up: 100 % is all of them, and 50 % half."""
    return "–" if row.within is None else f"{math.floor(row.within * 100 + 1e-9)}%"


def used(row: ProviderRow) -> str:
    """What it is billed by."""
    match row.kind:
        case "asr":
            return f"{row.audio_minutes:.1f} min"
        case "llm":
            return f"{row.input_tokens} + {row.output_tokens} tokens"
        case _:
            return f"{row.characters} characters"


def cost(row: ProviderRow) -> str:
    """In dollars."""
    return "unknown" if row.unpriced else f"${row.cost_usd:.4f}"


def why(row: ProviderRow) -> str:
    """Causes of its failures."""
    return ", ".join(f"{cause} {count}" for cause, count in row.errors.items())
