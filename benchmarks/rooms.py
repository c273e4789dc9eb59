"""The speech of ``tests/speech`` as a microphone in a room would hear it: noise and reverberation,
repeatable."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from antiphon.audio.frames import to_float, to_pcm
from antiphon.audio.level import level_dbfs, speech_end
from antiphon.audio.wav import read_wav

SPEECH = Path(__file__).resolve().parent.parent / "tests" / "speech"
RATE = 16_000
LEAD_S = 0.8
"""Room sound before the speech, so that detectors have settled."""
TAIL_S = 3.5
"""Room sound after it: longer than any contender waits."""
END_BELOW_DB = 25.0
"""Speech ends where its level falls this far below the clip's own; the readings have up to 0.1 s of breath
after."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One turn."""

    name: str
    """``callers/q00``"""
    text: str
    sound: Samples
    """The clean recording at 16 kHz."""
    end_s: float
    """Where its speech ends."""
    pauses: tuple[tuple[float, float], ...] = ()
    """Pauses inside the turn that were put there: (start, end), seconds."""

    @property
    def group(self) -> str:
        """``callers``, ``callers with a pause`` or ``human``."""
        folder = self.name.partition("/")[0]
        return f"{folder} with a pause" if self.pauses else folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How a microphone hears a clip."""

    name: str
    snr_db: float | None = None
    """Speech above noise; None without noise."""
    echo: bool = False
    """Whether the room's reverberation is added."""


ROOMS = (
    Room(name="clean"),
    Room(name="noise 20 dB", snr_db=20.0),
    Room(name="noise 10 dB", snr_db=10.0),
    Room(name="reverberation, noise 20 dB", snr_db=20.0, echo=True),
    Room(name="reverberation, noise 10 dB", snr_db=10.0, echo=True),
)


def clips(folder: Path = SPEECH) -> list[Clip]:
    """All turns of ``callers/`` and ``human/``."""
    return [
        _clip(folder, group, entry)
        for group in ("callers", "human")
        for entry in json.loads((folder / group / "manifest.json").read_text())
    ]


def _clip(folder: Path, group: str, entry: dict[str, object]) -> Clip:
    file = str(entry["file"])
    pcm = read_wav(folder / group / file).at_rate(RATE).pcm
    end = speech_end(pcm, RATE, threshold_dbfs=level_dbfs(pcm) - END_BELOW_DB) / RATE
    ends, pause = entry.get("part_ends_ms"), entry.get("pause_ms")
    pauses: list[tuple[float, float]] = []
    if isinstance(ends, list) and isinstance(pause, int):
        pauses = [(at / 1000, (at + pause) / 1000) for at in ends[:-1]]
    return Clip(
        name=f"{group}/{file.removesuffix('.wav')}",
        text=str(entry["text"]),
        sound=to_float(pcm),
        end_s=end,
        pauses=tuple(pauses),
    )


class Rooms:
    """Puts clips into rooms. The same clip in the same room always sounds the same."""

    def __init__(self, folder: Path = SPEECH) -> None:
        noise = folder / "noise"
        self._noises = [_load(path) for path in sorted(noise.glob("noise*.wav"))]
        self._responses = [_direct(_load(path)) for path in sorted(noise.glob("rir*.wav"))]

    def hear(self, clip: Clip, room: Room, number: int) -> bytes:
        """PCM s16le at 16 kHz: ``LEAD_S`` of room, the clip, ``TAIL_S`` of room. ``number`` picks noise and
        reverberation, so that clips meet different ones."""
        lead, tail = np.zeros(int(LEAD_S * RATE), np.float32), np.zeros(int(TAIL_S * RATE), np.float32)
        sound = np.concatenate([lead, clip.sound, tail])
        if room.echo:
            response = self._responses[number % len(self._responses)]
            echoing = _convolve(sound, response)
            spoken = slice(len(lead), len(lead) + len(clip.sound))  # as loud as before, where it is spoken
            sound = echoing * np.float32(np.std(sound[spoken]) / np.std(echoing[spoken]))
        if room.snr_db is not None:
            noise = _stretch(self._noises[number % len(self._noises)], len(sound), number)
            speech_db = level_dbfs(to_pcm(clip.sound))
            noise_db = level_dbfs(to_pcm(noise))
            sound = sound + noise * 10 ** ((speech_db - room.snr_db - noise_db) / 20)
        loudest = float(np.abs(sound).max())
        return to_pcm(sound / loudest * 0.99 if loudest > 0.99 else sound)


def _load(path: Path) -> Samples:
    return to_float(read_wav(path).at_rate(RATE).pcm)


def _direct(response: Samples) -> Samples:
    """A room's response from the direct sound on, so that speech keeps its time."""
    return response[int(np.argmax(np.abs(response))) :]


def _convolve(sound: Samples, response: Samples) -> Samples:
    size = len(sound) + len(response) - 1
    spectrum = np.fft.rfft(sound, size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[: len(sound)].astype(np.float32)


def _stretch(noise: Samples, samples: int, number: int) -> Samples:
    """As much of a noise as is wanted, from a place that depends on the clip."""
    start = number * 7_919 % len(noise)
    turned = np.roll(noise, -start)
    return np.tile(turned, -(-samples // len(turned)))[:samples]
