"""Words for stretches of sound: drives a recogniser, batch or streaming, for one session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from antiphon.conversation.calls import Asking, CallLog
from antiphon.conversation.ear import Ear
from antiphon.conversation.spoken_language import SpokenLanguage
from antiphon.errors import ProviderError, ProviderUnavailable
from antiphon.providers.base import ProviderInfo, Recognizer, RecognizerStream, Transcript, Usage
from antiphon.turns.context import PREROLL_S
from antiphon.turns.events import Transcribe

FINAL_TIMEOUT_S = 10.0
"""A recogniser that has not answered by then is taken to have failed."""

RETRY_AFTER_S = 0.2
"""One retry of a failure that may pass, this long after it."""

SILENCE_S = 3.0
"""A stream whose speaker has been silent for so long is finished: no pause in a turn is as long."""

FEED_S = 0.02
"""How often a streaming recogniser is given what arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The answer to one ``Transcribe``."""

    request: Transcribe
    text: str
    language: str
    started: float
    """Loop time at which recognition of the request began."""
    ended: float


OVERLAP_PROMPTS = {"en": "Uh-huh. Mm-hmm. Yeah. I see. Stop. Wait. No."}
"""What people say over a reply. Without it whisper-base takes "uh-huh" for "I'm Thai" and half a "stop" for "it"; in
other languages English words would mislead it."""

SoFar = Callable[[str, str], None]
"""Told the words believed so far and their language."""


class BatchHearing:
    """Each request is one call with all of its sound; a newer request replaces one under way."""

    def __init__(
        self, *, recognizer: Recognizer, ear: Ear, language: str | None, calls: CallLog, prompt: str = ""
    ) -> None:
        self.recognizer = recognizer
        """Whom the next sound goes to; what is under way goes on."""
        self._ear = ear
        self._spoken = SpokenLanguage(language)
        self._calls = calls
        self._prompt = prompt

    def speech_started(self, since: float) -> None:
        """Nothing to prepare."""

    async def transcribe(self, request: Transcribe, so_far: SoFar) -> Heard:
        """Recognise the request's sound; ``so_far`` is never called. Raises ``ProviderError``. Cancelling it cancels
        the call."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        pcm = self._ear.cut(request.start, request.end)
        seconds = request.end - request.start
        language = self._spoken.expected(seconds, overlap=request.overlap)
        # After names to expect, whisper-base takes an "uh-huh" over a reply for one of them, which would stop it.
        prompt = OVERLAP_PROMPTS.get(self._spoken.last, "") if request.overlap else self._prompt
        try:
            final = await self._final(pcm, language, prompt, request.turn)
        except ProviderError as error:
            if not error.retryable or request.interim or self.recognizer.info.resilient:
                raise
            await asyncio.sleep(RETRY_AFTER_S)
            final = await self._final(pcm, language, prompt, request.turn)
        if not request.overlap and final.text:
            self._spoken.heard(final.language, seconds)
        return Heard(
            request=request, text=final.text, language=final.language, started=started, ended=loop.time()
        )

    async def _final(self, pcm: bytes, language: str | None, prompt: str, turn: str) -> Transcript:
        recognizer, info = self.recognizer, self.recognizer.info
        asking = Asking(
            kind="asr",
            provider=info.name,
            transport=_transport(info),
            usage=Usage(audio_s=len(pcm) / 2 / 16_000),
            turn_id=turn,
        )
        try:
            with self._calls.asking(asking):
                async with asyncio.timeout(FINAL_TIMEOUT_S):
                    async with recognizer.open(language=language, prompt=prompt) as stream:
                        await stream.send(pcm)
                        await stream.finish()
                        final = await _final_of(stream)
                asking.got(asyncio.get_running_loop().time())
                asking.usage = final.usage if final.usage != Usage() else asking.usage
            return final
        except TimeoutError:
            raise _too_slow(info.name) from None

    async def run(self) -> None:
        """Nothing runs between requests."""


