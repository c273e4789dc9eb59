"""One stretch of sound on a socket that has heard others before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

from antiphon.errors import ProviderError
from antiphon.providers.base import SPEECH_RATE, Transcript, Usage

GRAIN_S = 0.03
"""The vendor's times and ours may differ by a frame."""

WAITING = 512
"""Transcripts that nobody has read: several a second come while someone speaks, for minutes at most. When they are
not read the oldest are dropped, for later ones replace them."""


class Utterance:
    """A RecognizerStream. Times are seconds of sound since the socket was opened, as the vendor counts."""

    def __init__(
        self,
        *,
        begin_s: float,
        language: str,
        post: Callable[[bytes], None],
        finalize: Callable[[], None],
        patience_s: float,
        too_slow: Callable[[], ProviderError],
    ) -> None:
        self.begin_s = begin_s
        self.sent_s = begin_s
        self.finishing = False
        self.over = False
        self._language = language
        self._post = post
        self._finalize = finalize
        self._patience_s = patience_s
        self._too_slow = too_slow
        self._limit: asyncio.Timeout | None = None
        self._final_s = begin_s
        """Sound whose words will not change any more."""
        self._finals: list[str] = []
        self._confidences: list[float] = []
        self._interim = ""
        self._told = ""
        self._waiting: asyncio.Queue[Transcript | ProviderError] = asyncio.Queue(WAITING)
        self.transcripts = self._transcripts()

    # ---- what the engine asks -----------------------------------------------------------------------------

    async def send(self, pcm: bytes) -> None:
        """Never waits: the socket's queue is bounded, and full means that the vendor has stalled."""
        self._post(pcm)
        self.sent_s += len(pcm) / 2 / SPEECH_RATE

    async def finish(self) -> None:
        """The final transcript comes when the vendor has no more to say, which may be now: it ends utterances by its
        own endpointing too."""
        if self.finishing or self.over:
            return
        self.finishing = True
        if self.settled:
            self.complete()
        else:
            self._finalize()
            self._be_patient()

    def __aiter__(self) -> AsyncIterator[Transcript]:
        return self.transcripts

    async def _transcripts(self) -> AsyncGenerator[Transcript, None]:
        while True:
            transcript = await self._next()
            if isinstance(transcript, ProviderError):
                raise transcript
            yield transcript
            if transcript.final:
                return

    async def _next(self) -> Transcript | ProviderError:
        """Someone who says nothing is no fault; after the end the vendor has so long to tell the last words."""
        try:
            async with asyncio.timeout(None) as limit:
                self._limit = limit
                if self.finishing:
                    self._be_patient()
                return await self._waiting.get()
        except TimeoutError:
            return self._too_slow()
        finally:
            self._limit = None

    def _be_patient(self) -> None:
        if self._limit is not None and not self.over:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._patience_s)

    # ---- what the vendor says -----------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether the words of all sound sent are final."""
        return self.sent_s - self._final_s < GRAIN_S

    def results(self, told: Mapping[str, Any]) -> None:
        """A ``Results`` message. Raises some plain error when it is not one."""
        start_s, end_s = float(told["start"]), float(told["start"]) + float(told["duration"])
        if end_s <= self.begin_s + GRAIN_S and start_s < self.begin_s:
            return  # of the utterance before
        best = told["channel"]["alternatives"][0]
        text = str(best["transcript"]).strip()
        languages = best.get("languages") or []
        if languages and text:
            self._language = str(languages[0]).partition("-")[0]
        if told.get("is_final"):
            self._interim = ""
            self._final_s = max(self._final_s, end_s)
            if text:
                self._finals.append(text)
                self._confidences.append(float(best.get("confidence") or 0.0))
        else:
            self._interim = text
        ended = bool(told.get("speech_final")) and bool(self._finals)
        if self.finishing and (told.get("from_finalize") or self.settled):
            self.complete()
        else:
            self._tell(ended)

    def utterance_end(self) -> None:
        """The vendor has heard no word for a while."""
        if self._finals:
            self._tell(True)

    def complete(self) -> None:
        """No more words will come."""
        if self.over:
            return
        self.over = True
        confidences = self._confidences
        self._put(
            Transcript(
                text=self._text,
                final=True,
                language=self._language,
                confidence=sum(confidences) / len(confidences) if confidences else None,
                usage=Usage(audio_s=round(self.sent_s - self.begin_s, 4)),
            )
        )

    def fail(self, error: ProviderError) -> None:
        """No more words will come, and those that came may not be all."""
        if not self.over:
            self.over = True
            self._put(error)

    @property
    def _text(self) -> str:
        return " ".join(filter(None, (*self._finals, self._interim)))

    def _tell(self, ended: bool) -> None:
        text = self._text
        if text != self._told or ended:
            self._told = text
            self._put(Transcript(text=text, final=False, language=self._language, ended=ended))

    def _put(self, transcript: Transcript | ProviderError) -> None:
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(transcript)
