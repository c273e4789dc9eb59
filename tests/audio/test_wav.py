"""WAV files of all kinds, and what is wrong with the others."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio.wav import LONGEST_S, Sound, read_wav, wav_bytes, write_wav
from antiphon.errors import AudioError

TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(1_600) / 16_000)


def wav(
    data: bytes,
    *,
    coding: int = 1,
    channels: int = 1,
    rate: int = 16_000,
    bits: int = 16,
    announced: int | None = None,
    before: bytes = b"",
    extensible: bool = False,
) -> bytes:
    """A WAV file made by hand."""
    frame = channels * bits // 8
    tag = 0xFFFE if extensible else coding
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits)
    if extensible:
        fmt += struct.pack("<HHIH", 22, bits, 0, coding) + b"\0" * 14
    size = len(data) if announced is None else announced
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(fmt)) + fmt
    body += b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def as_bits(samples: np.ndarray, bits: int) -> bytes:
    if bits == 8:
        return bytes(np.rint(samples * 127 + 128).astype(np.uint8))
    if bits == 24:
        wide = np.rint(samples * (2**23 - 1)).astype("<i4").view(np.uint8).reshape(-1, 4)
        return bytes(wide[:, :3].tobytes())
    return bytes(np.rint(samples * (2 ** (bits - 1) - 1)).astype(f"<i{bits // 8}").tobytes())


def close(sound: Sound, samples: np.ndarray, tolerance: float = 0.001) -> bool:
    got = np.frombuffer(sound.pcm, dtype="<i2") / 32_768
    return len(got) == len(samples) and float(np.abs(got - samples).max()) < tolerance


@given(
    st.binary(max_size=400).filter(lambda b: len(b) >= 2), st.sampled_from([8_000, 16_000, 24_000, 192_000])
)
def test_what_is_written_is_read(data: bytes, rate: int) -> None:
    pcm = data[: len(data) & ~1]
    assert read_wav(wav_bytes(pcm, rate)) == Sound(pcm=pcm, rate=rate)


def test_files(tmp_path: Path) -> None:
    pcm = as_bits(TONE, 16)
    write_wav(tmp_path / "a.wav", pcm, 16_000)
    sound = read_wav(tmp_path / "a.wav")
    assert (sound.pcm, sound.rate, sound.duration_s, sound.notes) == (pcm, 16_000, 0.1, ())


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_widths_and_channels(bits: int, channels: int) -> None:
    data = as_bits(np.repeat(TONE, channels), bits)
    sound = read_wav(wav(data, bits=bits, channels=channels))
    assert close(sound, TONE, tolerance=0.01 if bits == 8 else 0.001)
    assert len(sound.notes) == (channels > 1) + (bits != 16)


@pytest.mark.parametrize("extensible", [False, True])
def test_floats(extensible: bool) -> None:
    data = np.append(TONE[:-3], [2.0, -2.0, np.nan]).astype("<f4").tobytes()
    sound = read_wav(wav(data, coding=3, bits=32, extensible=extensible))
    assert close(sound, np.append(TONE[:-3], [1.0, -1.0, 0.0]))
    assert sound.notes == ("32-bit float samples were converted to 16 bit",)


def test_stereo_says_so_and_other_rates_can_be_had() -> None:
    sound = read_wav(wav(as_bits(np.repeat(TONE, 2), 16), channels=2, rate=44_100)).at_rate(16_000)
    assert sound.notes == ("stereo was mixed to mono", "resampled from 44100 to 16000 Hz")
    assert sound.duration_s == pytest.approx(1_600 / 44_100, abs=1e-3)
    assert sound.at_rate(16_000) is sound


def test_other_chunks_are_skipped_and_an_open_end_is_taken() -> None:
    data = as_bits(TONE, 16)
    assert read_wav(wav(data, before=b"LIST\x03\0\0\0abc\0")).pcm == data
    streamed = read_wav(wav(data, announced=0xFFFFFFFF))
    assert streamed.pcm == data
    assert "not written" in streamed.notes[0]


GOOD = wav(as_bits(TONE, 16))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a WAV"),
        (b"ID3\x04 mp3 data follows", "not a WAV"),
        (b"OggS" + b"\0" * 60, "not a WAV"),
        (GOOD[:14], "cut short"),
        (GOOD[:30], "cut short"),
        (GOOD[:40], "cut short"),
        (GOOD[:-200], "announces 0.1 s"),
        (wav(b""), "no sound"),
        (wav(b"\0" * 100, coding=7, bits=8), "mu-law"),
        (wav(b"\0" * 100, coding=85), "MP3"),
        (wav(b"\0" * 100, coding=999), "format 999"),
        (wav(b"\0" * 100, bits=12), "12-bit"),
        (wav(b"\0" * 100, channels=0), "0 channels"),
        (wav(b"\0" * 100, channels=60), "60 channels"),
        (wav(b"\0" * 100, rate=0), "0 Hz"),
        (wav(b"\0" * 100, rate=1_000_000), "1000000 Hz"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, says: str) -> None:
    with pytest.raises(AudioError, match=says):
        read_wav(data)


@pytest.mark.parametrize("cut", range(0, len(GOOD), 7))
def test_a_file_cut_anywhere_is_an_error_and_nothing_else(cut: int) -> None:
    with pytest.raises(AudioError):
        read_wav(GOOD[:cut])


@given(st.binary(max_size=300))
def test_noise_in_place_of_a_file_is_an_error_and_nothing_else(data: bytes) -> None:
    for file in (data, GOOD[:12] + data):
        try:
            read_wav(file)
        except AudioError:
            pass


def test_an_hour_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "hour.wav"
    hour = 3_600 * 16_000 * 2
    with path.open("wb") as file:
        file.write(wav(b"", announced=hour))
        file.truncate(44 + hour)  # a sparse file: no disk, no memory
    with pytest.raises(AudioError, match="lasts 60 minutes; at most 15"):
        read_wav(path)
    assert LONGEST_S == 900


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="No such file"):
        read_wav(tmp_path / "nothing.wav")
    with pytest.raises(AudioError, match="directory"):
        read_wav(tmp_path)
    with pytest.raises(AudioError, match="cannot be written"):
        write_wav(tmp_path / "no" / "such.wav", b"\0\0", 16_000)
