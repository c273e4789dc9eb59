"""One socket to ElevenLabs for one voice and language (``multi-stream-input``): up to five replies speak over it at
the same time, each in a context of its own.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from antiphon.errors import ProviderError
from antiphon.providers.elevenlabs.alignment import socket_times
from antiphon.providers.elevenlabs.clause import Clause, Speaking
from antiphon.providers.sockets import Line
from antiphon.providers.vendor_errors import Names, cut, malformed, read_object, refused

CONTEXTS = 5
"""The vendor ends a socket that opens a sixth."""

QUIET_S = 1.0
"""Sound that stops for so long before its last character was told of: the context is closed, and the vendor then says
when it is over. It makes sound several times faster than it is heard, so a pause is no pause for breath."""

IDLE_S = 20.0
"""A context without text for so long is closed; a reply that goes on later gets a new one. Clauses of a long reply
come as far apart as the earlier ones take to be heard."""

GONE_S = 10.0
"""A closed context that the vendor has not confirmed after so long is taken to be gone."""

DEAF_S = 5.0
"""A clause left after so long, without a word on the whole socket meanwhile: the socket is taken to be dead."""

MISALIGNED = 2
"""So many clauses whose characters did not add up, and each gets a context of its own from then on."""

KEY_OF_CONTEXT = ("contextId", "context_id")
"""The vendor's documentation says the first, its service at times the second."""


