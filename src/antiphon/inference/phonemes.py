"""Text → phonemes, by the espeak-ng that piper-tts carries (GPL-3.0: the extra ``voices``).

espeak-ng keeps its state in globals, so one lock serves the process.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from antiphon.errors import ModelError
from antiphon.inference.onnx import import_extra

_lock = threading.Lock()
_bridge: Any = None
_LANGUAGE_SWITCH = re.compile(r"\([^)]+\)")
"""espeak-ng marks words of another language, as in ``(en)wɜːd(fr)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """What espeak-ng takes as one clause."""

    phonemes: str
    """IPA, decomposed into code points, without punctuation."""
    terminator: str
    """``.``, ``?``, ``!``, ``,``, ``:``, ``;`` or nothing."""
    ends_sentence: bool


def load_phonemizer(*, voice: str, model_id: str) -> None:
    """Import and start espeak-ng, and see that it has ``voice``. Raises ``ModelError``, which names the extra
    when espeak-ng is not installed."""
    global _bridge
    with _lock:
        if _bridge is None:
            bridge = import_extra("piper.espeakbridge", extra="voices", model_id=model_id)
            bridge.initialize(str(Path(bridge.__file__).parent / "espeak-ng-data"))
            _bridge = bridge
        try:
            _bridge.set_voice(voice)
        except RuntimeError as error:
            raise ModelError(
                f"{model_id} wants espeak-ng's voice {voice}, which it has not.", model_id=model_id
            ) from error


def phrases(text: str, *, voice: str) -> Iterator[Phrase]:
    """The clauses of ``text`` as espeak-ng's ``voice`` (``en-us``, ``fr-fr``, …) would say them.

    About 0.3 ms a word. Call ``load_phonemizer`` first.
    """
    with _lock:
        _bridge.set_voice(voice)
        clauses = list(_bridge.get_phonemes(text))
    for phonemes, terminator, ends_sentence in clauses:
        plain = unicodedata.normalize("NFD", _LANGUAGE_SWITCH.sub("", phonemes))
        yield Phrase(phonemes=plain, terminator=terminator, ends_sentence=bool(ends_sentence))
