"""The session's ear: sound in at any rate, one timeline at 16 kHz, speech found in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

from antiphon.audio.resample import Resampler
from antiphon.errors import AudioError
from antiphon.providers.base import SPEECH_RATE, VOICE_FRAME, VoiceStream
from antiphon.turns.events import SpeechFaltered, SpeechPaused, SpeechStarted
from antiphon.turns.speech import GateConfig, SpeechGate

BYTES = 2
"""A sample, s16le."""

KEPT_S = 90.0
"""Sound kept for recognition: the longest turn (60 s) and room to spare. 2.9 MB a session."""

_RING = int(KEPT_S * SPEECH_RATE) * BYTES

GAP_S = 0.3
"""A client that sends nothing for longer has a gap in its sound, not a late packet."""


class AudioClock:
    """The session's time: seconds of sound received, extrapolated while none arrives. Wall time is an argument."""

    def __init__(self, *, begun_at: float = 0.0) -> None:
        """``begun_at``: seconds of sound received before, by someone else (a session that came over)."""
        self._received = begun_at
        self._wall: float | None = None
        self._stopped: float | None = None

    def stop(self, wall: float) -> None:
        """Nobody is there: time stands still from ``wall`` on."""
        if self._stopped is None:
            self.now(wall)
            self._stopped = wall

    def go_on(self, wall: float) -> None:
        """Somebody is there again: the time between is no gap in the sound."""
        if self._stopped is not None and self._wall is not None:
            self._wall += wall - self._stopped
        self._stopped = None

    def receive(self, seconds: float, wall: float) -> float:
        """``seconds`` of sound arrived at ``wall``. Returns the seconds of silence missing before it."""
        wall = self._running(wall)
        gap = 0.0
        if self._wall is not None:
            late = self.now(wall) - self._received - seconds
            if late > GAP_S:
                frames = int(late * SPEECH_RATE) // VOICE_FRAME
                gap = frames * VOICE_FRAME / SPEECH_RATE
        self._received += gap + seconds
        self._wall = wall
        return gap

    def now(self, wall: float) -> float:
        """Seconds on the audio clock at ``wall``."""
        wall = self._running(wall)
        if self._wall is None:
            self._wall = wall
        return self._received + max(0.0, wall - self._wall)

    def _running(self, wall: float) -> float:
        return wall if self._stopped is None else min(wall, self._stopped)

    def wall_of(self, at: float) -> float:
        """When the sound at ``at`` was received, on the wall clock."""
        return (self._wall or 0.0) - (self._received - at)


class _Sound:
    """The last ``KEPT_S`` seconds on the timeline, in a ring of pages of its own: they are the system's again when the
    session is over. On the C library's heap, among everything else, sound left holes that it could not give back: with
    20 conversations over, 86 of its 110 MB were free, and still taken."""

    def __init__(self, first: int) -> None:
        self.first = first
        """Sample number of the first one kept."""
        self.end = first
        """And of the first one that is still to come."""
        self._ring = mmap(-1, _RING, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        """Sample ``n`` is at ``n * BYTES % _RING``; pages that no sound has come to take no memory."""

    def append(self, pcm: bytes) -> None:
        self.end += len(pcm) // BYTES
        self.first = max(self.first, self.end - _RING // BYTES)
        pcm = pcm[-_RING:]
        at = self.end * BYTES % _RING - len(pcm)
        if at < 0:
            self._ring[at + _RING :] = pcm[:-at]
            pcm, at = pcm[-at:], 0
        self._ring[at : at + len(pcm)] = pcm

    def samples(self, start: int, end: int) -> bytes:
        """Those from number ``start`` up to ``end``, as far as they are kept."""
        start, end = max(start, self.first), min(end, self.end)
        if start >= end:
            return b""
        a, b = start * BYTES % _RING, end * BYTES % _RING
        return self._ring[a:b] if a < b else self._ring[a:] + self._ring[:b]

    def close(self) -> None:
        """Keep nothing any more."""
        self.first = self.end
        self._ring.close()

    def cut(self, start: float, end: float) -> bytes:
        return self.samples(int(start * SPEECH_RATE), int(end * SPEECH_RATE))


class Ear:
    """One microphone. Not safe for concurrent ``hear`` calls: one reader feeds it, in order."""

    def __init__(
        self,
        *,
        input_rate: int,
        stream: VoiceStream,
        gate: GateConfig | None = None,
        begun_at: float = 0.0,
    ) -> None:
        """``begun_at``: where the timeline begins, in seconds; a multiple of 32 ms."""
        self._resampler = Resampler(input_rate, SPEECH_RATE) if input_rate != SPEECH_RATE else None
        self._stream = stream
        self._gate = SpeechGate(gate)
        self._gate.skip(begun_at)
        self._judged = round(begun_at * SPEECH_RATE)
        self._sound = _Sound(first=self._judged)

    @property
    def speaking(self) -> bool:
        return self._gate.speaking

    @property
    def position(self) -> float:
        """Seconds of sound on the timeline."""
        return self._sound.end / SPEECH_RATE

    def cut(self, start: float, end: float) -> bytes:
        """The sound between two times: PCM s16le mono at 16 kHz, as much of it as is kept."""
        return self._sound.cut(start, end)

    def close(self) -> None:
        """The session is over: let go of its sound. Nothing may be taken any more."""
        self._sound.close()

    def take(self, pcm: bytes, *, gap: float = 0.0) -> None:
        """Put sound on the timeline, after ``gap`` seconds of silence that the client did not send."""
        if len(pcm) % BYTES:
            raise AudioError(
                "a binary message has an odd number of bytes; PCM s16le mono has two bytes a sample"
            )
        if gap:
            self._sound.append(bytes(round(gap * SPEECH_RATE) * BYTES))
        self._sound.append(self._resampler.push(pcm) if self._resampler else pcm)

    async def listen(self) -> AsyncIterator[SpeechStarted | SpeechPaused | SpeechFaltered]:
        """Judge what was taken since the last call: speech that began or paused in it."""
        frames = (self._sound.end - self._judged) // VOICE_FRAME
        if frames <= 0:
            return
        start = max(self._judged, self._sound.first)
        pcm = self._sound.samples(start, start + frames * VOICE_FRAME)
        self._judged = start + frames * VOICE_FRAME
        for probability in await self._stream.detect(pcm):
            for event in self._gate.push(probability):
                yield event

    def skip(self) -> bool:
        """Leave what was taken unjudged (push-to-talk: the user says when speech is). Whether there was any."""
        frames = (self._sound.end - self._judged) // VOICE_FRAME
        self._judged += frames * VOICE_FRAME
        self._gate.skip(frames * VOICE_FRAME / SPEECH_RATE)
        return frames > 0
