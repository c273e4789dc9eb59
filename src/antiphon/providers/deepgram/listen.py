"""Deepgram's streaming recognition: words while they are said, over sockets that stay open between utterances."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from urllib.parse import urlencode

from antiphon.errors import ProviderError
from antiphon.providers.base import SPEECH_RATE, ProviderInfo, RecognizerStream
from antiphon.providers.deepgram.account import Account
from antiphon.providers.deepgram.line import ListenLine, ended
from antiphon.providers.sockets import Address, Lines, open_lines, socket_url
from antiphon.providers.standby import Standby

DEFAULT_MODEL = "nova-3"

HEAR_LANGUAGE = ("nova-2", "nova-3")
"""Models that tell languages apart by themselves (``language=multi``); the others take English when not told."""

MOST_TERMS = 100
"""Expected terms that the vendor takes."""

ENDPOINTING_MS = 200
"""Silence after which the vendor ends an utterance by itself: about the pause at which we ask for the words, so that
they are final by then. Its default of 10 ms cuts sentences into pieces and costs punctuation."""

UTTERANCE_END_MS = 1_000
"""The least that the vendor allows: no word for so long, however noisy it is."""

SPARE_S = 60.0
"""A socket that has been idle for so long is closed when there is another idle one, or when nobody has spoken its
language for a while: they count towards the number that the account may have open."""

LOOK_S = 10.0
"""How often idle sockets are looked at."""


class DeepgramRecognizer:
    """A Recognizer that streams."""

    def __init__(
        self,
        account: Account,
        lines: Lines,
        *,
        model: str = DEFAULT_MODEL,
        language: str | None = None,
        expects: str = "",
    ) -> None:
        """``language`` is the one that most will speak: ``warm`` opens a socket for it. ``expects`` are terms that will
        be said, with commas; every socket is told them."""
        self._account = account
        self._sockets = lines
        self._model = model
        self._expects = _terms(model, expects)
        self._names = account.names(model, "ANTIPHON_ASR")
        self._idle: defaultdict[str, list[ListenLine]] = defaultdict(list)
        """By language; the last used last, which is taken first, so that the others fall out of use."""
        self._warming: dict[str, asyncio.Event] = {}
        """Languages for which a socket is being opened in the background; set when that is over."""
        self._standby = Standby(usual=self._language(language), open=self._have_one, spawn=lines.spawn)
        self._info = ProviderInfo(provider="deepgram", model=model, streaming=True, sample_rate=SPEECH_RATE)
        lines.spawn(self._let_go())

    @property
    def info(self) -> ProviderInfo:
        return self._info

    async def warm(self) -> None:
        """Open the socket that the first utterance will need, and keep one from now on. Raises ProviderError."""
        await self._standby.warm()

    @asynccontextmanager
    async def open(self, *, language: str | None = None, prompt: str = "") -> AsyncIterator[RecognizerStream]:
        """Safe to cancel at any point; the socket is kept for the next utterance. ``prompt`` is not used: it would
        need a socket of its own; see ``expects``."""
        line = await self._take(self._language(language))
        utterance = line.begin()
        try:
            async with aclosing(utterance.transcripts):
                yield utterance
        finally:
            line.leave(utterance)

    def _language(self, language: str | None) -> str:
        if language:
            return language
        return "multi" if self._model.startswith(HEAR_LANGUAGE) else ""

    async def _take(self, language: str) -> ListenLine:
        self._standby.asked(language)
        idle = self._idle[language]
        if not idle and (warming := self._warming.get(language)):
            await warming.wait()
        while idle:
            line = idle.pop()
            if line.idle:
                return line
        return await self._dial(language)

    async def _dial(self, language: str) -> ListenLine:
        line = await self._sockets.open(self._address(language), connect_s=self._account.patience.connect_s)
        listening = ListenLine(
            line,
            names=self._names,
            language=language,
            patience_s=self._account.patience.first_byte_s,
            free=self._free,
        )

        def lost(error: ProviderError) -> None:
            idle = self._idle[language]
            if listening in idle:
                idle.remove(listening)
            listening.lost(error)
            if not idle:
                self._standby.ended(language, lasted_s=asyncio.get_running_loop().time() - line.opened_s)

        self._sockets.serve(line, listening.received, lost)
        return listening

    def _free(self, line: ListenLine) -> None:
        if line not in self._idle[line.language]:
            self._idle[line.language].append(line)

    async def _have_one(self, language: str) -> None:
        """An utterance that begins meanwhile waits for it. Raises ProviderError."""
        if any(line.idle for line in self._idle[language]) or language in self._warming:
            return
        self._warming[language] = asyncio.Event()
        try:
            self._free(await self._dial(language))
        finally:
            self._warming.pop(language).set()

    async def _let_go(self) -> None:
        """Close what is not needed any more, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            for language, idle in self._idle.items():
                for number, line in enumerate(list(idle)):
                    needed = number + 1 == len(idle) and self._standby.needed(language)
                    if not needed and loop.time() - line.used_s > SPARE_S:
                        line.close()

    def _address(self, language: str) -> Address:
        query = {
            "model": self._model,
            **({"language": language} if language else {}),
            "encoding": "linear16",
            "sample_rate": str(SPEECH_RATE),
            "channels": "1",
            "interim_results": "true",
            "smart_format": "true",
            "no_delay": "true",  # numbers are not held back until they are complete
            "endpointing": str(ENDPOINTING_MS),
            "utterance_end_ms": str(UTTERANCE_END_MS),
            "vad_events": "true",
            **self._expects,
        }
        return Address(
            names=self._names,
            url=f"{socket_url(self._account.root)}/listen?{urlencode(query, doseq=True)}",
            headers=self._account.headers,
            ended=lambda code, reason: ended(self._names, code, reason),
        )


def _terms(model: str, expects: str) -> dict[str, list[str]]:
    """What is expected, as the model is told it: Nova 3 takes terms of several words, older models single words, and
    those that are not Deepgram's own nothing."""
    terms = [term.strip() for term in expects.split(",") if term.strip()]
    if model.startswith("nova-3"):
        return {"keyterm": terms[:MOST_TERMS]}
    if model.startswith(("nova", "enhanced", "base")):
        return {"keywords": [word for term in terms for word in term.split()][:MOST_TERMS]}
    return {}


@asynccontextmanager
async def open_recognizer(
    account: Account, *, model: str = DEFAULT_MODEL, language: str | None = None, expects: str = ""
) -> AsyncIterator[DeepgramRecognizer]:
    """The recogniser, and its sockets until it is left."""
    async with open_lines(account.root) as lines:
        yield DeepgramRecognizer(account, lines, model=model, language=language, expects=expects)
