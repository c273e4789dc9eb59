"""The language a caller speaks, as far as it is known: what the next sound is heard in."""

from __future__ import annotations

SHORT_S = 1.0
"""Sound of which a language cannot be told: whisper-base takes one in eighteen pieces of half a second for Turkish,
Chinese or Hebrew, and of longer ones hardly any."""


class SpokenLanguage:
    """Which language a caller's next sound is heard in, after those before it. ISO 639-1 throughout."""

    def __init__(self, chosen: str | None) -> None:
        self._chosen = chosen
        """None to find out."""
        self.last = chosen or ""
        """That of the last turn long enough to tell, or else of the last one; empty before."""
        self._sure = False

    def expected(self, seconds: float, *, overlap: bool) -> str | None:
        """The language to hear the sound in; None to find out.

        Too little is said over a reply, and in a turn of a word, to tell a language from that.
        """
        if overlap or (self._sure and seconds <= SHORT_S):
            return self.last or None
        return self._chosen

    def heard(self, language: str, seconds: float) -> None:
        """A turn of so many seconds was in this language."""
        if seconds > SHORT_S or not self._sure:
            self.last = language or self.last
            self._sure = seconds > SHORT_S
