"""What callers say: numbered coded speech for scripted servers, or recordings. Cut into packets beforehand, and
shared by all callers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Literal, Protocol

from antiphon.audio.coded_speech import speech_sound
from antiphon.audio.level import level_dbfs, speech_end
from antiphon.audio.wav import read_wav
from antiphon.errors import SettingsError

RATE = 16_000
"""Hz of microphone sound: what recognisers hear."""

PAUSE_S = (0.4, 0.9)
"""A pause in the middle of a turn: as long as people take for a breath or a thought, from which a server may or
may not take the turn as over."""

TURNS = (
    ("tell me about {}", "together with {}"),
    ("what is the story of {}", "as well as {}"),
    ("please explain {}", "compared to {}"),
    ("who has heard of {}", "or even {}"),
    ("where can people see {}", "next to {}"),
)
"""Openings, and how they go on after a pause. The word that numbers the turn is the last, so that who hears it has
heard all. A caller goes through them in turn: who says nearly the same again, right after an assistant that
repeated it, is taken for its echo."""

INTERRUPTION = "wait stop now {}"
"""Begins with words that no server takes for an echo of itself, or for a sign of listening."""

END_BELOW_DB = 25.0
"""A recording's speech ends where its level falls this far below the clip's own: readers breathe out after it."""

LONGEST_CLIP_S = 30.0
"""Of a recording: a turn, not a reading."""

SYLLABLES = tuple(a + b for a in "bdfgklmnprstvz" for b in "aeiou")
"""70 of them: words that no recogniser's spelling or language guess minds."""

Manner = Literal["plain", "pause", "interruption"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One turn to say."""

    packets: tuple[bytes, ...]
    """PCM s16le mono at ``RATE``, each as long as all; silence around speech that does not fill one."""
    markers: tuple[str, ...] = ()
    """Words that occur in no other turn, the last of what is said; empty where words cannot be relied upon."""


class Speech(Protocol):
    """Where callers have their words from."""

    def utterance(self, *, caller: int, number: int, manner: Manner, random: Random) -> Utterance:
        """What that caller says as its ``number``-th turn."""


def packets(parts: Sequence[bytes], packet: int) -> tuple[bytes, ...]:
    """``parts`` joined and cut into packets of ``packet`` samples; what is missing is put in front, so that the
    last sample of speech is the last of a packet and is sent when it is spoken."""
    sound = b"".join(parts)
    size = 2 * packet
    sound = bytes(-len(sound) % size) + sound
    return tuple(sound[at : at + size] for at in range(0, len(sound), size))


def marker(caller: int, number: int) -> str:
    """A word of its own for each of a caller's first 100 000 parts of turns, unlike those before and after it."""
    words = len(SYLLABLES) ** 5
    # A prime, and so a permutation: no word comes twice.
    value = (caller * 100_000 + number + 1) * 1_000_000_007 % words
    word = ""
    for _ in range(5):
        value, digit = divmod(value, len(SYLLABLES))
        word += SYLLABLES[digit]
    return word


class CodedSpeech:
    """Speech that scripted recognisers hear word for word, so that every turn can be told apart."""

    def __init__(self, *, packet: int) -> None:
        """``packet`` in samples."""
        self._packet = packet

    def utterance(self, *, caller: int, number: int, manner: Manner, random: Random) -> Utterance:
        opening, more = TURNS[number % len(TURNS)]
        template = INTERRUPTION if manner == "interruption" else opening
        first = marker(caller, 2 * number)
        if manner != "pause":
            return Utterance(
                packets=packets([_coded(template.format(first))], self._packet), markers=(first,)
            )
        second = marker(caller, 2 * number + 1)
        pause = bytes(2 * round(random.uniform(*PAUSE_S) * RATE))
        parts = [_coded(template.format(first)), pause, _coded(more.format(second), number=100)]
        return Utterance(packets=packets(parts, self._packet), markers=(first, second))


@lru_cache(maxsize=256)  # a caller's turn that is said again, and no more: each is its own
def _coded(text: str, number: int = 0) -> bytes:
    return speech_sound(text, rate=RATE, number=number)


class RecordedSpeech:
    """The WAV files of a folder and those below it."""

    def __init__(self, folder: Path, *, packet: int) -> None:
        """Raises SettingsError when there are none."""
        self._packet = packet
        self._clips = [_clip(path) for path in sorted(folder.rglob("*.wav"))]
        self._pause: dict[int, tuple[bytes, ...]] = {}
        if not self._clips:
            raise SettingsError(f"there are no WAV files in {folder}; --speech names a folder of recordings")
        self._cut = [packets([clip], packet) for clip in self._clips]

    def utterance(self, *, caller: int, number: int, manner: Manner, random: Random) -> Utterance:
        at = random.randrange(len(self._clips))
        if manner != "pause":
            return Utterance(packets=self._cut[at])
        pause = bytes(2 * round(random.uniform(*PAUSE_S) * RATE))
        middle = _quietest(self._clips[at], self._packet)
        return Utterance(
            packets=packets([self._clips[at][:middle], pause, self._clips[at][middle:]], self._packet)
        )


def _clip(path: Path) -> bytes:
    """A recording without what follows its speech."""
    pcm = read_wav(path, longest_s=LONGEST_CLIP_S).at_rate(RATE).pcm
    return pcm[: 2 * speech_end(pcm, RATE, threshold_dbfs=level_dbfs(pcm) - END_BELOW_DB)]


def _quietest(pcm: bytes, window: int) -> int:
    """Where in the middle third of a recording a pause does the least harm, in bytes."""
    size = 2 * window
    places = range(len(pcm) // 3 & ~1, max(2 * len(pcm) // 3 - size, len(pcm) // 3 + 2), size)
    return min(places, key=lambda at: level_dbfs(pcm[at : at + size]), default=len(pcm) // 2 & ~1)
