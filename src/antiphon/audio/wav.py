"""WAV files: read what people have (stereo, 8 to 32 bit, float, any rate) as PCM s16le mono, and say what was
done."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass, replace
from pathlib import Path
from struct import error as StructError
from struct import unpack, unpack_from
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from antiphon.audio.frames import to_pcm
from antiphon.audio.resample import check_rate, resample
from antiphon.errors import AudioError

LONGEST_S = 15 * 60.0
"""Seconds that a file may last: no turn is longer than a minute, and an hour is a mistake."""

LARGEST_BYTES = 256 * 1024 * 1024
"""Sound data of a file: 15 minutes of 48 kHz stereo at 24 bit, and a bound on memory."""

MOST_CHANNELS = 8

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
FORMATS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM", 49: "GSM", 80: "MPEG", 85: "MP3", 255: "AAC"}
UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""Data sizes that programs write when they do not know yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Sound in memory."""

    pcm: bytes
    """PCM s16le mono."""
    rate: int
    """Hz."""
    notes: tuple[str, ...] = ()
    """What was converted, for people: "stereo was mixed to mono"."""

    @property
    def duration_s(self) -> float:
        return len(self.pcm) / 2 / self.rate

    def at_rate(self, rate: int) -> Sound:
        """The same sound at another rate, with a note when that changes it."""
        if rate == self.rate:
            return self
        note = f"resampled from {self.rate} to {rate} Hz"
        return replace(self, pcm=resample(self.pcm, self.rate, rate), rate=rate, notes=(*self.notes, note))


def read_wav(source: Path | str | bytes, *, longest_s: float = LONGEST_S) -> Sound:
    """The sound of a WAV file (a path, or its bytes). Raises ``AudioError``, saying what is wrong and what to
    do, for anything else: not a WAV, cut short, compressed, too long, too many channels, unreadable."""
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), "the sound", len(source), longest_s)
    path = Path(source)
    try:
        with path.open("rb") as file:
            return _read(file, path.name, path.stat().st_size, longest_s)
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror or error}") from error


def write_wav(path: Path | str, pcm: bytes, rate: int) -> None:
    """PCM s16le mono into a WAV file. Raises ``AudioError`` when it cannot be written."""
    try:
        Path(path).write_bytes(wav_bytes(pcm, rate))
    except OSError as error:
        raise AudioError(f"{path} cannot be written: {error.strerror or error}") from error


def wav_bytes(pcm: bytes, rate: int) -> bytes:
    """A WAV file of PCM s16le mono."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Format:
    coding: int
    channels: int
    rate: int
    bits: int

    @property
    def frame(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.bits // 8


def _read(file: BinaryIO, name: str, size: int, longest_s: float) -> Sound:
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise AudioError(
            f"{name} is not a WAV file; convert it, for example with: ffmpeg -i {name} sound.wav"
        )
    layout: _Format | None = None
    while True:
        header = file.read(8)
        if len(header) < 8:
            what = "its sound data" if layout else "its format"
            raise AudioError(f"{name} is cut short: {what} is missing")
        kind, length = header[:4], unpack("<I", header[4:])[0]
        if kind == b"fmt ":
            layout = _format(file.read(length), name)
            file.seek(length % 2, io.SEEK_CUR)
        elif kind == b"data" and layout is not None:
            return _sound(file, layout, name, length, size - file.tell(), longest_s)
        else:
            file.seek(length + length % 2, io.SEEK_CUR)


def _format(chunk: bytes, name: str) -> _Format:
    try:
        coding, channels, rate, _, _, bits = unpack_from("<HHIIHH", chunk)
        if coding == EXTENSIBLE:
            (coding,) = unpack_from("<H", chunk, 24)
    except StructError:
        raise AudioError(f"{name} is cut short: its format is incomplete") from None
    widths = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}.get(coding)
    if widths is None:
        kind = FORMATS.get(coding, f"format {coding}")
        raise AudioError(f"{name} is compressed ({kind}); convert it to plain PCM")
    if bits not in widths:
        raise AudioError(f"{name} has {bits}-bit samples; {', '.join(map(str, widths))} bits can be read")
    if not 1 <= channels <= MOST_CHANNELS:
        raise AudioError(f"{name} has {channels} channels; 1 to {MOST_CHANNELS} can be read")
    check_rate(rate)
    return _Format(coding, channels, rate, bits)


def _sound(file: BinaryIO, layout: _Format, name: str, announced: int, there: int, longest_s: float) -> Sound:
    open_ended = announced in UNKNOWN_SIZES and there > 0
    length = there if open_ended else announced
    if length > there:
        seconds = [size / layout.frame / layout.rate for size in (announced, there)]
        raise AudioError(f"{name} is cut short: it announces {seconds[0]:.1f} s and holds {seconds[1]:.1f} s")
    duration = length / layout.frame / layout.rate
    if duration > longest_s:
        raise AudioError(f"{name} lasts {duration / 60:.0f} minutes; at most {longest_s / 60:.0f} are taken")
    if length > LARGEST_BYTES:
        raise AudioError(f"{name} holds {length >> 20} MiB of sound; at most {LARGEST_BYTES >> 20} are taken")
    data = file.read(length // layout.frame * layout.frame)
    if not data:
        raise AudioError(f"{name} holds no sound")
    notes = _notes(layout, open_ended=open_ended)
    return Sound(pcm=_mono(data, layout), rate=layout.rate, notes=notes)


def _notes(layout: _Format, *, open_ended: bool) -> tuple[str, ...]:
    notes = []
    if open_ended:
        notes.append("its length was not written; all that is there was taken")
    if layout.channels > 1:
        kind = "stereo" if layout.channels == 2 else f"{layout.channels} channels"
        notes.append(f"{kind} was mixed to mono" if layout.channels == 2 else f"{kind} were mixed to mono")
    if (layout.coding, layout.bits) != (PCM, 16):
        kind = "float" if layout.coding == FLOAT else "integer"
        notes.append(f"{layout.bits}-bit {kind} samples were converted to 16 bit")
    return tuple(notes)


def _mono(data: bytes, layout: _Format) -> bytes:
    if (layout.coding, layout.bits, layout.channels) == (PCM, 16, 1):
        return data
    samples = _samples(data, layout).reshape(-1, layout.channels)
    return to_pcm(samples.mean(axis=1))


def _samples(data: bytes, layout: _Format) -> npt.NDArray[np.float64]:
    """All channels' samples from -1 to 1."""
    if layout.coding == FLOAT:
        return np.frombuffer(data, dtype=f"<f{layout.bits // 8}").astype(np.float64)
    if layout.bits == 8:  # the one unsigned width
        return (np.frombuffer(data, dtype=np.uint8).astype(np.float64) - 128) / 128
    if layout.bits == 24:
        wide = np.zeros((len(data) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
        return wide.reshape(-1).view("<i4").astype(np.float64) / 2**31
    return np.frombuffer(data, dtype=f"<i{layout.bits // 8}").astype(np.float64) / 2.0 ** (layout.bits - 1)