class VoiceLine:
    """Clauses over one socket. Nothing here waits."""

    def __init__(self, line: Line, *, rate: int, names: Names) -> None:
        self.line = line
        self.used_s = line.opened_s
        self._rate = rate
        self._names = names
        self._loop = asyncio.get_running_loop()
        self._speaking: dict[str, Speaking] = {}
        """By the vendor's name; those it has not confirmed to be over."""
        self._current: dict[str, Speaking] = {}
        """By the engine's name: the context that the reply's next clause goes to."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._opened = 0
        self._misaligned = 0

    @property
    def alive(self) -> bool:
        return self.line.alive

    @property
    def listened(self) -> bool:
        """Whether somebody listens to a clause that is spoken over it."""
        return any(speaking.listened for speaking in self._speaking.values())

    def has_room(self, context_id: str) -> bool:
        """Whether a clause of this reply can be spoken over it."""
        return self.alive and (len(self._speaking) < CONTEXTS or self.speaks(context_id))

    def speaks(self, context_id: str) -> bool:
        """Whether the reply's earlier clauses were spoken here, and the next can follow them."""
        return self.alive and self._continues(context_id) is not None

    def speak(self, text: str, context_id: str, settings: Mapping[str, float]) -> Clause:
        """Begin to speak. Raises ProviderUnavailable when the line is lost."""
        self.used_s = self._loop.time()
        clause = Clause(text, rate=self._rate, names=self._names)
        clause.asked_s = self.used_s
        speaking = self._continues(context_id) or self._open(context_id, settings)
        speaking.add(clause)
        clause.context = speaking.name
        self._post(speaking, text=text.strip() + " ", flush=True)
        if self._misaligned >= MISALIGNED:
            self._close(speaking)
        self._wait(speaking)
        return clause

    def leave(self, clause: Clause) -> None:
        """Nobody listens any more; a context that nobody listens to is closed, which stops the vendor's work."""
        self.used_s = self._loop.time()
        speaking = self._speaking.get(clause.context)
        if clause.over:
            if speaking is not None and speaking not in self._current.values():
                self._close(speaking)  # a clause by itself
            return
        clause.dropped = True
        if clause.asked_s > self.line.heard_s and self.used_s - clause.asked_s > DEAF_S:
            self.line.hang_up(cut(self._names, "has gone silent on its connection"))
            return
        if speaking is not None and not speaking.listened:
            self._close(speaking)

    def lost(self, error: ProviderError) -> None:
        """The socket has ended."""
        for timer in self._timers.values():
            timer.cancel()
        for speaking in self._speaking.values():
            speaking.fail(error)
        self._speaking.clear()
        self._current.clear()

    # ---- what the vendor says -----------------------------------------------------------------------------

    def received(self, message: str | bytes) -> None:
        """A message. Raises ProviderError when the line cannot go on."""
        told = read_object(self._names, message, "a message")
        name = next((told[key] for key in KEY_OF_CONTEXT if told.get(key)), "")
        speaking = self._speaking.get(str(name))
        if told.get("error"):
            self._refused(told, speaking)
            return
        if speaking is None:
            return  # a context that was left, or a kind of message that is new
        try:
            speaking.take(self._sound(told), socket_times(told.get("alignment")))
        except ProviderError as error:
            speaking.fail(error)
            self._close(speaking)
        if told.get("isFinal") or told.get("is_final"):
            self._over(speaking)
        else:
            self._wait(speaking)

    def _sound(self, told: Mapping[str, Any]) -> bytes:
        audio = told.get("audio") or ""
        try:
            pcm = base64.b64decode(audio, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise malformed(self._names, "sound that is not base64") from None
        if len(pcm) % 2:
            raise malformed(self._names, "half a sample of sound")
        return pcm

    def _refused(self, told: Mapping[str, Any], speaking: Speaking | None) -> None:
        error = refusal(self._names, str(told["error"]), str(told.get("message") or ""))
        if speaking is None:
            raise error  # it concerns the whole socket
        speaking.fail(error)
        self._over(speaking)

    # ---- contexts -----------------------------------------------------------------------------------------

    def _continues(self, context_id: str) -> Speaking | None:
        speaking = self._current.get(context_id) if context_id else None
        return None if speaking is None or speaking.closing else speaking

    def _open(self, context_id: str, settings: Mapping[str, float]) -> Speaking:
        self._make_room()
        self._opened += 1
        speaking = Speaking(f"antiphon-{self._opened}", rate=self._rate)
        self._speaking[speaking.name] = speaking
        if context_id:
            self._current[context_id] = speaking
        opening: dict[str, Any] = {"voice_settings": dict(settings)} if settings else {}
        self._post(speaking, text=" ", **opening)
        return speaking

    def _make_room(self) -> None:
        """For the reply after this one: of contexts that nothing is spoken in, the oldest is closed when this one will
        take the last place."""
        if sum(not speaking.closing for speaking in self._speaking.values()) >= CONTEXTS - 1:
            idle = (speaking for speaking in self._speaking.values() if not speaking.waiting)
            if (oldest := next((each for each in idle if not each.closing), None)) is not None:
                self._close(oldest)

    def _close(self, speaking: Speaking) -> None:
        if speaking.closing:
            return
        speaking.closing = True
        for context_id, current in list(self._current.items()):
            if current is speaking:
                del self._current[context_id]
        if self.alive:
            with suppress(ProviderError):  # ``lost`` is told
                self._post(speaking, close_context=True)
            self._wait(speaking)

    def _over(self, speaking: Speaking) -> None:
        """The vendor has forgotten it."""
        speaking.closing = True
        speaking.end()
        self._misaligned += speaking.misaligned
        self._speaking.pop(speaking.name, None)
        if (timer := self._timers.pop(speaking.name, None)) is not None:
            timer.cancel()
        for context_id, current in list(self._current.items()):
            if current is speaking:
                del self._current[context_id]

    def _post(self, speaking: Speaking, **message: Any) -> None:
        self.line.post({**message, "context_id": speaking.name})

    # ---- silence ------------------------------------------------------------------------------------------

    def _wait(self, speaking: Speaking) -> None:
        """Look again when this has lasted too long: see the three times above. What has not begun to sound is left to
        whoever waits for it."""
        if (timer := self._timers.pop(speaking.name, None)) is not None:
            timer.cancel()
        if speaking.closing:
            self._timers[speaking.name] = self._loop.call_later(GONE_S, self._over, speaking)
        elif not speaking.waiting or speaking.sounding:
            patience = QUIET_S if speaking.waiting else IDLE_S
            self._timers[speaking.name] = self._loop.call_later(patience, self._close, speaking)


def refusal(names: Names, code: str, message: str) -> ProviderError:
    """The error that a word such as ``voice_id_does_not_exist`` stands for."""
    status = 429 if code in _BUSY else 500 if code in _FAILING else 400
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return refused(names, status, {}, body)


_BUSY = ("rate_limit_exceeded", "too_many_concurrent_requests", "max_active_conversations")
_FAILING = ("internal_server_error", "system_busy", "something_went_wrong", "internal_error")
