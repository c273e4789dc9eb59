"""Where the time of a turn went: marks on the way from the end of speech to the first sound. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.conversation.events import Stage


@dataclass(slots=True, kw_only=True)
class Marks:
    """Loop times, in seconds, at which a turn passed each point; None where it did not (yet)."""

    speech_end: float
    """End of the user's speech, or the moment a typed turn came."""
    asr_start: float | None = None
    asr_end: float | None = None
    llm_start: float | None = None
    first_token: float | None = None
    first_clause: float | None = None
    tts_start: float | None = None
    first_chunk: float | None = None
    released: float | None = None
    first_sound: float | None = None
    """When the first sound was handed to the server."""
    broken: bool = False
    """The listener was away on the way to the first sound: how long that took says nothing about us."""

    def latency_ms(self) -> dict[str, float]:
        """Stage → ms, such that the stages add up to ``first_sound``; empty before the first sound, and
        where the connection was lost on the way to it.

        ``capture``: until recognition of the words that were answered began. ``asr``: recognition. ``decide``: until
        the language model was asked. ``llm``: its first token. ``clause``: its first speakable clause. ``tts``: the
        first sound of it. ``hold``: what it then waited for the turn to be confirmed. ``engine``: ours, between them.
        """
        if self.first_sound is None or self.broken:
            return {}
        way = [
            ("capture", self.asr_start),
            ("asr", self.asr_end),
            ("decide", self.llm_start),
            ("llm", self.first_token),
            ("clause", self.first_clause),
            ("engine", self.tts_start),
            ("tts", self.first_chunk),
            ("hold", self.released),
            ("engine", self.first_sound),
        ]
        spent: dict[str, float] = {}
        at = self.speech_end
        for stage, reached in way:
            if reached is None:
                continue
            spent[stage] = spent.get(stage, 0.0) + max(0.0, reached - at) * 1_000.0
            at = max(at, reached)
        spent = {stage: round(ms, 1) for stage, ms in spent.items()}
        spent["first_sound"] = round((self.first_sound - self.speech_end) * 1_000.0, 1)
        return spent

    def stages(self) -> tuple[Stage, ...]:
        """Each stage as it really ran, overlaps and work before the end of speech included."""
        if self.broken:
            return ()
        spans = [
            ("asr", self.asr_start, self.asr_end),
            ("llm", self.llm_start, self.first_token),
            ("clause", self.first_token, self.first_clause),
            ("tts", self.tts_start, self.first_chunk),
            ("hold", self.first_chunk, self.first_sound),
        ]
        found = [
            Stage(name=name, start_ms=self._ms(start), end_ms=self._ms(end))
            for name, start, end in spans
            if start is not None and end is not None
        ]
        if self.asr_start is not None:
            found.insert(0, Stage(name="capture", start_ms=0.0, end_ms=max(0.0, self._ms(self.asr_start))))
        return tuple(found)

    def _ms(self, at: float) -> float:
        return round((at - self.speech_end) * 1_000.0, 1)
