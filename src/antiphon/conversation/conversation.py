"""One session's engine: sound in, decisions, replies out. The shell around the turn machine.

Everything it starts is a child of the TaskGroup in ``run``. It reads the loop's clock, so on a virtual-time loop a
conversation takes no time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from antiphon.conversation import events
from antiphon.conversation.allowance import Allowance
from antiphon.conversation.calls import CallLog
from antiphon.conversation.config import ConversationConfig, Providers
from antiphon.conversation.ear import AudioClock, Ear
from antiphon.conversation.hearing import Heard, open_hearing
from antiphon.conversation.history import History
from antiphon.conversation.latency import Marks
from antiphon.conversation.memory import Memory, Unfinished
from antiphon.conversation.recorder import FlightRecorder
from antiphon.conversation.reply import Order, Reply
from antiphon.conversation.spending import Spending
from antiphon.errors import AntiphonError, AudioError, BudgetError, ProviderError
from antiphon.providers.base import LanguageOptions
from antiphon.turns import events as t
from antiphon.turns.machine import TurnMachine

MICROPHONE_QUEUE = 500
"""Packets: 10 s at 20 ms. A client that sends faster than real time for longer is told so."""

FEW_PACKETS = 3
"""Packets that wait while the loop is busy; with more, something was said that is still to be heard."""

OUTBOX = 2_000
"""Events waiting for the socket. Sound is paced to a second ahead (10-50 events), text to a reply's tokens (400); a
client this far behind has gone."""

STALL_S = 0.5
"""Speech whose sound stops coming for this long has paused."""

TIMER_GRAIN_S = 0.001
"""A timer may fire this much early by rounding."""

SPENT = "budget"
"""Why a conversation ended by itself: nothing is left to pay for it."""

Emit = Callable[[events.Event], Awaitable[None]]
Observe = Callable[[events.Event], None]


class Conversation:
    """One session. ``run`` until ``close``; everything else may be called at any time and never waits."""

    def __init__(
        self,
        *,
        session_id: str,
        providers: Providers,
        config: ConversationConfig,
        emit: Emit,
        observe: Observe | None = None,
        allowance: Allowance | None = None,
        memory: Memory | None = None,
    ) -> None:
        """``emit`` takes the events to the client, in order, and may wait for it. ``observe`` is told them at once,
        before any client is. ``allowance`` is asked before money is spent on a turn; None: spend freely. ``memory`` is
        that of a conversation begun elsewhere, to go on with."""
        self.session_id = session_id
        self.config = config
        self._memory = memory = memory or Memory()
        self.history = History(
            system_prompt="\n\n".join(filter(None, (config.system_prompt, config.instructions))),
            max_tokens=config.context_tokens,
            entries=memory.entries,
            dropped=memory.dropped,
        )
        self.recorder = FlightRecorder(kept=config.recorded)
        self._providers = providers
        self._asked = providers
        """Whom the user's words go to: the cheaper ones once a budget is spent."""
        self._emit = emit
        self._observe = observe
        self._spending = Spending(session_id, allowance)
        # Clients are told of calls in ``ReplyDone``, listeners at once. Not by way of this object: connections of a
        # pool remember in whose context they were opened, and would keep the conversation for as long as they live.
        self._calls = CallLog(observe)
        self._machine = TurnMachine(config.turn_policy(streaming=providers.recognizer.info.streaming))
        self._machine.take_up(turns=memory.turns, replies=memory.replies)
        self._ear = Ear(
            input_rate=config.input_rate, stream=providers.voice_detector.open(), begun_at=memory.begun_at
        )
        self._clock = AudioClock(begun_at=memory.begun_at)
        self._hearing = open_hearing(
            recognizer=providers.recognizer,
            ear=self._ear,
            language=None if config.language == "auto" else config.language,
            calls=self._calls,
            prompt=config.asr_prompt,
        )
        self._microphone: asyncio.Queue[bytes | None] = asyncio.Queue(MICROPHONE_QUEUE)
        self._outbox: asyncio.Queue[events.Event] = asyncio.Queue(OUTBOX)
        self._closed = asyncio.Event()
        self._overrun = False
        self.ending = ""
        """Why the conversation ended by itself (``SPENT``); empty while it goes on."""
        self._group: asyncio.TaskGroup
        self._loop: asyncio.AbstractEventLoop
        self._early: list[Callable[[], None]] | None = []
        """What is to be done as soon as it runs: clients need not wait to be answered. None: it runs."""
        self._timer: asyncio.TimerHandle | None = None
        self._reply: Reply | None = None
        self._reply_task: asyncio.Task[None] | None = None
        self._transcribing: asyncio.Task[None] | None = None
        self._judging: asyncio.Task[None] | None = None
        self._prefilling: asyncio.Task[None] | None = None
        self._heard: Heard | None = None
        """The words the next reply answers."""
        self._language = memory.language
        self._pressed = False
        """Push-to-talk: sound since the last commit."""
        self._user_text = ""
        self._last: Reply | None = None
        """The reply that was over last: its end may have to be sent again after a break."""
        self._present = asyncio.Event()
        """Whether somebody is there to talk and to listen."""
        self._present.set()
        self._left_at = -math.inf
        """When nobody was there last, loop time."""
        self._wait_at: float | None = None
        """What the timer waits for, on the audio clock."""

    # ---- what the server may do ---------------------------------------------------------------------------

    def hear(self, pcm: bytes) -> None:
        """Microphone sound: PCM s16le mono at ``config.input_rate``. Raises ``AudioError`` when it is not that, or
        when far more of it comes than real time."""
        if len(pcm) % 2:
            raise AudioError(
                "a binary message has an odd number of bytes; PCM s16le mono has two bytes a sample"
            )
        if not pcm:
            raise AudioError("a binary message is empty; send 20 to 60 ms of sound in each")
        try:
            self._microphone.put_nowait(pcm)
        except asyncio.QueueFull:
            raise AudioError("sound arrives much faster than it was spoken; send it in real time") from None

    def type_text(self, text: str) -> None:
        """A typed turn."""
        self._soon(lambda: self._tell(t.Typed(text=text, at=self._now())))

    def commit(self) -> None:
        """Push-to-talk: the turn is over. Takes effect after the sound received before it."""
        try:
            self._microphone.put_nowait(None)
        except asyncio.QueueFull:
            raise AudioError("sound arrives much faster than it was spoken; send it in real time") from None

    def interrupt(self) -> None:
        """Stop speaking."""
        self._soon(lambda: self._tell(t.Interrupt(at=self._now())))

    def played(self, reply_id: str, ms: int) -> None:
        """The client has played ``ms`` of a reply. Reports about another reply are ignored."""
        if self._reply is not None and self._reply.order.reply_id == reply_id:
            self._reply.playback.report(float(ms), asyncio.get_running_loop().time())

    def pause(self) -> None:
        """Nobody is there any more: time stands still, and a reply waits where the listener was. What is being worked
        on is finished."""
        if not self._present.is_set():
            return
        now = asyncio.get_running_loop().time()
        self._present.clear()
        self._left_at = now
        self._clock.stop(now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reply is not None:
            self._reply.leave()

    def go_on(self, *, reply_id: str = "", heard_ms: float | None = None) -> None:
        """Somebody is there again, and has heard ``heard_ms`` of ``reply_id``, None when they do not say."""
        if self._present.is_set():
            return
        self._present.set()
        self._clock.go_on(asyncio.get_running_loop().time())
        for reply in (self._reply, self._last):
            if reply is not None:
                reply.come_back(heard_ms if reply.order.reply_id == reply_id else None)
        spoken_over = self._machine.context.reply
        if spoken_over is not None and (spoken_over.held or spoken_over.ducked):
            self._playback("hold" if spoken_over.held else "duck", spoken_over.id)
        self._wait_until(self._wait_at)

    def close(self) -> None:
        """End the session; ``run`` returns."""
        self._closed.set()

    @property
    def untouched(self) -> bool:
        """Whether nothing was said yet, by anyone."""
        return not self.history.entries and self.between_turns

    @property
    def between_turns(self) -> bool:
        """Whether nothing is being said, by anyone, or thought about."""
        return (
            self._machine.quiet
            and self._reply is None
            and not self._ear.speaking
            and self._microphone.qsize() < FEW_PACKETS
        )

    @property
    def memory(self) -> Memory:
        """What it would take to go on elsewhere, as of now."""
        unfinished = self._reply.unfinished(self._user_text) if self.speaking and self._reply else None
        return Memory(
            entries=self.history.entries,
            dropped=self.history.dropped,
            turns=self._machine.context.turns,
            replies=self._machine.context.replies,
            position_s=self._ear.position,
            language=self._language,
            unfinished=unfinished,
        )

    @property
    def speaking(self) -> bool:
        """Whether a reply is under way (a drain lets it finish)."""
        return self._reply is not None and self._reply.released

    # ---- the loop -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the conversation until ``close``. Cancel-safe. An error of ours ends it, after telling the client."""
        self._loop = asyncio.get_running_loop()
        self._clock.now(self._loop.time())
        try:
            async with asyncio.TaskGroup() as self._group:
                running = [
                    self._group.create_task(self._listen()),
                    self._group.create_task(self._deliver()),
                    self._group.create_task(self._hearing.run()),
                ]
                if self._memory.unfinished is not None:
                    self._take_up(self._memory.unfinished)
                early, self._early = self._early or (), None
                for act in early:
                    act()
                await self._closed.wait()
                self._stop(running)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._spending.end()
            self._let_go()

    def _let_go(self) -> None:
        """Of all that is large. Whoever held a conversation and is done with it often hangs in a cycle with it, by the
        traceback of a cancellation, until the garbage collector comes by."""
        self._ear.close()
        for reply in (self._reply, self._last):
            if reply is not None:
                reply.forget_sound()

    def _stop(self, running: list[asyncio.Task[None]]) -> None:
        tasks = [*running, self._reply_task, self._transcribing, self._judging, self._prefilling]
        for task in tasks:
            if task is not None:
                task.cancel()

    async def _deliver(self) -> None:
        while True:
            await self._emit(await self._outbox.get())
            self._outbox.task_done()

    async def delivered(self) -> None:
        """Returns when all that was told so far has been taken. Safe to cancel."""
        await self._outbox.join()

    def _publish(self, event: events.Event) -> None:
        if self._observe is not None:
            self._observe(event)
        try:
            self._outbox.put_nowait(event)
        except asyncio.QueueFull:
            # Nothing may wait here, and nothing may be lost silently: a client this slow is ended.
            self._overrun = True
            self.close()

    @property
    def overrun(self) -> bool:
        """Whether the session ended because its events were not taken fast enough."""
        return self._overrun

    def _soon(self, act: Callable[[], None]) -> None:
        """Act from the loop, not inside the caller's stack."""
        if self._early is not None:
            self._early.append(act)
        else:
            self._loop.call_soon(act)

    def _now(self) -> float:
        return self._clock.now(self._loop.time())

    # ---- the ear ------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            for packet in await self._packets():
                if packet is None:
                    await self._judge_sound()
                    self._commit()
                else:
                    self._take(packet)
            await self._judge_sound()

    async def _packets(self) -> list[bytes | None]:
        """What the microphone sent since the last call; waits for the first. None is a commit."""
        try:
            async with asyncio.timeout(STALL_S if self._ear.speaking and self._present.is_set() else None):
                packets = [await self._microphone.get()]
        except TimeoutError:
            if not self._present.is_set():
                return []  # it went away with its owner, and will go on with them
            # The microphone stopped in the middle of speech: that is a pause like any other.
            return [bytes(2 * (self.config.input_rate // 5))]
        while not self._microphone.empty():
            packets.append(self._microphone.get_nowait())
        return packets

    def _take(self, pcm: bytes) -> None:
        seconds = len(pcm) / 2 / self.config.input_rate
        gap = self._clock.receive(seconds, self._loop.time())
        self._ear.take(pcm, gap=gap)
        self.recorder.sound(self._ear.position, pcm)

    async def _judge_sound(self) -> None:
        if self.config.mode == "push_to_talk":
            at = self._ear.position
            if self._ear.skip() and not self._pressed:
                self._pressed = True
                self._speech_started(at)
                self._tell(t.SpeechStarted(since=at, at=at))
            return
        async for event in self._ear.listen():
            match event:
                case t.SpeechStarted(since=since):
                    self._speech_started(since)
                case t.SpeechPaused(since=since):
                    self._publish(events.SpeechStopped(at_s=since))
                case t.SpeechFaltered():
                    pass  # nothing to tell anyone but the machine
            self._tell(event)

    def _speech_started(self, since: float) -> None:
        self._asked = self._spending.providers(self._providers)
        self._hearing.recognizer = self._asked.recognizer
        self._hearing.speech_started(since)
        self._publish(events.SpeechStarted(at_s=since))

    def _commit(self) -> None:
        if self._pressed:
            self._publish(events.SpeechStopped(at_s=self._ear.position))
        self._pressed = False
        self._tell(t.Commit(at=self._ear.position))

    # ---- the machine --------------------------------------------------------------------------------------

    def _tell(self, event: t.Event) -> None:
        """Tell the machine, and do what it says."""
        self.recorder.signal(event)
        for command in self._machine.handle(event):
            self._do(command)

    def _do(self, command: t.Command) -> None:
        match command:
            case t.WaitUntil(at=at):
                self._wait_until(at)
            case t.Note():
                self._note(command)
            case t.Transcribe():
                self._transcribe(command)
            case t.JudgeTurn():
                self._judge_turn(command)
            case t.ShowTranscript():
                self._language = command.language or self._language
                self._publish(
                    events.TranscriptChanged(
                        turn_id=command.turn,
                        text=command.text,
                        final=command.final,
                        language=command.language,
                    )
                )
            case t.Prefill():
                self._prefill(command.text)
            case t.DropTurn():
                self._turn_dropped(command)
            case _:
                self._do_reply(command)

    def _do_reply(self, command: t.Command) -> None:
        match command:
            case t.StartReply():
                self._start_reply(command)
            case t.ReleaseReply():
                self._release_reply()
            case t.DiscardReply():
                self._discard_reply()
            case t.CancelReply():
                self._cancel_reply(reopen=command.reopen)
            case t.Duck():
                self._playback("duck", command.reply)
            case t.Hold():
                if self._reply is not None:
                    self._reply.hold()
                self._playback("hold", command.reply)
            case t.Resume():
                if self._reply is not None:
                    self._reply.go_on()
                self._playback("resume", command.reply)
            case _:
                raise AssertionError(f"no such command: {command!r}")

    def _wait_until(self, at: float | None) -> None:
        self._wait_at = at
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None and self._present.is_set():
            delay = max(0.0, at - self._now())
            self._timer = self._loop.call_later(delay, self._tick, at)

    def _tick(self, at: float) -> None:
        self._timer = self._wait_at = None
        now = self._now()
        if now < at - TIMER_GRAIN_S:  # the clock was corrected since
            self._wait_until(at)
            return
        self._tell(t.Tick(at=max(now, at)))

    def _note(self, note: t.Note) -> None:
        self.recorder.decision(note)
        self._publish(events.Decision(at_s=note.at, kind=note.kind, reason=note.reason, details=note.details))

    # ---- words --------------------------------------------------------------------------------------------

    def _transcribe(self, request: t.Transcribe) -> None:
        self.recorder.transcription(request, self._now())
        if self._transcribing is not None:
            self._transcribing.cancel()
        self._transcribing = self._group.create_task(self._transcribe_now(request))

    async def _transcribe_now(self, request: t.Transcribe) -> None:
        asked = self._loop.time()

        def so_far(text: str, language: str) -> None:
            now = self._loop.time()
            self._heard = Heard(request=request, text=text, language=language, started=asked, ended=now)
            self._tell(
                t.Transcript(
                    request=request.request, text=text, language=language, at=self._now(), final=False
                )
            )

        try:
            heard = await self._hearing.transcribe(request, so_far)
        except ProviderError as error:
            if not request.interim:
                self._publish(
                    events.Failed(code=error.code, message=error.message, retryable=error.retryable)
                )
            self._tell(t.RecognitionFailed(request=request.request, at=self._now()))
            return
        self._heard = heard
        self._tell(
            t.Transcript(request=request.request, text=heard.text, language=heard.language, at=self._now())
        )

    def _judge_turn(self, command: t.JudgeTurn) -> None:
        if self._providers.turn_model is not None:
            if self._judging is not None:
                self._judging.cancel()
            self._judging = self._group.create_task(self._judge_turn_now(command))

    async def _judge_turn_now(self, command: t.JudgeTurn) -> None:
        assert self._providers.turn_model is not None
        try:
            probability = await self._providers.turn_model.end_of_turn(
                self._ear.cut(command.start, self._ear.position)
            )
        except AntiphonError:
            return  # silence and words decide without it
        self._tell(t.EndOfTurnProbability(pause=command.pause, probability=probability, at=self._now()))

    def _prefill(self, text: str) -> None:
        if self._prefilling is None or self._prefilling.done():
            self._prefilling = self._group.create_task(self._prefill_now(text))

    async def _prefill_now(self, text: str) -> None:
        messages = self.history.messages(with_user=text)
        try:
            await self._asked.language_model.prefill(messages, self._options())
        except ProviderError:
            return  # it only saves time

    def _options(self) -> LanguageOptions:
        return LanguageOptions(
            max_tokens=self.config.max_reply_tokens,
            temperature=self.config.temperature,
            cache_key=self.session_id,
        )

    def _turn_dropped(self, command: t.DropTurn) -> None:
        self._spending.settle(command.turn)
        self._publish(
            events.TranscriptChanged(turn_id=command.turn, text="", final=True, language=self._language)
        )
        if command.failed:
            self._soon(lambda: self._tell(t.Unheard(at=self._now())))

    # ---- replies ------------------------------------------------------------------------------------------

    def _start_reply(self, command: t.StartReply) -> None:
        if self._prefilling is not None:
            self._prefilling.cancel()
        now = self._loop.time()
        marks = Marks(
            speech_end=now if command.speech_end is None else self._clock.wall_of(command.speech_end)
        )
        marks.broken = marks.speech_end < self._left_at
        if command.speech_end is not None and self._heard is not None:
            marks.asr_start, marks.asr_end = self._heard.started, self._heard.ended
        order = Order(
            reply_id=command.reply,
            turn_id=command.turn,
            messages=self.history.messages(with_user=command.text) if command.text else (),
            unheard=not command.text,
            language=self._language if self.config.language == "auto" else self.config.language,
            aloud=not command.speculative or self._machine.policy.speculation == "tts",
            session_id=self.session_id,
            marks=marks,
        )
        self._begin_reply(order, command.text)
        if not command.speculative:
            self._release_reply()

    def _begin_reply(self, order: Order, user_text: str) -> None:
        self._last = None
        self._reply = reply = Reply(
            order,
            providers=self._providers,
            config=self.config,
            publish=self._publish,
            sounding=self._reply_sounds,
            calls=self._calls,
            granted=self._spending.reserve(order.turn_id, self._group),
        )
        if not self._present.is_set():
            reply.leave()
        self._user_text = user_text
        self._reply_task = self._group.create_task(self._run_reply(reply))

    def _take_up(self, unfinished: Unfinished) -> None:
        """Go on with a reply that was begun elsewhere. Its turn is in the history."""
        order = Order(
            reply_id=unfinished.reply_id,
            turn_id=unfinished.turn_id,
            messages=(),
            language=unfinished.language,
            aloud=True,
            session_id=self.session_id,
            marks=Marks(speech_end=self._loop.time()),
            begun=unfinished,
        )
        self._machine.take_up_reply(order.reply_id, turn=order.turn_id, text=unfinished.user_text)
        self._begin_reply(order, unfinished.user_text)
        assert self._reply is not None
        self._reply.go_on_elsewhere()

    def _release_reply(self) -> None:
        assert self._reply is not None
        if self._user_text:
            self.history.add_user(self._reply.order.turn_id, self._user_text)
        self._reply.release()

    def _reply_sounds(self, reply: Reply) -> None:
        self._tell(t.ReplyReady(reply=reply.order.reply_id, at=self._now()))

    async def _run_reply(self, reply: Reply) -> None:
        saying = self._group.create_task(self._report_saying(reply))
        try:
            await reply.run()
        finally:
            saying.cancel()
        if reply is not self._reply:
            return
        self._reply, self._last = None, reply
        if reply.released:
            self._remember(reply, heard=reply.text, interrupted=False)
            self._reply_done(reply, heard=reply.text, interrupted=False)
        self._tell(t.ReplyOver(reply=reply.order.reply_id, at=self._now()))

    async def _report_saying(self, reply: Reply) -> None:
        """Keep the echo guard told of what is in the air."""
        while True:
            await asyncio.sleep(0.2)
            if reply.spoken and reply is self._reply:
                self._tell(t.Speaking(reply=reply.order.reply_id, text=reply.saying(), at=self._now()))

    def _remember(self, reply: Reply, *, heard: str, interrupted: bool) -> None:
        """The history keeps what was heard; an apology is not part of the conversation."""
        if reply.written and heard.strip():
            self.history.add_assistant(heard, interrupted=interrupted)

    def _reply_done(self, reply: Reply, *, heard: str, interrupted: bool) -> None:
        """Tell the client, when all of the reply's calls have ended and can be counted."""
        if reply.error is not None:
            error = reply.error
            self._publish(events.Failed(code=error.code, message=error.message, retryable=error.retryable))
        self._publish(
            events.ReplyDone(
                turn_id=reply.order.turn_id,
                reply_id=reply.order.reply_id,
                text=heard,
                latency_ms=reply.order.marks.latency_ms(),
                stages=reply.order.marks.stages(),
                calls=self._calls.take(),
                interrupted=interrupted,
                error=reply.error.code if reply.error is not None else "",
            )
        )
        self._spending.settle(reply.order.turn_id)
        if isinstance(reply.error, BudgetError):
            self.ending = SPENT
            self.close()

    def _discard_reply(self) -> None:
        if self._reply is not None:
            self._calls.discard(self._reply.order.reply_id)
        self._reply = None
        if self._reply_task is not None:
            self._reply_task.cancel()

    def _cancel_reply(self, *, reopen: bool) -> None:
        reply, self._reply = self._reply, None
        if reply is None or self._reply_task is None:
            return
        heard = "" if reopen else reply.heard()
        if reopen:
            self.history.reopen(reply.order.turn_id)
        else:
            self._remember(reply, heard=heard, interrupted=True)
        self._publish(
            events.Interrupted(
                reply_id=reply.order.reply_id, heard_ms=round(reply.heard_ms), heard_text=heard
            )
        )
        self._reply_task.cancel()
        self._group.create_task(self._finish_cancelled(reply, self._reply_task, heard))

    async def _finish_cancelled(self, reply: Reply, task: asyncio.Task[None], heard: str) -> None:
        await asyncio.wait([task])
        self._reply_done(reply, heard=heard, interrupted=True)

    def _playback(self, action: str, reply_id: str) -> None:
        assert action in ("duck", "hold", "resume")
        self._publish(events.PlaybackChanged(reply_id=reply_id, action=action))  # type: ignore[arg-type]
