"""ElevenLabs' voices over HTTP (``stream/with-timestamps``), for networks that let no WebSockets through. A clause is a
request; what was said before it goes along, so that the voice keeps its intonation.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import quote

from antiphon.providers.base import ProviderInfo, SpeechChunk, SpeechOptions
from antiphon.providers.elevenlabs.account import Account
from antiphon.providers.elevenlabs.alignment import CharTimes, http_times
from antiphon.providers.elevenlabs.clause import Clause
from antiphon.providers.elevenlabs.voices import language_code, voice_settings
from antiphon.providers.http import Answer, HttpPool
from antiphon.providers.refused_voices import RefusedVoices
from antiphon.providers.vendor_errors import malformed, read_object, refused

REPLIES_KEPT = 256
"""Replies whose last words are remembered: more than speak at once."""

SAID_KEPT = 300
"""Characters of what was said before: two or three sentences decide how the next one begins."""

ASKED_KEPT = 4 * SAID_KEPT
"""Characters of a reply's latest clauses, among which one that is asked for again is looked for."""

LARGEST_LINE = 4 * 1024 * 1024
"""Bytes: a minute of sound in base64."""

NO_CONTEXT = ("eleven_v3",)
"""Models that refuse to be told what was said before."""


def told_before(told: str, text: str) -> tuple[str, bool]:
    """What stands before ``text`` in what the vendor was told, and whether that is part of it."""
    at = f" {told} ".rfind(f" {text.strip()} ")
    return (told, False) if at < 0 else (told[:at].rstrip(), True)


class ElevenLabsHttp:
    """A Synthesizer."""

    def __init__(self, account: Account, pool: HttpPool) -> None:
        self._account = account
        self._names = account.names
        self._vendor = pool.vendor(
            self._names,
            base_url=account.root,
            headers=account.headers,
            patience=account.patience,
            warm_path="/models",
        )
        self._refused = RefusedVoices()
        self._said: OrderedDict[str, str] = OrderedDict()

    @property
    def info(self) -> ProviderInfo:
        return self._account.info

    async def warm(self) -> None:
        """Open the connection that the first reply will need. Raises ProviderError."""
        await self._vendor.warm()

    @asynccontextmanager
    async def speak(self, text: str, options: SpeechOptions) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        """Safe to cancel at any point."""
        voice = self._refused.first_else(*self._account.voice_ids(options.voice))
        with self._refused.noticing(voice):
            async with self._vendor.ask(
                "POST",
                f"/text-to-speech/{quote(voice, safe='')}/stream/with-timestamps",
                json=self._request(text, options),
                params={"output_format": f"pcm_{self._account.rate}"},
            ) as answer:
                async with aclosing(self._sound(answer, text)) as sound:
                    yield sound

    def _request(self, text: str, options: SpeechOptions) -> dict[str, Any]:
        model = self._account.model
        language = language_code(model, options.language)
        settings = voice_settings(options.speed)
        before = self._before(text, options.context_id)
        return {
            "text": text,
            "model_id": model,
            **({"language_code": language} if language else {}),
            **({"voice_settings": settings} if settings else {}),
            **({"previous_text": before} if before and model not in NO_CONTEXT else {}),
        }

    def _before(self, text: str, context_id: str) -> str:
        """What the reply said before ``text``, which is remembered: the next clause is asked for while this one sounds.
        One that is asked for again, or the rest of one that broke off, was not said yet."""
        if not context_id:
            return ""
        told = self._said.pop(context_id, "")
        before, again = told_before(told, text)
        self._said[context_id] = told if again else f"{told} {text.strip()}".strip()[-ASKED_KEPT:]
        if len(self._said) > REPLIES_KEPT:
            self._said.popitem(last=False)
        return before[-SAID_KEPT:]

    async def _sound(self, answer: Answer, text: str) -> AsyncGenerator[SpeechChunk, None]:
        clause = Clause(text, rate=self._account.rate, names=self._names)
        async with aclosing(self._lines(answer)) as lines:
            async for told in lines:
                pcm = self._pcm(told)
                if chunk := clause.hear(pcm, self._times(told, clause)):
                    yield chunk
                clause.spoken_s = clause.timed.ends_s
        if failure := clause.verdict():
            raise failure

    def _times(self, told: dict[str, Any], clause: Clause) -> CharTimes:
        """The characters of this line, from the start of its sound. At most as many as the text still has."""
        times, _ = http_times(told.get("alignment")).split(clause.timed.left)
        return times.later(-clause.seconds)

    async def _lines(self, answer: Answer) -> AsyncGenerator[dict[str, Any], None]:
        """The body's JSON objects, one a line, however they were cut."""
        answer.refuse_page()
        rest = bytearray()
        async with aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                rest += piece
                *lines, tail = rest.split(b"\n")
                rest = bytearray(tail)
                if len(rest) > LARGEST_LINE:
                    raise malformed(self._names, f"a line of more than {LARGEST_LINE} bytes")
                for line in lines:
                    if line.strip():
                        yield self._told(bytes(line))
        if rest.strip():
            yield self._told(bytes(rest))

    def _told(self, line: bytes) -> dict[str, Any]:
        told = read_object(self._names, line, "a line")
        if told.get("detail") or told.get("error"):  # it failed after it had begun to answer
            raise refused(self._names, 400, {}, line)
        return told

    def _pcm(self, told: dict[str, Any]) -> bytes:
        try:
            pcm = base64.b64decode(told.get("audio_base64") or "", validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise malformed(self._names, "sound that is not base64") from None
        if len(pcm) % 2:
            raise malformed(self._names, "half a sample of sound")
        return pcm
