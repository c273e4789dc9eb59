"""What the first bytes of a vendor's sound are, when they are no PCM: MP3, Ogg, WebM, a web page. Pure.

Any bytes may be PCM. So a mark counts only where sound cannot look so: a frame of MP3 by the frame that follows it,
text by its length.
"""

from __future__ import annotations

import re

MARKS = {b"ID3": "MP3", b"OggS": "Ogg", b"fLaC": "FLAC", b"\x1a\x45\xdf\xa3": "WebM"}

TEXT = re.compile(rb"\s*[<{][\t\n\r\x20-\x7e]*")
TEXT_BYTES = 16
"""So many printable bytes are eight samples in a row of a quarter of full scale and more, all positive."""

_KBPS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""MP3's bit rates in MPEG 1, and in 2 and 2.5, by their number in the header, from 1 on."""

_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Its sample rates, by the number of the version."""

HEADER = 6
"""Bytes of a frame that tell its length."""


def coded_as(start: bytes, *, more: bool = False) -> str | None:
    """``MP3``, ``text``, …; empty for what may be PCM. None: a few more bytes would tell, and ``more`` may come."""
    for mark, name in MARKS.items():
        if start.startswith(mark):
            return name
    if TEXT.fullmatch(start[:TEXT_BYTES]):
        return None if more and len(start) < TEXT_BYTES else "text"
    if more and len(start) < HEADER:
        return None
    if length := frame_length(start):
        following = start[length : length + HEADER]
        if more and len(following) < HEADER:
            return None
        return "MP3 or AAC" if following[:1] == start[:1] and frame_length(following) else ""
    return ""


def frame_length(start: bytes) -> int:
    """Bytes of the frame of MP3, or of AAC as it is streamed (ADTS), that begins here; 0: none does."""
    if len(start) < HEADER or start[0] != 0xFF:
        return 0
    second, third = start[1], start[2]
    if second & 0xF6 == 0xF0:
        length = (start[3] & 3) << 11 | start[4] << 3 | start[5] >> 5
        return length if length > HEADER and third >> 2 & 15 < 13 else 0
    version, bits, rate = second >> 3 & 3, third >> 4, third >> 2 & 3
    if second & 0xE6 != 0xE2 or version == 1 or rate == 3 or not 1 <= bits <= 14:
        return 0
    mpeg_1 = version == 3
    samples = 1_152 if mpeg_1 else 576
    return samples * _KBPS[mpeg_1][bits - 1] * 125 // _HZ[version][rate] + (third >> 1 & 1)
