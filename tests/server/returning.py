"""A caller that comes back: what it must know to go on, and what it must not be told twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tests.server.house import Caller, House, scripted_assistant

from antiphon.providers.base import Message as Said
from antiphon.providers.scripted import ScriptedLanguageModel, ScriptedSynthesizer
from antiphon.sessions.offer import Assistant

LONG = "This one takes a while to say, so that there is time to lose the line in it. And then it ends."


def counting_assistant(*, letter_s: float = 0.005, tokens_per_s: float = 10_000) -> Assistant:
    """It answers with how many turns it remembers, and the last one; "long" gets a long reply."""

    def reply(messages: Sequence[Said]) -> str:
        asked = [message.content for message in messages if message.role == "user"]
        return LONG if "long" in asked[-1] else f"Turn {len(asked)}, {asked[-1]}."

    assistant = scripted_assistant()
    providers = replace(
        assistant.providers,
        language_model=ScriptedLanguageModel(reply, first_token_s=0.0, tokens_per_s=tokens_per_s),
        synthesizer=ScriptedSynthesizer(first_chunk_s=0.0, letter_s=letter_s),
    )
    return replace(assistant, providers=providers)


def last_seq(caller: Caller) -> int:
    return max(int(message["seq"]) for message in caller.messages)


def resume_of(caller: Caller, **more: Any) -> dict[str, Any]:
    """What ``start.resume`` must be to go on with this caller's session."""
    session = next(message for message in caller.messages if message["type"] == "session")
    return {
        "session_id": session["session_id"],
        "token": session["resume_token"],
        "last_seq": last_seq(caller),
        **more,
    }


@asynccontextmanager
async def back(
    house: House, before: Caller, *, played: dict[str, Any] | None = None
) -> AsyncIterator[Caller]:
    """The same caller on a new connection."""
    resume = resume_of(before) | ({"played": played} if played else {})
    async with house.call(resume=resume) as caller:
        yield caller


async def asks(caller: Caller, text: str) -> str:
    """A typed turn; the text of its answer."""
    await caller.says(type="text", text=text)
    return str((await caller.until("response_done"))["text"])


async def away(house: House) -> None:
    """Returns when the server has noticed that a connection was lost."""
    while not any(session.away for session in house.application.registry.live):  # noqa: ASYNC110
        await asyncio.sleep(0.005)  # nobody is told of it
