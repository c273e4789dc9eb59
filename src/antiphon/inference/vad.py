"""Is someone speaking? Silero VAD 6 for all sessions, one run for all the frames of a moment.

Silero is a small recurrent network: besides a frame of 512 samples it takes the last 64 samples before it and
a state of 2 × 128 numbers, which belong to the stream. On onnxruntime one stream's frame costs 0.26 ms, in a batch of
eight 0.07 ms each; larger batches gain nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from weakref import WeakSet

import numpy as np

from antiphon.errors import AudioError
from antiphon.inference.batcher import Batcher
from antiphon.inference.onnx import open_onnx, pcm_to_float
from antiphon.inference.silero import Floats, SileroNetwork
from antiphon.providers.base import SPEECH_RATE, VOICE_FRAME, ProviderInfo

MODEL_ID = "vad/silero-6"
CONTEXT = 64
"""Samples before the frame that the network also hears (16 kHz)."""
STATE = (2, 128)
"""Shape of one stream's recurrent state."""
BATCH = 8
"""Streams a run: beyond that a run only gets longer."""
GATHER_S = 0.002
"""How long a frame waits for others when several sessions are live: a sixteenth of the frame itself."""
WAITING_LIMIT = 1024
"""Frames waiting. At 0.07 ms each this is 70 ms of work; more means that the machine has lost the race."""

Network = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""Sound (batch, 576) and state (2, batch, 128) → probabilities (batch,) and state."""


def on_onnxruntime(path: Path) -> Network:
    """The network at ``path``. Blocks for about 50 ms. Raises ``ModelError``."""
    session, rate = open_onnx(path, model_id=MODEL_ID, threads=1), np.array(SPEECH_RATE, dtype=np.int64)

    def run(heard: Floats, state: Floats) -> tuple[Floats, Floats]:
        speech, state = session.run(None, {"input": heard, "state": state, "sr": rate})
        return speech[:, 0], state

    return run


@dataclass(frozen=True, slots=True)
class _Frame:
    stream: SileroStream
    sound: Floats


class SileroDetector:
    """One network, one thread, any number of streams. A context manager: leaving it ends the thread."""

    info = ProviderInfo(provider="local", model="silero-6", sample_rate=SPEECH_RATE)

    def __init__(self, network: Network | None = None) -> None:
        """``network``: None for the one that this package carries."""
        self._network = network or SileroNetwork.packaged()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vad")
        self._streams: WeakSet[SileroStream] = WeakSet()
        self._batcher: Batcher[_Frame, float] = Batcher(
            self.run,
            name="local:silero-6",
            cap=BATCH,
            limit=WAITING_LIMIT,
            gather_s=GATHER_S,
            expected=lambda: len(self._streams),
            thread=self._thread,
        )

    def open(self) -> SileroStream:
        stream = SileroStream(self._batcher)
        self._streams.add(stream)
        return stream

    def run(self, frames: Sequence[_Frame]) -> list[float]:
        """One batch, each frame of another stream: probabilities out, the streams' memory moved on."""
        heard = np.stack([np.concatenate((frame.stream.context, frame.sound)) for frame in frames])
        state = np.stack([frame.stream.state for frame in frames], axis=1)
        speech, state = self._network(heard, state)
        for index, frame in enumerate(frames):
            frame.stream.context = heard[index, -CONTEXT:]
            frame.stream.state = state[:, index]
        return [float(probability) for probability in speech]

    def warm_up(self) -> None:
        """Run every batch size once, so that the first caller does not wait for kernels to be chosen."""
        silence = np.zeros(VOICE_FRAME, dtype=np.float32)
        for size in range(1, BATCH + 1):
            self.run([_Frame(SileroStream(self._batcher), silence) for _ in range(size)])

    @property
    def depth(self) -> int:
        """Frames waiting."""
        return self._batcher.depth

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> SileroDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SileroStream:
    """One session's ear. Its frames are heard one after the other: await ``detect`` before the next."""

    def __init__(self, batcher: Batcher[_Frame, float]) -> None:
        self._batcher = batcher
        self.context = np.zeros(CONTEXT, dtype=np.float32)
        self.state = np.zeros(STATE, dtype=np.float32)

    async def detect(self, pcm: bytes) -> tuple[float, ...]:
        """Whole frames of 512 samples → a probability each. If cancelled, the frame under way may still count
        as heard."""
        if len(pcm) % (2 * VOICE_FRAME):
            raise AudioError(
                f"The voice detector takes whole frames of {VOICE_FRAME} samples, got {len(pcm)} bytes."
            )
        frames = pcm_to_float(pcm).reshape(-1, VOICE_FRAME)
        return tuple([await self._batcher.submit(_Frame(self, frame)) for frame in frames])

    def reset(self) -> None:
        self.context = np.zeros(CONTEXT, dtype=np.float32)
        self.state = np.zeros(STATE, dtype=np.float32)
