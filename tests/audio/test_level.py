"""Loudness and where speech ends."""

import pytest

from antiphon.audio.coded_speech import noise_sound, silence, speech_sound
from antiphon.audio.level import SILENCE_DBFS, level_dbfs, speech_end


def test_levels() -> None:
    assert level_dbfs(b"") == level_dbfs(silence(1.0)) == SILENCE_DBFS
    assert level_dbfs(noise_sound(0.1, level=32_767)) == pytest.approx(0.0, abs=0.01)
    assert level_dbfs(noise_sound(0.1, level=3_277)) == pytest.approx(-20.0, abs=0.01)
    assert level_dbfs(b"\x01") == SILENCE_DBFS


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_the_end_of_speech_is_found_to_ten_milliseconds(rate: int) -> None:
    sound = silence(0.3, rate=rate) + speech_sound("hello", 0.5, rate=rate) + silence(0.7, rate=rate)
    assert speech_end(sound, rate) / rate == pytest.approx(0.8, abs=0.01)


def test_quiet_noise_is_not_speech() -> None:
    assert speech_end(speech_sound("hi", 0.2) + noise_sound(1.0, level=30), 16_000) == 3_200
    assert speech_end(silence(1.0), 16_000) == 0
    assert speech_end(b"", 16_000) == 0
    assert speech_end(speech_sound("hi", 0.205), 16_000) == 3_280
