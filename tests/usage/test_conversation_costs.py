"""Costs in a conversation: the real engine, the real ledger, and money that runs out in the middle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conversations.scenario import talk
from tests.usage.till import Till, open_till

from antiphon.conversation import events
from antiphon.conversation.apology import farewell
from antiphon.conversation.config import Providers
from antiphon.providers.resilience.language_model import ResilientLanguageModel
from antiphon.providers.resilience.link import Chain
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedVoiceDetector,
    by_phrase,
)
from antiphon.usage.allowance import Means
from antiphon.usage.budgets import Limits
from antiphon.usage.sqlite_books import SqliteBooks


def observer(till: Till) -> Callable[[events.Event], None]:
    def observe(event: events.Event) -> None:
        till.keeper.told("s1", event)
        till.allowance.told("s1", event)

    return observe


async def test_what_a_reply_says_it_cost_is_what_the_ledger_has(tmp_path: Path) -> None:
    books = SqliteBooks(tmp_path)
    async with open_till(books, limits=Limits(day=10**6)) as till:
        till.opens("s1", "ann")
        async with talk(
            {"France": "It is Paris."}, allowance=till.allowance, observe=observer(till)
        ) as conversation:
            conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
            await conversation.until(8.0)
            (done,) = conversation.all(events.ReplyDone)
            said = sum(till.keeper.cost(call) or 0 for call in done.calls)
        await till.keeper.written()
        assert till.keeper.totals().held == 0
        entries = [entry async for entry in books.entries(*[till.keeper.calendar.today()] * 2)]
        assert {entry.kind for entry in entries} == {"asr", "llm", "tts"}
        assert {(entry.session, entry.caller) for entry in entries} == {("s1", "ann")}
        assert sum(entry.micros or 0 for entry in entries) == said > 0
    books.close()


async def test_when_the_money_runs_out_the_conversation_ends_politely(tmp_path: Path) -> None:
    books = SqliteBooks(tmp_path)
    async with open_till(books, limits=Limits(day=400)) as till:
        till.opens("s1")
        async with talk(
            {"France": "It is Paris."}, allowance=till.allowance, observe=observer(till)
        ) as conversation:
            conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
            conversation.user.says("and of Spain", from_=6.0, to=7.0)
            await conversation.until(20.0)
            assert conversation.heard("r1") == "It is Paris."
            assert conversation.heard("r2") == farewell("en")
            assert conversation.conversation.ending == "budget"
        assert till.allowance.refusal() is not None
        await till.keeper.written()
        assert till.thresholds() == [50, 80, 100]
    books.close()


async def test_when_the_money_runs_out_cheaper_models_go_on(tmp_path: Path) -> None:
    cheap = Providers(
        recognizer=ScriptedRecognizer(latency_s=0.12, provider="local"),
        language_model=ScriptedLanguageModel(["From the small one."], first_token_s=0.05),
        synthesizer=ScriptedSynthesizer(first_chunk_s=0.05),
        voice_detector=ScriptedVoiceDetector(),
    )
    means = Means(reservation=lambda: 100, cheaper=lambda: cheap)
    books = SqliteBooks(tmp_path)
    async with open_till(books, limits=Limits(day=400), past="degrade", means=means) as till:
        till.opens("s1")
        async with talk(
            {"France": "It is Paris."}, allowance=till.allowance, observe=observer(till)
        ) as conversation:
            for at in (0.5, 6.0, 12.0):
                conversation.user.says("what is the capital of France", from_=at, to=at + 1.5)
            await conversation.until(20.0)
            assert [conversation.heard(f"r{n}") for n in (1, 2, 3)] == [
                "It is Paris.", "From the small one.", "From the small one.",
            ]  # fmt: skip
            assert [notice.kind for notice in conversation.all(events.Notice)] == ["budget"]
        assert till.allowance.refusal() is None
        await till.keeper.written()
        entries = [entry async for entry in books.entries(*[till.keeper.calendar.today()] * 2)]
        heard = [(entry.provider, entry.turn) for entry in entries if entry.kind == "asr" and entry.micros]
        assert heard, "the first turn was heard by the dear one"
        assert set(heard) == {("scripted", "t1")}
        assert {entry.turn for entry in entries if entry.provider == "local"} == {"t2", "t3"}
    books.close()


@pytest.mark.parametrize("wrapped", [False, True])
async def test_tokens_that_nobody_counted_are_marked_as_estimated(tmp_path: Path, wrapped: bool) -> None:
    long = ScriptedLanguageModel(by_phrase({"Spain": "It is " + "very " * 200 + "nice."}, "It is Paris."))
    model = ResilientLanguageModel(Chain([long], kind="llm")) if wrapped else long
    books = SqliteBooks(tmp_path)
    async with open_till(books) as till:
        async with talk(language_model=model, observe=observer(till)) as conversation:
            conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
            conversation.user.says("tell me about Spain", from_=6.0, to=7.0)
            await conversation.until(8.5)
            conversation.conversation.interrupt()
            await conversation.until(10.0)
        await till.keeper.written()
        entries = [entry async for entry in books.entries(*[till.keeper.calendar.today()] * 2)]
        written = [(entry.turn, entry.outcome, entry.estimated) for entry in entries if entry.kind == "llm"]
        assert written == [("t1", "ok", 0), ("t2", "cancelled", 1)]
        assert {entry.estimated for entry in entries if entry.kind != "llm"} == {0}
    books.close()
