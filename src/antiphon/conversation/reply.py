"""One reply: the language model writes, clauses are cut, voiced and played, all at once.

``run`` is cancel-safe at every point: cancelling it stops the model, the voices and the sound, and what was sent
stays accounted for. A speculative reply does all of this but play; ``release`` lets it be heard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from antiphon.audio.resample import Resampler
from antiphon.conversation import events
from antiphon.conversation.allowance import Grant
from antiphon.conversation.apology import apology, farewell
from antiphon.conversation.calls import Asking, CallLog
from antiphon.conversation.clauses import Clause, ClauseCutter
from antiphon.conversation.config import ConversationConfig, Providers
from antiphon.conversation.heard import SpokenClause, heard_offset, heard_text
from antiphon.conversation.latency import Marks
from antiphon.conversation.memory import Unfinished
from antiphon.conversation.playback import Playback
from antiphon.conversation.speakable import speakable
from antiphon.errors import AntiphonError, BudgetError, ProviderEmpty, ProviderError, ProviderUnavailable
from antiphon.providers.base import (
    Finished,
    LanguageOptions,
    Message,
    SpeechChunk,
    SpeechOptions,
    Text,
    Usage,
    WordTime,
)
from antiphon.providers.waiting import awaited_since

VOICES_AHEAD = 2
"""Clauses being voiced ahead of the one that plays. One hides a voice's latency, the second its bad days."""

CLAUSES_AHEAD = 64
"""Clauses waiting for a voice: more than a reply of 400 tokens has."""

FRAME_MS = 100
"""Longest stretch of sound in one message: few messages, and a cancel never has more than this on its way."""

FIRST_TOKEN_TIMEOUT_S = 12.0
TOKEN_GAP_TIMEOUT_S = 6.0
FIRST_CHUNK_TIMEOUT_S = 8.0
"""Longer than any healthy provider takes; a stalled one must not leave the user in silence."""

PACE_GRAIN_S = 0.005
"""The shortest wait for the listener to catch up."""

RETRY_AFTER_S = 0.2

UNHEARD_MS = 3_000.0
"""Sound kept after it was sent, until it was heard for sure: one second ahead, one in which a report is trusted, and
one to spare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to answer, and how."""

    reply_id: str
    turn_id: str
    messages: Sequence[Message]
    language: str
    """ISO 639-1 of the user's words, empty when unknown."""
    aloud: bool
    """Whether the first clause may be voiced before the release."""
    session_id: str
    marks: Marks
    unheard: bool = False
    """No recogniser told the words: an apology is all there is to say, and the model is not asked."""
    begun: Unfinished | None = None
    """It was begun elsewhere: what was written is to be said, from where it was heard; the model is not asked."""


@dataclass(slots=True)
class _Voice:
    """One clause being voiced: its sound as it comes, then None."""

    clause: Clause
    said: str
    given: bool = False
    """Whether any sound came."""
    chunks: asyncio.Queue[SpeechChunk | None] = field(default_factory=asyncio.Queue)
    """Unbounded: a clause is a sentence at most, some 15 s of sound."""


