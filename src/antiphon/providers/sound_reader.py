"""Sound as vendors send it → PCM s16le mono at the promised rate; knows no socket.

Raw PCM in pieces of any size, or a WAV file, whose header is believed over any promise: some servers send one
whatever they were asked for. Sound at another rate is resampled; what is no 16-bit mono PCM is refused.
"""

from __future__ import annotations

import re

from antiphon.audio.resample import Resampler
from antiphon.audio.wav import UNKNOWN_SIZES
from antiphon.providers.coded_sound import coded_as
from antiphon.providers.vendor_errors import Names, malformed, wrong_rate

LARGEST_HEADER = 4096
"""Bytes before a WAV file's sound."""

CODED = ("mpeg", "mpeg3", "mp3", "mp4", "m4a", "ogg", "opus", "aac", "aacp", "flac", "webm")
"""Of ``audio/…``, with or without ``x-``."""


class SoundReader:
    """Pieces in, whole samples at ``rate`` (Hz) out. ``content_type`` is the answer's header. ``sent_rate`` is what
    raw PCM is taken for; a rate in the content type wins. Raises ProviderError."""

    def __init__(self, names: Names, *, rate: int, content_type: str = "", sent_rate: int = 0) -> None:
        self._names = names
        self._rate = rate
        kind = content_type.partition(";")[0].strip().lower()
        if kind.removeprefix("audio/").removeprefix("x-") in CODED:
            raise self._refused(f"{kind} although PCM was asked for")
        if kind.endswith("json"):
            raise malformed(names, "JSON where sound was asked for")
        if kind == "text/html":
            raise malformed(names, "a web page where sound was asked for")
        told = re.search(r"\brate=(\d{4,6})\b", content_type)
        self._sent_rate = int(told[1]) if told else sent_rate or rate
        if "channels=2" in content_type.replace(" ", ""):
            raise self._refused("sound in stereo; mono is needed")
        self._start: bytes | None = b""
        """What came before it was clear what it is; None afterwards."""
        self._left: int | None = None
        """Bytes of sound that are still to come, where a WAV file says so; what follows them is none."""
        self._odd = b""
        self._resampler: Resampler | None = None
        self.samples = 0
        """Samples given so far."""

    def push(self, piece: bytes) -> bytes:
        """The next whole samples; may be empty."""
        if self._start is not None:
            self._start += piece
            known = self._opened(self._start, more=True)
            if known is None:
                return b""
            piece, self._start = known, None
        return self._whole(piece)

    def end(self) -> bytes:
        """What is left."""
        rest = b""
        if self._start is not None:
            known = self._opened(self._start, more=False)
            if known is None:
                raise malformed(self._names, "a WAV file without sound")
            self._start = None
            rest = self._whole(known)
        if self._resampler is not None:
            rest += self._resampler.flush()
            self.samples += len(rest) // 2
        return rest

    def _opened(self, start: bytes, *, more: bool) -> bytes | None:
        """The sound after the header; None while it is not all there."""
        if start.startswith(b"RIFF"):
            return self._unwrapped(start)
        coded = coded_as(start, more=more)
        if coded is None:
            return None
        if coded == "text":
            raise malformed(self._names, "a web page or JSON where sound was asked for")
        if coded:
            raise self._refused(f"{coded} although PCM was asked for")
        return start

    def _unwrapped(self, start: bytes) -> bytes | None:
        """A WAV file is chunks, each with its name and size; only their places tell which is the sound."""
        at, layout = 12, b""
        while (body := at + 8) <= min(len(start), LARGEST_HEADER):
            name, size = start[at : at + 4], int.from_bytes(start[at + 4 : body], "little")
            if name == b"data":
                self._read_format(layout)
                self._left = None if size in UNKNOWN_SIZES else size
                return start[body:]
            if name == b"fmt ":
                layout = start[body : body + size]
            at = body + size + size % 2
        if at > LARGEST_HEADER:
            raise malformed(self._names, "a WAV file without sound")
        return None

    def _read_format(self, fields: bytes) -> None:
        if len(fields) < 16:
            raise malformed(self._names, "a WAV file without a format")
        kind, channels = int.from_bytes(fields[0:2], "little"), int.from_bytes(fields[2:4], "little")
        bits = int.from_bytes(fields[14:16], "little")
        if kind not in (1, 0xFFFE) or channels != 1 or bits != 16:
            raise self._refused(f"WAV of {bits} bits and {channels} channels; 16 bits and one are needed")
        self._sent_rate = int.from_bytes(fields[4:8], "little")

    def _whole(self, piece: bytes) -> bytes:
        if self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        piece = self._odd + piece
        keep = len(piece) & ~1
        self._odd = piece[keep:]
        piece = piece[:keep]
        if self._sent_rate != self._rate:
            if not 8_000 <= self._sent_rate <= 192_000:
                raise self._refused(f"sound at {self._sent_rate} Hz")
            self._resampler = self._resampler or Resampler(self._sent_rate, self._rate)
            piece = self._resampler.push(piece)
        self.samples += len(piece) // 2
        return piece

    def _refused(self, what: str) -> Exception:
        return wrong_rate(
            self._names, f"sent {what}; check {self._names.model_setting} and {self._names.url_setting}"
        )
