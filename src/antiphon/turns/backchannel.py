"""Whether speech over a reply is a listener's sign, a noise, or an interruption."""

from __future__ import annotations

import re

from antiphon.turns.vocabulary import vocabulary_of, word_set
from antiphon.turns.words import made_of, words_in

LONGEST_BACKCHANNEL = 4
"""Words: "yeah, okay, I see". Longer runs are someone who wants to speak."""

INVENTED = frozenset(
    {
        "you",
        "thank you",
        "thank you very much",
        "thank you so much",
        "thanks for watching",
        "thank you for watching",
        "please subscribe",
        "subtitles by the amara org community",
        "the end",
        "music",
        "applause",
        "silence",
        "gracias",
        "gracias por ver el video",
        "sous titres réalisés par la communauté d'amara org",
        "untertitel der amara org community",
        "sottotitoli creati dalla comunità amara org",
    }
)
"""What whisper makes of noise and breath. Over a reply a real "Thank you" needs no answer either."""

NOISES = word_set(
    """
    ha haha hahaha hehe heh ahem achoo ugh phew tsk psst brr pff shh ow oops cough coughs laughs sigh
    """
)
"""Laughter, coughs and sighs, as recognisers spell them."""

_MARKER = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|[♪♫🎵]+")


def is_noise(text: str) -> bool:
    """Whether a transcript has no words of a person in it: markers, laughter, inventions of the
    recogniser."""
    words = words_in(_MARKER.sub(" ", text))
    if not words:
        return True
    plain = " ".join(words).replace(".", " ")
    return plain in INVENTED or all(word in NOISES for word in words)


def is_backchannel(text: str, language: str = "en") -> bool:
    """Whether someone who says ``text`` over a reply wants it to go on ("uh-huh", "right"), or made a noise.
    ``language`` is ISO 639-1, empty when unknown. "Okay, but…" and "yes, and…" are interruptions."""
    if is_noise(text):
        return True
    words = [word for word in words_in(_MARKER.sub(" ", text)) if word not in NOISES]
    if len(words) > LONGEST_BACKCHANNEL:
        return False
    return made_of(words, vocabulary_of(language).backchannels)


def is_assent(text: str, language: str = "en") -> bool:
    """Whether ``text`` also answers a yes-or-no question: over the end of one it is an answer, not a
    backchannel."""
    words = words_in(text)
    return len(words) <= LONGEST_BACKCHANNEL and made_of(words, vocabulary_of(language).assents)
