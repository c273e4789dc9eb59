"""The loop guard and the speech gate, with numbers as the models give them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from antiphon.inference.whisper_guard import EDGE_FRAMES, LoopGuard, is_speech

FRAMES = 100
"""Two seconds of sound."""


def heard_at(frame: int) -> np.ndarray:
    """Attention on the sound around a frame, with what Whisper leaves at the edges."""
    row = np.exp(-0.5 * ((np.arange(FRAMES + 50) - frame) / 6.0) ** 2).astype(np.float32)
    row[0] += 0.5
    row[-1] += 0.5
    return np.asarray(row / row.sum(), dtype=np.float32)


def write(words: Sequence[tuple[str, int]]) -> tuple[list[str], LoopGuard]:
    """Let a guard watch words being written, each heard at a frame; return what is kept."""
    guard = LoopGuard(sound_frames=FRAMES)
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(word for word, _ in words))}
    for count, (word, frame) in enumerate(words, 1):
        keep = guard.add(vocabulary[word], heard_at(frame))
        if keep is not None:
            return [word for word, _ in words[:count]][:keep], guard
    return [word for word, _ in words], guard


def test_a_text_that_starts_again_off_the_same_sound_is_cut() -> None:
    said = [("set", 10), ("a", 25), ("timer", 45), (".", 80)]
    assert write(said + said)[0] == ["set", "a", "timer", "."]


def test_a_tail_that_loops_is_cut() -> None:
    said = [("in", 10), ("the", 20), ("middle", 35), ("of", 60), ("the", 70), ("week", 90)]
    kept, _ = write([*said, ("of", 60), ("the", 70), ("week", 90)])
    assert kept == ["in", "the", "middle", "of", "the", "week"]


def test_a_speaker_who_says_it_twice_is_kept() -> None:
    twice = [("no", 5), ("not", 15), ("that", 30), ("no", 50), ("not", 62), ("that", 80)]
    assert write(twice)[0] == [word for word, _ in twice]


def test_digits_that_repeat_are_kept() -> None:
    digits = [("five", 10), ("five", 25), ("five", 40), ("one", 55), ("five", 70), ("five", 85)]
    assert write(digits)[0] == [word for word, _ in digits]


def test_one_word_that_repeats_is_not_enough() -> None:
    assert write([("the", 10), ("cat", 30), ("the", 10), ("dog", 60)])[0] == ["the", "cat", "the", "dog"]


def test_the_guard_knows_how_far_the_words_reach() -> None:
    _, guard = write([("hello", 12), ("there", 40)])
    assert guard.heard_until == 40


def test_attention_at_the_edges_means_nothing() -> None:
    guard = LoopGuard(sound_frames=FRAMES)
    nowhere = np.zeros(FRAMES, dtype=np.float32)
    nowhere[:EDGE_FRAMES] = 1.0
    assert [guard.add(token, nowhere) for token in (1, 2, 1, 2)] == [None] * 4


@pytest.mark.parametrize(
    ("text", "no_speech", "avg_logprob"),
    [
        ("What is the capital of France?", 0.06, -0.04),
        ("What should I cook for dinner tonight?", 0.39, -0.08),  # a breathy voice
        ("Stop.", 0.36, -0.98),  # a word in loud noise
        ("Thank you.", 0.11, -0.22),  # really said
        ("बस", 0.1, -0.5),
    ],
)
def test_speech_is_speech(text: str, no_speech: float, avg_logprob: float) -> None:
    assert is_speech(text, no_speech=no_speech, avg_logprob=avg_logprob)


@pytest.mark.parametrize(
    ("text", "no_speech", "avg_logprob"),
    [
        ("", 0.0, 0.0),
        ("...", 0.1, -0.2),
        ("you", 0.90, -0.91),  # digital silence
        ("Yeah.", 0.55, -1.27),  # a room
        ("The", 0.27, -2.85),  # a fan
        ("I'm not sure if I can do it.", 0.70, -1.71),  # clicks
        ("Thank you.", 0.45, -0.6),
        ("Thanks for watching!", 0.5, -0.5),
    ],
)
def test_noise_is_not(text: str, no_speech: float, avg_logprob: float) -> None:
    assert not is_speech(text, no_speech=no_speech, avg_logprob=avg_logprob)
