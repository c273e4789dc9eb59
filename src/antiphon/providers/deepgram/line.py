"""One socket to Deepgram's ``/v1/listen``: it hears one utterance after the other, and is kept alive between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from antiphon.errors import ProviderError
from antiphon.providers.base import SPEECH_RATE
from antiphon.providers.deepgram.utterance import Utterance
from antiphon.providers.sockets import Line
from antiphon.providers.vendor_errors import Names, cut, malformed, read_object, refused, too_slow

KEEP_ALIVE_S = 4.0
"""The vendor ends a socket that says nothing for 10 s, and asks for a sign every 3 to 5 s."""

FINALIZE_S = 1.0
"""The answer to ``Finalize`` takes some 100 ms, and does not come when there is little left to say: then the socket is
closed, which always brings the rest."""

DRAIN_S = 3.0
"""A socket whose utterance was left is ready again when its words have come; not in this time, and it is closed."""

GOODBYE_S = 10.0
"""A vendor that does not end a socket in this time, after it was asked to, is hung up on."""

NORMAL = 1000


class ListenLine:
    """Never waits. ``free`` is told when it can be used for the next utterance."""

    def __init__(
        self,
        line: Line,
        *,
        names: Names,
        language: str,
        patience_s: float,
        free: Callable[[ListenLine], None],
    ) -> None:
        self.line = line
        self.language = language
        self.used_s = line.opened_s
        self._names = names
        self._patience_s = patience_s
        self._free = free
        self._loop = asyncio.get_running_loop()
        self._sent_s = 0.0
        """Sound sent since it was opened."""
        self._utterance: Utterance | None = None
        self._closing = False
        """``CloseStream`` was sent: what comes now is the rest."""
        self._patience: asyncio.TimerHandle | None = None
        self._signs = self._loop.call_later(KEEP_ALIVE_S, self._keep_alive)

    @property
    def alive(self) -> bool:
        return self.line.alive and not self._closing

    @property
    def idle(self) -> bool:
        """Whether it can take an utterance."""
        return self.alive and self._utterance is None

    def begin(self) -> Utterance:
        """The next utterance."""
        assert self._utterance is None
        self.used_s = self._loop.time()
        self._utterance = Utterance(
            begin_s=self._sent_s,
            language="" if self.language == "multi" else self.language.partition("-")[0],
            post=self._post_sound,
            finalize=self._finalize,
            patience_s=self._patience_s,
            too_slow=self._too_slow,
        )
        return self._utterance

    def leave(self, utterance: Utterance) -> None:
        """Nobody listens any more. What was not answered yet is asked for, so that it is not taken for part of the
        next utterance."""
        self.used_s = self._loop.time()
        if utterance is not self._utterance:
            return
        if utterance.over or utterance.settled:
            self._done()
        elif self.alive:
            if not utterance.finishing:
                utterance.finishing = True
                self.line.post({"type": "Finalize"})
            self._wait(DRAIN_S)

    def close(self) -> None:
        """Say good-bye; what was sent is still answered."""
        if not self._closing:
            self._closing = True
            with suppress(ProviderError):  # ``lost`` is told
                self.line.post({"type": "CloseStream"})
            self._signs.cancel()
            self._signs = self._loop.call_later(GOODBYE_S, self.line.hang_up)

    def lost(self, error: ProviderError) -> None:
        """The socket has ended."""
        self._signs.cancel()
        self._stop_waiting()
        utterance, self._utterance = self._utterance, None
        if utterance is not None:
            if self._closing and utterance.finishing:
                utterance.complete()
            else:
                utterance.fail(error)

    # ---- what the vendor says -----------------------------------------------------------------------------

    def received(self, message: str | bytes) -> None:
        """A message. Raises ProviderError when the line cannot go on."""
        told = read_object(self._names, message, "a message")
        kind, utterance = told.get("type"), self._utterance
        if kind == "Error" or told.get("err_code"):
            raise self._refused(told)
        if utterance is None:
            return
        if kind == "Results":
            try:
                utterance.results(told)
            except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
                raise malformed(self._names, "results without their words") from None
        elif kind == "UtteranceEnd":
            utterance.utterance_end()
        elif kind == "Metadata" and self._closing:
            utterance.complete()
        if utterance.over:
            self._done()

    def _refused(self, told: dict[str, Any]) -> ProviderError:
        said = {
            "err_code": told.get("err_code") or told.get("variant") or "",
            "err_msg": told.get("err_msg") or told.get("description") or told.get("message") or "",
        }
        return refused(self._names, 400, {}, json.dumps(said).encode())

    # ---- sound, signs, patience ---------------------------------------------------------------------------

    def _post_sound(self, pcm: bytes) -> None:
        self.line.post(pcm)
        self._sent_s += len(pcm) / 2 / SPEECH_RATE

    def _too_slow(self) -> ProviderError:
        return too_slow(self._names, f"gave no final words within {self._patience_s:g} s")

    def _finalize(self) -> None:
        self.line.post({"type": "Finalize"})
        self._wait(FINALIZE_S)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._patience = self._loop.call_later(seconds, self.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _done(self) -> None:
        """Ready for the next utterance."""
        self._utterance = None
        self._stop_waiting()
        if self.alive:
            self._free(self)

    def _keep_alive(self) -> None:
        if self.alive:
            with suppress(ProviderError):  # ``lost`` is told
                self.line.post({"type": "KeepAlive"})
        self._signs = self._loop.call_later(KEEP_ALIVE_S, self._keep_alive)


def ended(names: Names, code: int, reason: str) -> ProviderError:
    """Why the vendor closed the socket: ``DATA-0000`` and ``NET-0001`` are its own words."""
    if reason.startswith("DATA"):
        return refused(names, 400, {}, json.dumps({"err_code": "DATA-0000", "err_msg": reason}).encode())
    if code == 1011 and not reason.startswith("NET"):
        return refused(names, 503, {}, b"{}")
    return cut(names, f"closed the connection ({code})")
