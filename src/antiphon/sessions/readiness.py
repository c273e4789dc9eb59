"""Is it ready to talk? What is being fetched and loaded, how far it is, and what went wrong."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from antiphon.errors import AntiphonError
from antiphon.sessions.offer import Assistant

ModelStage = Literal["queued", "downloading", "checking", "loading", "warming", "warm", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProgress:
    """How far one model is."""

    id: str
    """Catalog id, or ``provider:model``."""
    stage: ModelStage
    done_bytes: int = 0
    """Of the stage at hand; 0 when it does not count bytes."""
    total_bytes: int = 0
    message: str = ""
    """For people; what to do, when it failed."""


class Readiness:
    """Told by the loading, read by ``/ready`` and by admission."""

    def __init__(self) -> None:
        self.assistant: Assistant | None = None
        """None until everything is warm."""
        self.opened = asyncio.Event()
        """Set when everything was warm for the first time."""
        self.draining = False
        self.failure: AntiphonError | None = None
        """Why the last attempt to load failed; None while one is under way."""
        self.capacity: int | None = None
        """Conversations that this machine was measured to hold; None: not measured, the setting holds."""
        self._models: dict[str, ModelProgress] = {}

    @property
    def ready(self) -> bool:
        """Warm, and not about to stop."""
        return self.assistant is not None and not self.draining

    @property
    def models(self) -> tuple[ModelProgress, ...]:
        """In the order in which they were first told of."""
        return tuple(self._models.values())

    def begin(self) -> None:
        """A new attempt to load."""
        self.failure = None
        self._models.clear()

    def report(self, progress: ModelProgress) -> None:
        """A model got further."""
        self._models[progress.id] = progress

    def open(self, assistant: Assistant) -> None:
        """Everything is warm."""
        self.assistant = assistant
        self.opened.set()

    def fail(self, error: AntiphonError) -> None:
        """The attempt came to nothing."""
        self.assistant = None
        self.failure = error
