"""The ear: what it keeps of the sound."""

from __future__ import annotations

from random import Random

from antiphon.conversation.ear import BYTES, KEPT_S, _Sound
from antiphon.providers.base import SPEECH_RATE


def test_sound_is_kept_in_a_ring_and_cut_as_one() -> None:
    random = Random(1)
    sound, all_of_it = _Sound(first=512), bytearray()
    for _ in range(2_000):
        pcm = random.randbytes(BYTES * random.choice([1, 320, 512, 640, 40_000]))
        sound.append(pcm)
        all_of_it += pcm
        start = random.randint(sound.first, sound.end)
        end = min(start + random.choice([10, 16_000, 40_000]), sound.end)
        assert sound.end == 512 + len(all_of_it) // BYTES
        assert sound.samples(start, end) == all_of_it[(start - 512) * BYTES : (end - 512) * BYTES]
    assert (sound.end - sound.first) / SPEECH_RATE == KEPT_S
    assert sound.samples(sound.first, sound.end) == all_of_it[-round(KEPT_S * SPEECH_RATE) * BYTES :]
    assert sound.samples(0, 10) == b""


def test_more_sound_at_once_than_is_kept_leaves_its_end() -> None:
    sound = _Sound(first=0)
    sound.append(b"\x01\x00" * 700)
    long = Random(2).randbytes(BYTES * (round(KEPT_S * SPEECH_RATE) + 33))
    sound.append(long)
    assert sound.end - sound.first == round(KEPT_S * SPEECH_RATE)
    assert sound.samples(0, sound.end) == long[33 * BYTES :]


def test_no_sound_is_kept_when_the_session_is_over() -> None:
    sound = _Sound(first=0)
    sound.append(bytes(BYTES * 700))
    sound.close()
    assert sound.samples(0, sound.end) == b""
    assert sound.end == 700, "where it came to is still known"