class StreamHearing:
    """Sound is sent while the user speaks; each pause finishes a stream, and its words join those before."""

    def __init__(
        self, *, recognizer: Recognizer, ear: Ear, language: str | None, calls: CallLog, prompt: str = ""
    ) -> None:
        self.recognizer = recognizer
        """Whom the next sound goes to; what is under way goes on."""
        self._ear = ear
        self._language = language
        self._calls = calls
        self._prompt = prompt
        self._segments: list[tuple[float, str, str]] = []
        """(start, words, language) of finished streams of this turn."""
        self._interim = ""
        self._language_heard = ""
        self._begin = asyncio.Event()
        self._since = 0.0
        self._finish_at: float | None = None
        self._asked = asyncio.Event()
        self._asking: Asking | None = None
        """What the stream under way is asked."""
        self._watch: Callable[[], None] | None = None
        """Called when the words believed so far change."""
        self._final: asyncio.Future[Transcript] | None = None
        self._lost: tuple[float, ProviderError] | None = None
        """The stream that ended without its words: where it began, and why."""
        self._next: float | None = None
        """Speech that began while the stream before it was being finished."""

    def speech_started(self, since: float) -> None:
        """Open a stream that begins just before ``since``, unless one is open."""
        if self._final is None:
            self._since = max(0.0, since - PREROLL_S)
            self._finish_at = None
            self._interim = ""
            self._asked.clear()
            self._final = asyncio.get_running_loop().create_future()
            self._begin.set()
        else:
            if self._finish_at is None:
                # Nobody asked for the words of the speech before this one: they may be of another turn.
                self._finish_at = max(self._since, since - PREROLL_S)
                self._asked.set()
            self._next = since

    async def transcribe(self, request: Transcribe, so_far: SoFar) -> Heard:
        """The words so far, at once (interim), or the final ones, by finishing the stream; until they come
        ``so_far`` is told what is believed meanwhile."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        if not request.interim:
            await self._stream_before()
        if self._asking is not None:
            self._asking.turn_id = request.turn
        self._segments = [segment for segment in self._segments if segment[0] >= request.start - PREROLL_S]
        words = [text for _, text, _ in self._segments if text]
        language = self._segments[-1][2] if self._segments else self._language_heard
        if request.interim:
            words.append(self._interim)
        elif self._final is not None:
            self._finish_at = request.end
            self._asked.set()
            since = self._since
            before = " ".join(words)
            self._watch = lambda: so_far(f"{before} {self._interim}".strip(), self._language_heard)
            self._watch()
            try:
                final = await asyncio.shield(self._final)
            except ProviderError:
                self._lost = None
                raise
            finally:
                self._watch = None
            if self._segments and self._segments[-1][0] == since:
                words = [text for _, text, _ in self._segments if text]
            language = final.language or language
        elif self._lost is not None and self._lost[0] >= request.start - PREROLL_S:
            (_, error), self._lost = self._lost, None
            raise error
        text = " ".join(word for word in words if word).strip()
        return Heard(request=request, text=text, language=language, started=started, ended=loop.time())

    async def _stream_before(self) -> None:
        """Until the stream that hears the newest speech is open."""
        while self._next is not None and self._final is not None:
            with suppress(ProviderError):
                await asyncio.shield(self._final)

    async def run(self) -> None:
        """Feed one stream after the other until cancelled."""
        while True:
            await self._begin.wait()
            self._begin.clear()
            final = self._final
            assert final is not None
            try:
                transcript = await self._all_words()
                self._segments.append((self._since, transcript.text, transcript.language))
                self._final = None
                final.set_result(transcript)
            except ProviderError as error:
                self._final = None
                self._lost = self._since, error
                final.set_exception(error)
                final.exception()  # it may be that nobody waits for it: then it is not news
            if self._next is not None:
                since, self._next = self._next, None
                self.speech_started(since)

    async def _all_words(self) -> Transcript:
        """The words of a stream; after a failure that may pass, of a second one, which hears all of it again."""
        try:
            return await self._one_stream()
        except ProviderError as error:
            if not error.retryable or self.recognizer.info.resilient:
                raise
            self._interim = ""
            await asyncio.sleep(RETRY_AFTER_S)
            return await self._one_stream()

    async def _one_stream(self) -> Transcript:
        recognizer, info = self.recognizer, self.recognizer.info
        self._asking = Asking(kind="asr", provider=info.name, transport=_transport(info))
        with self._calls.asking(self._asking) as asking:
            try:
                async with recognizer.open(language=self._language, prompt=self._prompt) as stream:
                    async with asyncio.TaskGroup() as group:
                        reading = group.create_task(self._read(stream, asking))
                        await self._send(stream, asking)
                        async with asyncio.timeout(FINAL_TIMEOUT_S):
                            final = await reading
            except BaseExceptionGroup as failures:
                raise _cause(failures, info.name) from None
            asking.usage = final.usage if final.usage != Usage() else asking.usage
            return final

    async def _send(self, stream: RecognizerStream, asking: Asking) -> None:
        """Send what arrives until the finish is asked for and all up to it is sent. Speech whose words nobody asks for
        (a sign of listening over a reply) is finished when it is past: silence is billed too."""
        sent = self._since
        voiced: float | None = None
        while True:
            if self._ear.speaking:
                voiced = self._ear.position
            elif voiced is not None and self._finish_at is None and self._ear.position - voiced > SILENCE_S:
                self._finish_at = self._ear.position
            finish = self._finish_at
            upto = self._ear.position if finish is None else min(finish, self._ear.position)
            if upto > sent:
                await stream.send(self._ear.cut(sent, upto))
                sent = upto
                asking.usage = Usage(audio_s=max(0.0, sent - self._since))
            if finish is not None and sent >= finish - 1e-6:
                await stream.finish()
                return
            await self._more(FEED_S)

    async def _more(self, seconds: float) -> None:
        """Wait for sound, or for the finish to be asked for."""
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
                self._asked.clear()
        except TimeoutError:
            pass

    async def _read(self, stream: RecognizerStream, asking: Asking) -> Transcript:
        transcripts: AsyncIterator[Transcript] = stream.__aiter__()
        async for transcript in transcripts:
            asking.got(asyncio.get_running_loop().time())
            if transcript.final:
                return transcript
            self._interim = transcript.text
            self._language_heard = transcript.language or self._language_heard
            if self._watch is not None:
                self._watch()
        return Transcript(text=self._interim, final=True, language=self._language_heard)


Hearing = BatchHearing | StreamHearing


def open_hearing(
    *, recognizer: Recognizer, ear: Ear, language: str | None, calls: CallLog, prompt: str = ""
) -> Hearing:
    """The kind that fits the recogniser. One of the other kind may take its place later: a batch one then tells no
    words before the end, a streaming one gets its sound all at once."""
    kind = StreamHearing if recognizer.info.streaming else BatchHearing
    return kind(recognizer=recognizer, ear=ear, language=language, calls=calls, prompt=prompt)


async def _final_of(stream: RecognizerStream) -> Transcript:
    text = Transcript(text="", final=True)
    async for transcript in stream:
        text = transcript
        if transcript.final:
            break
    return text


def _transport(info: ProviderInfo) -> Literal["batch", "stream"]:
    """A batch recogniser may take a streaming one's place: it is given the sound as it comes, and billed as one."""
    return "stream" if info.streaming else "batch"


def _too_slow(name: str) -> ProviderError:
    return ProviderUnavailable(f"{name} did not answer within {FINAL_TIMEOUT_S:g} s", provider=name)


def _cause(failures: BaseExceptionGroup[BaseException], name: str) -> BaseException:
    """The one error a stream's tasks failed with."""
    rest: BaseException = failures
    while isinstance(rest, BaseExceptionGroup):
        rest = rest.exceptions[0]
    return _too_slow(name) if isinstance(rest, TimeoutError) else rest
