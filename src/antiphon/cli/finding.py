"""What ``antiphon doctor`` and ``antiphon verify`` tell of each thing they look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at."""

    about: str
    level: Literal["ok", "note", "fail"]
    """``note`` works but could be better; ``fail`` keeps the server from answering."""
    text: str
    """What was found."""
    advice: str = ""
    """What to do about it."""
