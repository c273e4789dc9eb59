"""What callers do, and how often: ``talk=60,pause=15,interrupt=15,drop=5,leave=5``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal, cast, get_args

from antiphon.errors import SettingsError

Behaviour = Literal["talk", "pause", "interrupt", "drop", "leave"]
"""Say something; pause in the middle of it; speak over the answer; lose the connection and come back; hang up
after the answer and call anew."""

DEFAULT_WEIGHTS: Mapping[Behaviour, float] = {
    "talk": 60.0,
    "pause": 15.0,
    "interrupt": 15.0,
    "drop": 5.0,
    "leave": 5.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Behaviour → weight; what is not named never happens."""

    weights: Mapping[Behaviour, float] = field(default_factory=lambda: DEFAULT_WEIGHTS)

    @staticmethod
    def parse(text: str) -> Mix:
        """``talk=80,interrupt=20``. Raises SettingsError saying what may be named."""
        weights: dict[Behaviour, float] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            name, _, amount = part.partition("=")
            try:
                weight = float(amount or 1)
            except ValueError:
                weight = -1.0
            if name not in get_args(Behaviour) or weight < 0:
                raise SettingsError(
                    f"--mix names {part!r}; write {', '.join(get_args(Behaviour))} with a weight of 0 or more each, "
                    "such as talk=80,interrupt=20"
                )
            weights[cast(Behaviour, name)] = weight
        if not any(weights.values()):
            raise SettingsError("--mix names nothing that callers may do; talk=1 is the least")
        return Mix(weights=weights)

    def choose(self, random: Random) -> Behaviour:
        """The next one."""
        return random.choices(tuple(self.weights), tuple(self.weights.values()))[0]
