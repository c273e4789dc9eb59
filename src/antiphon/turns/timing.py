"""The turn machine's times, in seconds, with the reason for each."""

from __future__ import annotations

SETTLE_S = 0.6
"""A pause this long is a safe place to cut: the words before it are not recognised again when the user goes on."""

HOLD_AFTER_S = 0.22
"""Speech over a reply this long pauses it. With the detector's 64 ms and a network's 50 the client is silent within
300 ms of the first sound; most noises and "mm"s are shorter."""

FIRST_LOOK_S = 0.8
"""Speech over a reply is recognised for the first time after this, or when it pauses: most backchannels are over by
then, and half a word is easily taken for another one. The reply is held meanwhile, so nobody waits for it."""

LOOK_EVERY_S = 0.35
"""… and again this long after each answer that left it open."""

LONG_OVERLAP_S = 1.2
"""No backchannel lasts this long: without any words by then, a recogniser is too slow and length decides."""

OVERLAP_WORDS_WAIT_S = 2.0
"""Silence after speech over a reply, without an answer from the recogniser, after which the reply goes on."""

ECHO_TAIL_S = 1.0
"""How long after its last word a reply may come back from the room."""

ECHO_MEMORY_S = 5.0
"""How long one echo makes the next overlap suspect."""

SPECULATION_LEAD_S = 0.6
"""An answer to what sounds unfinished is prepared this long before the wait ends: what the embedded models take."""

COVERS_S = 0.03
"""A transcription that reaches this far past the end of speech (one frame of the detector) has heard all of it."""

LOOK_AGAIN_S = 0.15
"""Speech that falters again sooner than this is not looked at again: fast speech has ten stops a second."""

WORDS_TIMEOUT_S = 15.0
"""A recogniser that has not answered by then will not. The engine's own time-outs are shorter."""


def reached(value: float, goal: float) -> bool:
    """Whether a time has come; the tolerance is far below a sample, above rounding."""
    return value >= goal - 1e-6
