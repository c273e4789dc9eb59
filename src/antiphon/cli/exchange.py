"""What was said in one call, folded from the server's messages. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.protocol import server_messages as wire


@dataclass(slots=True)
class Exchange:
    """One file (or typed turn) and what came back. Times are the client's clock, in seconds."""

    transcripts: dict[str, str] = field(default_factory=dict)
    """Turn → its final words."""
    replies: dict[str, str] = field(default_factory=dict)
    """Reply → its text: as written, or as far as it was heard when it was cut short."""
    answered: set[str] = field(default_factory=set)
    """Turns with a reply."""
    done: list[wire.ResponseDone] = field(default_factory=list)
    errors: list[wire.Error] = field(default_factory=list)
    notices: list[wire.Notice] = field(default_factory=list)
    decisions: list[wire.Decision] = field(default_factory=list)
    sound: bytearray = field(default_factory=bytearray)
    """All sound received: PCM s16le mono."""
    sounded_at: list[float] = field(default_factory=list)
    """When the first sound of each reply came."""
    last_event_at: float = 0.0
    speaking: bool = False
    """Whether the server hears us speak."""
    unanswered: bool = False
    """Whether the server heard speech that it has not transcribed."""
    replying: set[str] = field(default_factory=set)
    _silent_reply: bool = False
    """A reply was announced whose sound has not begun."""

    def tell(self, message: wire.ServerMessage, *, now: float) -> None:
        """A JSON message came."""
        self.last_event_at = now
        match message:
            case wire.SpeechStarted():
                self.speaking = self.unanswered = True
            case wire.SpeechStopped():
                self.speaking = False
            case wire.Transcript(final=True):
                self.unanswered = False
                if message.text:
                    self.transcripts[message.turn_id] = message.text
                else:
                    self.transcripts.pop(message.turn_id, None)
            case wire.ResponseStarted():
                self.answered.add(message.turn_id)
                self.replying.add(message.reply_id)
                self.replies[message.reply_id] = ""
            case wire.ResponseText():
                self.replies[message.reply_id] = self.replies.get(message.reply_id, "") + message.text
            case wire.AudioStarted():
                self._silent_reply = True
            case wire.ResponseDone():
                self.replying.discard(message.reply_id)
                self.done.append(message)
                if message.interrupted:
                    self.replies[message.reply_id] = message.text
            case wire.Error():
                self.errors.append(message)
            case wire.Notice():
                self.notices.append(message)
            case wire.Decision():
                self.decisions.append(message)
            case _:
                pass

    def hear(self, pcm: bytes, *, now: float) -> None:
        """A binary message came."""
        self.last_event_at = now
        if self._silent_reply:
            self._silent_reply = False
            self.sounded_at.append(now)
        self.sound += pcm

    def over(self, *, sent_at: float, now: float, patience_s: float, reply_patience_s: float) -> bool:
        """Whether nothing more is to be waited for. All was sent at ``sent_at``; ``patience_s`` is how
        long the server may stay silent on speech it did not transcribe, ``reply_patience_s`` on words it
        has to answer."""
        if self.replying:
            return now > self.last_event_at + reply_patience_s
        waiting = set(self.transcripts) - self.answered
        if not waiting and self.answered and not self.unanswered:
            return True
        limit = reply_patience_s if waiting else patience_s
        return now > max(sent_at, self.last_event_at) + limit

    def first_sound_after(self, speech_end_at: float) -> float | None:
        """Seconds from then to the first sound of the reply that came after it; None when none did."""
        return next((at - speech_end_at for at in self.sounded_at if at >= speech_end_at), None)

    @property
    def transcript(self) -> str:
        """All that was heard."""
        return " ".join(self.transcripts.values())

    @property
    def reply(self) -> str:
        """All that was answered."""
        return " ".join(text.strip() for text in self.replies.values() if text.strip())

    @property
    def latency(self) -> wire.ResponseDone | None:
        """The reply whose stages tell where the time went: the last one that sounded."""
        return next((done for done in reversed(self.done) if done.latency_ms), None)
