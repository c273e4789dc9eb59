"""Voices that a vendor does not have: another speaks in their place, without asking again for every clause."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from antiphon.errors import ProviderError

BELIEVED_S = 60.0
"""A wrong voice is mended by a person, at the vendor's or in the settings. Asked for once a minute, it is noticed."""

MOST = 256
"""Voices that are remembered: callers may ask for any name."""


class RefusedVoices:
    """Of one adapter."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        """Voice → loop time until which it is not asked for."""

    def first_else(self, *voices: str) -> str:
        """The first that is named and was not refused lately; the last, when there is none."""
        now = asyncio.get_running_loop().time()
        return next((voice for voice in voices if voice and self._until.get(voice, now) <= now), voices[-1])

    @contextmanager
    def noticing(self, voice: str) -> Iterator[None]:
        """While ``voice`` is asked for: that it is refused is remembered."""
        try:
            yield
        except ProviderError as error:
            if error.cause == "unknown_voice":
                self._until[voice] = asyncio.get_running_loop().time() + BELIEVED_S
                self._until.move_to_end(voice)
                if len(self._until) > MOST:
                    self._until.popitem(last=False)
            raise
