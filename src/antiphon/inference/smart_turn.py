"""Did that sound finished? smart-turn 3.2: the last eight seconds of a turn → probability that it is over.

The model (pipecat-ai, BSD-2) was trained on Whisper's log-mel of exactly 8 s: shorter sound is padded with
zeros in front; the whole is brought to zero mean and unit variance, padding included, before the spectrogram.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from antiphon.errors import ProviderUnavailable
from antiphon.inference.mel import log_mel
from antiphon.inference.onnx import open_onnx, pcm_to_float
from antiphon.providers.base import SPEECH_RATE, ProviderInfo

MODEL_ID = "turn/smart-turn-3.2"
WINDOW = 8 * SPEECH_RATE
"""Samples the model hears."""
WAITING_LIMIT = 32
"""Questions waiting. At 40 ms each the last is answered after 1.3 s, when silence has long decided."""
_VARIANCE_FLOOR = 1e-7


def features(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 mono at 16 kHz, any length → (1, 80, 800) as the model takes it."""
    window = np.zeros(WINDOW, dtype=np.float32)
    last = sound[-WINDOW:]
    if len(last):
        window[-len(last) :] = last
    window -= window.mean()
    window /= np.sqrt(window.var() + np.float32(_VARIANCE_FLOOR))
    return log_mel(window)[None]


class SmartTurn:
    """One model, one thread. A context manager: leaving it ends the thread."""

    info = ProviderInfo(provider="local", model="smart-turn-3.2", sample_rate=SPEECH_RATE)

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load the model at ``path``. Raises ``ModelError``."""
        self._session = open_onnx(path, model_id=MODEL_ID, threads=threads)
        self._input = self._session.get_inputs()[0].name
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="smart-turn")
        self._waiting = 0

    async def end_of_turn(self, pcm: bytes) -> float:
        """The turn so far (s16le, 16 kHz) → probability 0-1 that it is over. Safe to cancel: a question that
        has not begun is never put."""
        if self._waiting >= WAITING_LIMIT:
            raise ProviderUnavailable(
                f"local:smart-turn-3.2 is overloaded ({self._waiting} turns are waiting).",
                provider="local:smart-turn-3.2",
                retry_after_s=1.0,
            )
        self._waiting += 1
        asked: Future[float] = self._thread.submit(self.probability, pcm[-2 * WINDOW :])
        try:
            return await asyncio.wrap_future(asked)
        finally:
            self._waiting -= 1

    def probability(self, pcm: bytes) -> float:
        """Like ``end_of_turn``, on the calling thread."""
        (over,) = self._session.run(None, {self._input: features(pcm_to_float(pcm))})
        return float(over[0, 0])

    def warm_up(self) -> None:
        """One run of the one shape there is."""
        self.probability(b"")

    @property
    def depth(self) -> int:
        """Questions waiting or under way."""
        return self._waiting

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> SmartTurn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