class Reply:
    """A reply under way. ``publish`` puts an event on its way and never waits."""

    def __init__(
        self,
        order: Order,
        *,
        providers: Providers,
        config: ConversationConfig,
        publish: Callable[[events.Event], None],
        sounding: Callable[[Reply], None],
        calls: CallLog,
        granted: Callable[[], Awaitable[Grant]],
    ) -> None:
        """``granted`` gives leave to spend on the turn, or raises ``BudgetError``; it is asked before anything is
        sent."""
        self.order = order
        self.text = ""
        """All that was written."""
        self.written = True
        """False when the model wrote nothing and ``text`` is an apology."""
        self.error: AntiphonError | None = None
        self.playback = Playback()
        self.spoken: list[SpokenClause] = []
        self._providers = providers
        self._config = config
        self._publish = publish
        self._sounding = sounding
        self._calls = calls
        self._granted = granted
        self._voiceless = False
        """No voice could be had: what is left of the reply is text only."""
        self._released = asyncio.Event()
        self._held = False
        self._away = False
        self._going = asyncio.Event()
        """Neither held nor away."""
        self._going.set()
        self._unheard: deque[tuple[float, bytes]] = deque()
        """(where in the reply it begins, ms, and sound that was sent and may not have been heard)."""
        self._sent_all = False
        self._complete = False
        """Whether all of it was written."""
        self._held_back: list[events.Event] = []
        self._clauses: asyncio.Queue[Clause | None] = asyncio.Queue(CLAUSES_AHEAD)
        self._voices: asyncio.Queue[_Voice | None] = asyncio.Queue(VOICES_AHEAD)
        self._loop = asyncio.get_running_loop()

    # ---- what the conversation may do ---------------------------------------------------------------------

    @property
    def released(self) -> bool:
        return self._released.is_set()

    def release(self) -> None:
        """Let it be heard, and tell the client what was held back."""
        if self.released:
            return
        self.order.marks.released = self._loop.time()
        self._released.set()
        order = self.order
        self._publish(events.ReplyStarted(turn_id=order.turn_id, reply_id=order.reply_id))
        for event in self._held_back:
            self._publish(event)
        self._held_back.clear()

    def go_on_elsewhere(self) -> None:
        """Let it be heard; the client was told of it when it was begun."""
        self.order.marks.released = self._loop.time()
        self._released.set()

    def hold(self) -> None:
        """Pause where the listener is."""
        self._held = True
        self._halt()

    def go_on(self) -> None:
        """Go on after ``hold``."""
        self._held = False
        self._proceed()

    def leave(self) -> None:
        """Nobody listens any more: wait where the listener was."""
        self._away = True
        marks = self.order.marks
        marks.broken = marks.broken or marks.first_sound is None
        self._halt()

    def come_back(self, heard_ms: float | None) -> None:
        """Somebody listens again, and has heard ``heard_ms``, None when not known: what was sent and not heard is sent
        again."""
        self._away = False
        if heard_ms is not None:
            self.playback.place(heard_ms, self._loop.time())
        self._send_again()
        self._proceed()

    def _halt(self) -> None:
        if self._going.is_set():
            self.playback.hold(self._loop.time())
            self._going.clear()

    def _proceed(self) -> None:
        if not (self._held or self._away):
            self.playback.resume(self._loop.time())
            self._going.set()

    def _send_again(self) -> None:
        position = self.heard_ms
        if not self._unheard or (self._sent_all and position >= self.playback.sent_ms):
            return
        start = max(position, self._unheard[0][0])
        self._publish(events.AudioStarted(reply_id=self.order.reply_id, from_ms=round(start)))
        for at, pcm in self._unheard:
            skipped = max(0, round((start - at) * self._config.output_rate / 1_000.0)) * 2
            if skipped < len(pcm):
                self._publish(events.ReplyAudio(reply_id=self.order.reply_id, pcm=pcm[skipped:]))
        if self._sent_all:
            self._tell_sent_all()

    def forget_sound(self) -> None:
        """Nobody will come back to hear it."""
        self._unheard.clear()

    def unfinished(self, user_text: str) -> Unfinished:
        """How far it is, to be gone on with elsewhere."""
        return Unfinished(
            reply_id=self.order.reply_id,
            turn_id=self.order.turn_id,
            user_text=user_text,
            text=self.text,
            complete=self._complete and self.written,
            heard_ms=self.heard_ms,
            heard_upto=heard_offset(self.text, self.spoken, self.heard_ms),
            language=self.order.language,
        )

    @property
    def heard_ms(self) -> float:
        return self.playback.position(self._loop.time())

    def heard(self) -> str:
        """The text as far as it was heard."""
        return heard_text(self.text, self.spoken, self.heard_ms)

    def saying(self) -> str:
        """What is being said around now: the last seconds sent, for the echo guard."""
        since = self.heard_ms - 6_000.0
        return " ".join(clause.text for clause in self.spoken if clause.end_ms >= since)

    # ---- the pipeline -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write, voice, play; ends when the listener has heard it all, or the speculation failed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write())
            group.create_task(self._voice_all(group))
            group.create_task(self._play())

    async def _write(self) -> None:
        cutter = ClauseCutter(language=self.order.language or "en")
        try:
            if self.order.unheard:
                await self._say_instead(apology(self.order.language))
            else:
                await self._compose(cutter)
            self._complete = True
        except BudgetError as error:
            self.error = error
            await self._say_instead(farewell(self.order.language))
        except AntiphonError as error:
            self.error = error
            if not self.text.strip():
                await self._say_instead(apology(self.order.language))
        for clause in cutter.flush():
            await self._cut(clause)
        await self._clauses.put(None)

    async def _compose(self, cutter: ClauseCutter) -> None:
        await self._obtain_leave()
        if self.order.begun is not None:
            await self._take_up(self.order.begun)
        else:
            await self._write_with_retry(cutter)

    async def _obtain_leave(self) -> None:
        grant = await self._granted()
        self._providers = grant.providers or self._providers
        for notice in grant.notices:
            self._tell(notice)

    async def _take_up(self, begun: Unfinished) -> None:
        """Go on with what was written elsewhere."""
        self.text, upto = begun.text, begun.heard_upto
        if begun.heard_ms:
            self.playback.skip(begun.heard_ms)
            self.spoken.append(
                SpokenClause(
                    text=self.text[:upto],
                    start=0,
                    end=upto,
                    start_ms=0.0,
                    end_ms=begun.heard_ms,
                    total_ms=begun.heard_ms,
                )
            )
        cutter = ClauseCutter(language=self.order.language or "en")
        for clause in (*cutter.push(self.text[upto:], self._loop.time()), *cutter.flush()):
            await self._cut(replace(clause, start=clause.start + upto, end=clause.end + upto))

    async def _write_with_retry(self, cutter: ClauseCutter) -> None:
        try:
            await self._write_once(cutter)
        except ProviderError as error:
            if self.text or not error.retryable or self._providers.language_model.info.resilient:
                raise
            await asyncio.sleep(RETRY_AFTER_S)
            await self._write_once(cutter)

    async def _write_once(self, cutter: ClauseCutter) -> None:
        model, order = self._providers.language_model, self.order
        order.marks.llm_start = order.marks.llm_start or self._loop.time()
        asking = Asking(
            kind="llm",
            provider=model.info.name,
            usage=Usage(
                input_tokens=sum(len(message.content) for message in order.messages) // 4, estimated=True
            ),
            turn_id=order.turn_id,
            reply_id=order.reply_id,
        )
        try:
            with (
                self._calls.asking(asking, speculative=not self.released),
                awaited_since(order.marks.speech_end),
            ):
                await self._read_deltas(cutter, asking)
        except TimeoutError:
            raise ProviderUnavailable(f"{model.info.name} fell silent", provider=model.info.name) from None
        if not self.text.strip():
            raise ProviderEmpty(f"{model.info.name} wrote nothing", provider=model.info.name)

    async def _read_deltas(self, cutter: ClauseCutter, asking: Asking) -> None:
        order = self.order
        options = LanguageOptions(
            max_tokens=self._config.max_reply_tokens,
            temperature=self._config.temperature,
            cache_key=order.session_id,
        )
        async with asyncio.timeout(FIRST_TOKEN_TIMEOUT_S) as limit:
            async with self._providers.language_model.reply(order.messages, options) as deltas:
                async for delta in deltas:
                    limit.reschedule(self._loop.time() + TOKEN_GAP_TIMEOUT_S)
                    match delta:
                        case Text(text=text):
                            asking.got(self._loop.time())
                            sent = asking.usage
                            asking.usage = replace(sent, output_tokens=sent.output_tokens + 1)
                            await self._written(text, cutter)
                        case Finished():
                            asking.usage, asking.model = delta.usage, delta.model
                            asking.finish_reason = delta.reason
                        case _:
                            pass  # tool calls: no tools are offered

    async def _written(self, text: str, cutter: ClauseCutter) -> None:
        now = self._loop.time()
        marks = self.order.marks
        marks.first_token = marks.first_token or now
        self.text += text
        self._tell(events.ReplyText(reply_id=self.order.reply_id, text=text))
        for clause in cutter.push(text, now):
            await self._cut(clause)

    async def _cut(self, clause: Clause) -> None:
        self.order.marks.first_clause = self.order.marks.first_clause or self._loop.time()
        await self._clauses.put(clause)

    async def _say_instead(self, text: str) -> None:
        """Nothing was written: say so rather than be silent, but only to someone who waits for an answer."""
        await self._released.wait()
        self.written = False
        start = len(self.text)
        self.text += text
        self._tell(events.ReplyText(reply_id=self.order.reply_id, text=text))
        await self._clauses.put(Clause(text=text, start=start, end=start + len(text)))

    async def _voice_all(self, group: asyncio.TaskGroup) -> None:
        first = True
        while (clause := await self._clauses.get()) is not None:
            said = speakable(clause.text, self.order.language)
            if not said:
                continue
            if not (first and self.order.aloud):
                await self._released.wait()
            first = False
            voice = _Voice(clause, said)
            await self._voices.put(voice)
            group.create_task(self._voice(voice))
        await self._voices.put(None)

    async def _voice(self, voice: _Voice) -> None:
        synthesizer, marks = self._providers.synthesizer, self.order.marks
        marks.tts_start = marks.tts_start or self._loop.time()
        try:
            if not self._voiceless:
                await self._voice_text(voice, voice.said)
        except (ProviderError, TimeoutError) as failure:
            name = synthesizer.info.name
            error = (
                failure
                if isinstance(failure, ProviderError)
                else ProviderUnavailable(f"{name} fell silent", provider=name)
            )
            self.error = self.error or error
            await self._apologise_aloud(voice)
        finally:
            voice.chunks.put_nowait(None)

    async def _voice_text(self, voice: _Voice, text: str) -> None:
        synthesizer, marks = self._providers.synthesizer, self.order.marks
        options = SpeechOptions(
            voice=self._config.voice,
            language=self.order.language,
            speed=self._config.speed,
            context_id=f"{self.order.session_id}:{self.order.reply_id}",
        )
        asking = Asking(
            kind="tts",
            provider=synthesizer.info.name,
            usage=Usage(characters=len(text)),
            turn_id=self.order.turn_id,
            reply_id=self.order.reply_id,
        )
        # Later clauses are waited for by nobody yet.
        since = None if self.playback.sent_ms else marks.speech_end
        with self._calls.asking(asking, speculative=not self.released), awaited_since(since):
            async with asyncio.timeout(FIRST_CHUNK_TIMEOUT_S) as limit:
                async with synthesizer.speak(text, options) as chunks:
                    async for chunk in chunks:
                        now = self._loop.time()
                        asking.got(now)
                        limit.reschedule(now + FIRST_CHUNK_TIMEOUT_S)
                        marks.first_chunk = marks.first_chunk or now
                        voice.given = True
                        voice.chunks.put_nowait(chunk)

    async def _apologise_aloud(self, voice: _Voice) -> None:
        """A clause could not be voiced. The rest of the reply is text; an apology, which may be there already
        voiced, says that something is amiss."""
        first, self._voiceless = not self._voiceless, True
        if voice.given or not first or self.playback.sent_ms:
            return
        await self._released.wait()
        try:
            await self._voice_text(voice, apology(self.order.language))
        except (ProviderError, TimeoutError):
            return  # nobody can speak: the client is told by the error

    async def _play(self) -> None:
        rate = self._config.output_rate
        while (voice := await self._voices.get()) is not None:
            spoken = SpokenClause(
                text=voice.said,
                start=voice.clause.start,
                end=voice.clause.end,
                start_ms=self.playback.sent_ms,
                end_ms=self.playback.sent_ms,
            )
            async with aclosing(self._frames(voice)) as frames:
                async for pcm, words in frames:
                    await self._turn_to_send()
                    spoken.words.extend(words)
                    self._send(pcm, len(pcm) / 2 / rate * 1_000.0, spoken)
            spoken.total_ms = spoken.end_ms - spoken.start_ms
        await self._released.wait()
        if self.playback.sent_ms:
            self._sent_all = True
            self._tell_sent_all()
            await self._heard_out()

    def _tell_sent_all(self) -> None:
        total = round(self.playback.sent_ms)
        self._publish(events.AudioDone(reply_id=self.order.reply_id, total_ms=total))

    async def _frames(self, voice: _Voice) -> AsyncGenerator[tuple[bytes, tuple[WordTime, ...]], None]:
        """The clause's sound at the session's rate, in messages, each chunk's words with its first."""
        rate = self._config.output_rate
        source = self._providers.synthesizer.info.sample_rate
        resampler = Resampler(source, rate) if source != rate else None
        size = rate * FRAME_MS // 1_000 * 2
        words: tuple[WordTime, ...] = ()
        while (chunk := await voice.chunks.get()) is not None:
            pcm = resampler.push(chunk.pcm) if resampler else chunk.pcm
            words += chunk.words
            for at in range(0, len(pcm), size):
                yield pcm[at : at + size], words
                words = ()
        if resampler and (rest := resampler.flush()):
            yield rest, words

    async def _turn_to_send(self) -> None:
        """Wait for the release, for the end of a hold, and for the listener to catch up."""
        while True:
            await self._released.wait()
            await self._going.wait()
            wait = self.playback.wait_s(self._loop.time())
            if wait <= 0.0:
                return
            await asyncio.sleep(max(wait, PACE_GRAIN_S))

    def _send(self, pcm: bytes, ms: float, spoken: SpokenClause) -> None:
        now = self._loop.time()
        first, start = self.order.marks.first_sound is None, self.playback.sent_ms
        if first:
            self.order.marks.first_sound = now
            self._publish(events.AudioStarted(reply_id=self.order.reply_id, from_ms=round(start)))
        if not self.spoken or self.spoken[-1] is not spoken:
            self.spoken.append(spoken)
        self.playback.send(ms, now)
        spoken.end_ms = self.playback.sent_ms
        self._unheard.append((start, pcm))
        while self._unheard[0][0] < self.playback.sent_ms - UNHEARD_MS:
            self._unheard.popleft()
        self._publish(events.ReplyAudio(reply_id=self.order.reply_id, pcm=pcm))
        if first:
            self._sounding(self)

    async def _heard_out(self) -> None:
        """Until the listener has heard it all; a client that stops reporting is not waited for."""
        patience = self._loop.time() + (self.playback.sent_ms - self.heard_ms) / 1_000.0 + 3.0
        while self.playback.sent_ms - self.heard_ms > 5.0:
            left = (self.playback.sent_ms - self.heard_ms) / 1_000.0
            if self._going.is_set() and self._loop.time() > patience:
                return
            await asyncio.sleep(min(max(left, 0.01), 0.1))
            if not self._going.is_set():
                await self._going.wait()
                patience = self._loop.time() + left + 3.0

    # ---- small pieces -------------------------------------------------------------------------------------

    def _tell(self, event: events.Event) -> None:
        if self.released:
            self._publish(event)
        else:
            self._held_back.append(event)
