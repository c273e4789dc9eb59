"""A language model that is a chain of language models: a reply that breaks off is finished by another request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Literal

from antiphon.providers.base import (
    Delta,
    Finished,
    LanguageModel,
    LanguageOptions,
    Message,
    ProviderInfo,
    Text,
    ToolCall,
    Usage,
)
from antiphon.providers.resilience.link import Chain, Link
from antiphon.providers.resilience.pursuit import answer
from antiphon.providers.resilience.request import Asked, Question
from antiphon.providers.resilience.seam import Seam, complete, continuing

LETTERS_A_TOKEN = 4
"""For what nobody counted: English takes about four letters a token."""

FEWEST_TOKENS = 16
"""A continuation may always be so long, however long the reply was before it broke off."""

PROBE = (Message(role="user", content="Say ok."),)
PROBE_TOKENS = 16


class ResilientLanguageModel:
    """Text given on stays given: whoever takes over goes on from it."""

    def __init__(self, chain: Chain[LanguageModel]) -> None:
        self.chain = chain

    @property
    def info(self) -> ProviderInfo:
        return replace(self.chain.preferred.adapter.info, resilient=True)

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], options: LanguageOptions
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        """Safe to cancel at any point."""
        written = _Written()

        def ask(link: Link[LanguageModel]) -> Asked[Delta]:
            return _asked(link.adapter, messages, options, written)

        question: Question[LanguageModel, Delta] = Question(
            ask=ask,
            answers=_is_answer,
            ends=_is_end,
            enough=lambda: complete(written.text),
            whole=lambda: written.called,
        )
        async with answer(self.chain, question) as deltas, aclosing(_kept(deltas, written)) as kept:
            yield kept

    async def prefill(self, messages: Sequence[Message], options: LanguageOptions) -> None:
        """To whom the next reply will be asked of, where that helps."""
        link = self.chain.preferred
        if link.breaker.open_until is None:
            await link.adapter.prefill(messages, options)

    def probe(self) -> Question[LanguageModel, Delta]:
        """Something small to ask one of the chain. That it answers is enough, whatever it writes."""
        options = LanguageOptions(max_tokens=PROBE_TOKENS)
        return Question(
            ask=lambda link: _asked(link.adapter, PROBE, options, _Written()),
            answers=_is_answer,
            ends=_is_end,
            enough=lambda: True,
        )


class _Written:
    """What was given on of a reply."""

    def __init__(self) -> None:
        self.text = ""
        self.called = False
        """Whether tools were called: such a reply ends there, or they would be called twice."""


async def _kept(deltas: AsyncIterator[Delta], written: _Written) -> AsyncGenerator[Delta, None]:
    ended = False
    async for delta in deltas:
        match delta:
            case Text():
                written.text += delta.text
            case ToolCall():
                written.called = True
            case Finished():
                ended = True
        yield delta
    if not ended:  # a continuation had nothing to add, or none was wanted
        yield Finished(reason="stop", usage=Usage())


def _asked(
    model: LanguageModel, messages: Sequence[Message], options: LanguageOptions, written: _Written
) -> Asked[Delta]:
    if not written.text.strip():
        return Asked(pieces=model.reply(messages, options), tally=_Tally(messages))
    messages = continuing(messages, written.text)
    left = max(options.max_tokens - len(written.text) // LETTERS_A_TOKEN, FEWEST_TOKENS)
    options = replace(options, max_tokens=left)
    tally = _TallyOfRest(messages)
    return Asked(pieces=_rest_by(model, messages, options, Seam(written.text), tally), tally=tally)


@asynccontextmanager
async def _rest_by(
    model: LanguageModel,
    messages: Sequence[Message],
    options: LanguageOptions,
    seam: Seam,
    tally: _TallyOfRest,
) -> AsyncIterator[AsyncIterator[Delta]]:
    async with model.reply(messages, options) as deltas:
        async with aclosing(_stitched(deltas, seam, tally)) as stitched:
            yield stitched


async def _stitched(
    deltas: AsyncIterator[Delta], seam: Seam, tally: _TallyOfRest
) -> AsyncGenerator[Delta, None]:
    async for delta in deltas:
        tally.came(delta)
        if isinstance(delta, Text):
            if new := seam.push(delta.text):
                yield Text(text=new)
            continue
        if rest := seam.flush():
            yield Text(text=rest)
        yield delta


class _Tally:
    """Tokens: as the provider counts them, else estimated from what was sent and received."""

    transport: Literal["batch", "stream"] = "stream"

    def __init__(self, messages: Sequence[Message]) -> None:
        self.model = self.finish_reason = ""
        self._said: Usage | None = None
        self._sent = sum(len(message.content) for message in messages)
        self._letters = 0

    def got(self, piece: Delta) -> None:
        match piece:
            case Text():
                self._letters += len(piece.text)
            case ToolCall():
                self._letters += len(piece.name) + len(piece.arguments)
            case Finished():
                self._said, self.model, self.finish_reason = piece.usage, piece.model, piece.reason

    def usage(self) -> Usage:
        if self._said is not None and self._said != Usage():
            return self._said
        return Usage(
            input_tokens=-(-self._sent // LETTERS_A_TOKEN),
            output_tokens=-(-self._letters // LETTERS_A_TOKEN),
            estimated=True,
        )


class _TallyOfRest(_Tally):
    """Of a request that goes on from what was written: it is counted as it comes, before what was said already is left
    out. That is billed, too."""

    came = _Tally.got

    def got(self, piece: Delta) -> None:
        """It was counted when it came."""


def _is_answer(delta: Delta) -> bool:
    return isinstance(delta, ToolCall) or (isinstance(delta, Text) and bool(delta.text.strip()))


def _is_end(delta: Delta) -> bool:
    return isinstance(delta, Finished)
