"""The ear: what it keeps of the sound."""

from __future__ import annotations

from random import Random

from antiphon.conversation.ear import BYTES, KEPT_S, _Sound
from antiphon.providers.base import SPEECH_RATE


def test_sound_is_kept_in_pieces_and_cut_as_one() -> None:
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
    assert KEPT_S <= (sound.end - sound.first) / SPEECH_RATE <= KEPT_S + 1
    assert sound.samples(0, 10) == b""
