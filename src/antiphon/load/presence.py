"""Whether one caller is in a conversation, why it lost its connection, and for how long it was kept away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from antiphon.load.tally import Absence, Reconnection, Tally

Cause = Literal["", "left", "dropped", "moved"]
"""Why a caller ends its connection: it hangs up, plays one whose network broke, or goes where the server sends it."""


@dataclass(slots=True)
class Conversation:
    """What is needed to go on with it on another connection."""

    id: str
    token: str | None
    last_seq: int


@dataclass(frozen=True, slots=True)
class _Loss:
    """Of a connection, in a conversation."""

    at_s: float
    cause: str
    away_s: float
    """For how long the caller stays away on purpose."""


class Presence:
    """Of one caller, over all its connections."""

    def __init__(self, number: int, tally: Tally) -> None:
        self.talking = False
        """In an open conversation."""
        self.conversation: Conversation | None = None
        """The one it is in, or wants to go on with."""
        self.away_s: float | None = None
        """How long to stay away after the loss of the connection; None: as back-off says."""
        self.ending: Cause = ""
        """Why the connection is about to be lost, where that is the caller's doing."""
        self._number = number
        self._tally = tally
        self._lost: _Loss | None = None
        self._wants_since: float | None = None
        """Since when it wants to talk and has no conversation; may be in the future."""
        self._move_at: float | None = None

    @property
    def resumable(self) -> bool:
        """Whether it can ask to go on with a conversation."""
        return self.conversation is not None and bool(self.conversation.token)

    def wants(self, now: float) -> None:
        """From now on it wants to talk."""
        self._wants_since = now

    def kept_away_s(self, now: float) -> float:
        """For how long it has wanted to talk and has had no conversation; 0 when that is not so."""
        return 0.0 if self._wants_since is None else max(now - self._wants_since, 0.0)

    # ---- connections

    def connected(self) -> Mapping[str, Any] | None:
        """The line is there. What to ask to go on with, if anything."""
        self.away_s = self._move_at = None
        gone = self.conversation
        if gone is None or not gone.token:
            return None
        return {"session_id": gone.id, "token": gone.token, "last_seq": gone.last_seq}

    def disconnected(self, code: int, *, now: float, ended: bool) -> bool:
        """The line is gone; ``ended``: the caller is done. Whether a conversation broke with it."""
        cause, self.ending = self.ending, ""
        if not self.talking:
            return False
        self.talking = False
        self._tally.live -= 1
        away_s = (self.away_s or 0.0) if cause in ("left", "dropped") else 0.0
        if not ended:
            self._wants_since = now + away_s
        if cause == "left":
            return False
        if not cause:
            self._tally.closes[str(code)] += 1
            if self._move_at is not None:  # the server said when it would be back
                self.away_s = max(self._move_at - now, 0.0)
        self._lost = _Loss(now, cause or f"closed {code}", away_s)
        return True

    def opened(self, message: Mapping[str, Any], *, now: float) -> None:
        """``session`` came."""
        self._absent(until_s=now, ended=True)
        before, resumed, seq = self.conversation, bool(message["resumed"]), int(message.get("seq", 0))
        if self._lost is not None:
            self._returned(self._lost, resumed=resumed, now=now)
        last_seq = seq
        if resumed and before is not None and seq != before.last_seq + 1:
            last_seq = before.last_seq  # what was missed follows, with the numbers it had
        self.conversation = Conversation(message["session_id"], message["resume_token"], last_seq)
        self.talking = True
        self._tally.live += 1
        self._tally.most_live = max(self._tally.most_live, self._tally.live)
        self._tally.calls += not resumed

    def give_up(self, now: float) -> None:
        """It wanted to talk, and was not let in."""
        self._absent(until_s=now, ended=False)

    # ---- leaving

    def going_away(self, *, back_at: float) -> None:
        """The server said that it is about to, and when it, or another one, can be had."""
        self._move_at = back_at

    def due_to_move(self, now: float) -> bool:
        """Whether that time has come."""
        return self._move_at is not None and now >= self._move_at

    def leave(self, cause: Cause, *, away_s: float | None = None) -> None:
        """End the connection, for that cause, and stay away for so long; None: as was said before. Who hangs up does
        not go on with the conversation."""
        self.ending = cause
        if away_s is not None:
            self.away_s = away_s
        if cause == "left":
            self.conversation = None

    # ---- what came of it

    def _absent(self, *, until_s: float, ended: bool) -> None:
        since_s, self._wants_since = self._wants_since, None
        if since_s is not None:
            self._tally.absences.append(
                Absence(
                    caller=self._number,
                    since_s=since_s,
                    until_s=max(until_s, since_s),
                    ended=ended,
                    begun=self.conversation is not None,
                )
            )

    def _returned(self, lost: _Loss, *, resumed: bool, now: float) -> None:
        self._lost = None
        self._tally.reconnections.append(
            Reconnection(
                at_s=lost.at_s,
                gap_s=now - lost.at_s,
                away_s=lost.away_s,
                cause=lost.cause,
                resumed=resumed,
                asked=self.resumable,
            )
        )
