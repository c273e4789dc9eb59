"""One request to one provider, in a task of its own, so that others can be asked beside it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from antiphon.errors import AntiphonError, ProviderEmpty, ProviderUnavailable
from antiphon.providers.base import Usage
from antiphon.providers.metering import Attempt, report
from antiphon.providers.resilience.breaker import Begun
from antiphon.providers.resilience.link import A, Link
from antiphon.providers.resilience.treatment import cause_of

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)


class Tally(Protocol[P_contra]):
    """What one request is billed for, as it goes."""

    model: str
    finish_reason: str
    """Of language models only."""
    transport: Literal["batch", "stream"]

    def got(self, piece: P_contra) -> None:
        """A piece came."""

    def usage(self) -> Usage:
        """Billed so far: what the provider says, else what was sent and received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Generic[P]):
    """A request about to be made."""

    pieces: AbstractAsyncContextManager[AsyncIterator[P]]
    tally: Tally[P]


@dataclass(frozen=True, slots=True)
class Ended:
    """The last thing that a request tells."""

    error: AntiphonError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[A, P]):
    """What is asked, of whomever it is asked."""

    ask: Callable[[Link[A]], Asked[P]]
    """The request as this provider wants it, going on from what was given so far."""
    answers: Callable[[P], bool]
    """Whether a piece is part of an answer: what came before the first such one could as well not have come."""
    ends: Callable[[P], bool]
    """Whether nothing that matters follows a piece."""
    enough: Callable[[], bool]
    """Whether what was given so far may stand as it is, should a request give nothing more."""
    whole: Callable[[], bool] = lambda: False
    """Whether what was given so far is all there can be, though its request failed."""


FROM_THE_START = -math.inf
NOT_YET = NEVER = math.inf


@dataclass(slots=True)
class Expected:
    """From when on requests can be expected to answer: the time since then, or since they went out, makes them late and
    shows how quick a provider is."""

    since: float = FROM_THE_START
    """Loop time; ``NOT_YET`` while a user still speaks, ``NEVER`` where nobody waits."""

    @property
    def waiting(self) -> bool:
        return self.since < NOT_YET

    def of(self, began: float) -> float:
        """The same of a request that went out then."""
        return max(began, self.since)


News = asyncio.Queue[tuple["Request[A, P] | None", "P | Ended | None"]]
"""What the requests of one answer tell; (None, None) only wakes the reader."""


@dataclass(slots=True, eq=False)
class Request(Generic[A, P]):
    """Runs until the provider's stream ends, fails or is cancelled, and reports itself once."""

    link: Link[A]
    question: Question[A, P]
    news: News[A, P]
    wait_s: float = 0.0
    began: float = 0.0
    """Loop time at which it goes out."""
    late: bool = False
    """Whether others were asked because of it. It is counted as a failure then."""
    done: bool = False
    """Whether its last piece that matters came."""
    expected: Expected = field(default_factory=Expected)
    _begun: Begun | None = None
    _first: float | None = None
    _answered: bool = False

    async def run(self) -> None:
        """Cancel-safe: leaving it early cancels the provider's work."""
        loop = asyncio.get_running_loop()
        if self.wait_s:
            await asyncio.sleep(self.wait_s)
        self.began = loop.time()
        begun = self._begun = self.link.begin(self.began)
        asked = self.question.ask(self.link)
        outcome = "cancelled"
        try:
            error = await self._read(asked)
            outcome = "ok" if error is None else cause_of(error)
            self._count(error, begun)
        finally:
            if outcome == "cancelled":
                outcome = self._count_cancelled(begun)
            report(self._attempt(asked.tally, outcome, loop.time()))
        await self.news.put((self, Ended(error)))

    def fell_silent(self, now: float) -> ProviderUnavailable:
        """Nobody waits for it any longer, or not for it alone: it is counted as a failure. Gives the reason."""
        self.late = True
        error = silent(self.link)
        if self._begun is not None:
            self.link.failed(now, self._begun, error)
        return error

    async def _read(self, asked: Asked[P]) -> AntiphonError | None:
        try:
            async with asked.pieces as pieces:
                async for piece in pieces:
                    asked.tally.got(piece)
                    self._look_at(piece)
                    await self.news.put((self, piece))
            if not self._answered and not self.question.enough():
                raise ProviderEmpty(f"{self.link.name} gave nothing", provider=self.link.name, cause="empty")
        except AntiphonError as error:
            return error
        except TimeoutError:
            name = self.link.name
            return ProviderUnavailable(f"{name} took too long", provider=name, cause="timeout")
        except Exception as failure:  # noqa: BLE001 - the edge: a bug of an adapter costs a request, not a call
            return self._error_of(failure)
        return None

    def _error_of(self, failure: Exception) -> AntiphonError:
        """What a stream's tasks failed with; bugs are told to whoever keeps watch."""
        cause = sole(failure) if isinstance(failure, BaseExceptionGroup) else failure
        if isinstance(cause, AntiphonError):
            return cause
        self.link.broke(cause)
        name = self.link.name
        return ProviderUnavailable(
            f"{name}'s adapter failed ({type(cause).__name__}); the server's log says where",
            provider=name,
            cause="broken",
        )

    def _look_at(self, piece: P) -> None:
        now = asyncio.get_running_loop().time()
        if self._first is None:
            self._first = now
        if not self._answered and self.question.answers(piece):
            self._answered = True
            since = self.expected.of(self.began)
            if now > since:
                self.link.usual.add(now - since)
        self.done = self.done or (self._answered and self.question.ends(piece))

    def _count(self, error: AntiphonError | None, begun: Begun) -> None:
        now = asyncio.get_running_loop().time()
        if error is None or self.done:
            self.link.answered(now, begun)
        elif not self.late:
            self.link.failed(now, begun, error)

    def _count_cancelled(self, begun: Begun) -> str:
        """Cancelled by us: after its last piece it was an answer, and one that was late stays a failure."""
        if self.done:
            self.link.answered(asyncio.get_running_loop().time(), begun)
            return "ok"
        if self.late:
            return "timeout"
        self.link.breaker.given_up(begun)
        return "cancelled"

    def _attempt(self, tally: Tally[P], outcome: str, now: float) -> Attempt:
        return Attempt(
            kind=self.link.kind,
            provider=self.link.name,
            usage=tally.usage(),
            model=tally.model,
            transport=tally.transport,
            outcome=outcome,
            finish_reason=tally.finish_reason,
            began_s=self.began,
            first_s=self._first,
            ended_s=now,
        )


def silent(link: Link[A]) -> ProviderUnavailable:
    return ProviderUnavailable(f"{link.name} fell silent", provider=link.name, cause="timeout")


def sole(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of the errors that tasks failed with, without its groups."""
    rest: BaseException = failures
    while isinstance(rest, BaseExceptionGroup):
        rest = rest.exceptions[0]
    return rest
