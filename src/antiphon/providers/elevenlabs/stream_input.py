"""ElevenLabs' voices over WebSockets that stay open: clauses go out as they are written, and come back as sound with
the time of each character.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from urllib.parse import quote, urlencode

from antiphon.errors import ProviderError
from antiphon.providers.base import ProviderInfo, SpeechChunk, SpeechOptions
from antiphon.providers.elevenlabs.account import Account
from antiphon.providers.elevenlabs.clause import Clause
from antiphon.providers.elevenlabs.line import VoiceLine, refusal
from antiphon.providers.elevenlabs.voices import language_code, voice_settings
from antiphon.providers.refused_voices import RefusedVoices
from antiphon.providers.sockets import Address, Lines, open_lines, socket_url
from antiphon.providers.standby import Standby
from antiphon.providers.vendor_errors import cut, rejected

MOST_LINES = 32
"""Sockets at once: with five replies on each, more than any account may speak at a time."""

INACTIVITY_S = 180
"""The longest that the vendor keeps a socket on which nothing is said."""

TOO_BIG = 1009
"""How the vendor closes a socket whose voice does not go with the model."""

Key = tuple[str, str]
"""Voice id, and the language that the model is told."""


class ElevenLabsStreamInput:
    """A Synthesizer. Clauses with the same ``context_id`` are spoken in one breath, so to say: the voice knows what it
    said before. The ``context_id`` must be of one session only, for sessions share sockets."""

    def __init__(self, account: Account, lines: Lines) -> None:
        self._account = account
        self._names = account.names
        self._sockets = lines
        self._lines: defaultdict[Key, list[VoiceLine]] = defaultdict(list)
        self._dialling: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Clauses of a reply are put on their line in the order in which they were asked for."""
        self._refused = RefusedVoices()
        usual = self._key(account.voice_ids("")[0], account.language)
        self._standby = Standby(usual=usual, open=self._have_one, spawn=lines.spawn)

    @property
    def info(self) -> ProviderInfo:
        return self._account.info

    async def warm(self) -> None:
        """Open the socket that the first reply will need, and keep one from now on. Raises ProviderError."""
        await self._standby.warm()

    @asynccontextmanager
    async def speak(self, text: str, options: SpeechOptions) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        """Safe to cancel at any point; what nobody listens to any more is closed at the vendor's, its socket kept."""
        if not text.strip():
            yield _silence()
            return
        voice = self._refused.first_else(*self._account.voice_ids(options.voice))
        with self._refused.noticing(voice):
            line, clause = await self._begin(text, voice, options)
            try:
                async with aclosing(clause.sound(self._account.patience)) as sound:
                    yield sound
            finally:
                line.leave(clause)

    async def _begin(self, text: str, voice: str, options: SpeechOptions) -> tuple[VoiceLine, Clause]:
        key = self._key(voice, options.language)
        self._standby.asked(key)
        async with self._dialling[key]:
            line = self._line(key, options.context_id) or await self._dial(key)
            return line, line.speak(text, options.context_id, voice_settings(options.speed))

    def _key(self, voice: str, language: str) -> Key:
        return voice, language_code(self._account.model, language)

    def _line(self, key: Key, context_id: str) -> VoiceLine | None:
        lines = [line for line in self._lines[key] if line.alive]
        for line in lines:
            if line.speaks(context_id):
                return line
        return next((line for line in lines if line.has_room(context_id)), None)

    async def _dial(self, key: Key) -> VoiceLine:
        if not self._has_room() and not self._hang_up_idle():
            # Ours, not the vendor's: it does not count as its failure.
            raise rejected(self._names, "rejected", f"already speaks over {MOST_LINES} sockets")
        line = await self._sockets.open(self._address(key), connect_s=self._account.patience.connect_s)
        voice_line = VoiceLine(line, rate=self._account.rate, names=self._names)
        self._lines[key].append(voice_line)

        def lost(error: ProviderError) -> None:
            voice_line.lost(error)
            if voice_line not in self._lines[key]:
                return  # hung up to make room
            self._lines[key].remove(voice_line)
            if not self._lines[key] and error.cause != "unknown_voice":
                self._standby.ended(key, lasted_s=asyncio.get_running_loop().time() - line.opened_s)

        self._sockets.serve(line, voice_line.received, lost)
        return voice_line

    def _has_room(self) -> bool:
        """Whether the socket that is dialled now, and those dialled beside it, are not too many."""
        dialling = sum(lock.locked() for lock in self._dialling.values())
        return sum(map(len, self._lines.values())) + dialling <= MOST_LINES

    def _hang_up_idle(self) -> bool:
        """Whether there was a line that nobody listens to. The one idle for the longest is taken, and one for what is
        usually asked for last."""
        idle = [(key, line) for key, lines in self._lines.items() for line in lines if not line.listened]
        if not idle:
            return False
        key, line = min(idle, key=lambda each: (each[0] == self._standby.usual, each[1].used_s))
        self._lines[key].remove(line)
        line.line.hang_up()
        return True

    async def _have_one(self, key: Key) -> None:
        """Nobody waits for it: there is one only while there is room."""
        async with self._dialling[key]:
            if not any(line.alive for line in self._lines[key]) and self._has_room():
                await self._dial(key)

    def _address(self, key: Key) -> Address:
        voice, language = key
        query = {
            "model_id": self._account.model,
            "output_format": f"pcm_{self._account.rate}",
            "auto_mode": "true",  # whole clauses are sent: nothing is gained by waiting for more
            "sync_alignment": "true",
            "inactivity_timeout": str(INACTIVITY_S),
            **({"language_code": language} if language else {}),
        }
        path = f"/text-to-speech/{quote(voice, safe='')}/multi-stream-input?{urlencode(query)}"
        return Address(
            names=self._names,
            url=socket_url(self._account.root) + path,
            headers=self._account.headers,
            ended=self._ended,
        )

    def _ended(self, code: int, reason: str) -> ProviderError:
        """Why the vendor closed the socket."""
        if code == TOO_BIG:
            return refusal(self._names, "voice_not_found", "the voice does not go with the model")
        if code in (1008, 1011) and reason:
            return refusal(self._names, _word(reason), reason)
        return cut(self._names, f"closed the connection ({code})")


_REASONS = {
    "voice": "voice_not_found",
    "api key": "invalid_api_key",
    "quota": "quota_exceeded",
    "model": "model_not_found",
    "maximum simultaneous": "max_active_conversations",
    "timeout": "system_busy",
}


def _word(reason: str) -> str:
    """The error's own word, which a closing reason is too short to hold."""
    lower = reason.lower()
    return next((word for mark, word in _REASONS.items() if mark in lower), "invalid_request")


async def _silence() -> AsyncIterator[SpeechChunk]:
    return
    yield  # what makes it a generator


@asynccontextmanager
async def open_stream_input(account: Account) -> AsyncIterator[ElevenLabsStreamInput]:
    """The voice, and its sockets until it is left."""
    async with open_lines(account.root) as lines:
        yield ElevenLabsStreamInput(account, lines)
