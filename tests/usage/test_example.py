"""docs/costs.md: its example, worked out again from the price book, and its price file, read."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from antiphon.conversation.events import ProviderCall
from antiphon.providers.base import Usage
from antiphon.providers.metering import Kind
from antiphon.settings.definitions import Settings
from antiphon.settings.reference import environment_name, group_of
from antiphon.usage.money import MICROS
from antiphon.usage.price_row import FIELDS, UNITS
from antiphon.usage.prices import PriceBook, open_prices, parse_prices

PAGE = (Path(__file__).parents[2] / "docs" / "costs.md").read_text(encoding="utf-8")
DEPLOY = (Path(__file__).parents[2] / "docs" / "deploy" / "sizing.md").read_text(encoding="utf-8")
DAY = date(2026, 11, 23)
INSTRUCTIONS = 240
"""Tokens."""

FREE_VOICE = '[[price]]\nprovider="elevenlabs"\nmodel="eleven_turbo_v2_5"\nunit="free"\n'


def rows(heading: str, page: str = PAGE) -> list[list[str]]:
    """The cells of the table under a header row."""
    lines = page.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(heading))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


TURNS = rows("| turn | you say")


def tokens(text: str) -> int:
    return -(-len(text) // 4)


def cost(prices: PriceBook, kind: Kind, provider: str, usage: Usage) -> int:
    priced = prices.price(ProviderCall(kind=kind, provider=provider, usage=usage), DAY)
    assert priced is not None
    return priced.micros


def parts(prices: PriceBook, asr: str, llm: str, tts: str) -> list[tuple[int, int, int]]:
    """What each turn's hearing, thinking and speaking costs."""
    return [
        (
            cost(prices, "asr", asr, Usage(audio_s=float(turn[2]))),
            cost(prices, "llm", llm, Usage(input_tokens=int(turn[4]), output_tokens=int(turn[5]))),
            cost(prices, "tts", tts, Usage(characters=int(turn[6]))),
        )
        for turn in TURNS
    ]


def course_prices() -> PriceBook:
    return PriceBook(parse_prices(FREE_VOICE, file="own"), open_prices().shipped)


def test_the_example_has_six_turns_that_carry_the_conversation_along() -> None:
    assert len(TURNS) == 6
    before = INSTRUCTIONS
    for turn in TURNS:
        sent = before + tokens(turn[1])
        assert (int(turn[4]), int(turn[5]), int(turn[6])) == (sent, tokens(turn[3]), len(turn[3]))
        before = sent + tokens(turn[3])


def test_the_example_costs_about_a_cent() -> None:
    priced = parts(course_prices(), "openai:whisper-1", "openai:gpt-4o", "elevenlabs:eleven_turbo_v2_5")
    assert [[int(cell) for cell in turn[7:11]] for turn in TURNS] == [[*each, sum(each)] for each in priced]
    total = Decimal(sum(map(sum, priced))) / MICROS
    assert f"**${total:.4f}**, about a cent" in PAGE
    assert Decimal("0.005") < total < Decimal("0.015")


@pytest.mark.parametrize(
    ("row", "stack"),
    list(
        enumerate(
            (
                ("openai:whisper-1", "openai:gpt-4o", "elevenlabs:eleven_turbo_v2_5"),
                ("openai:whisper-1", "openai:gpt-4o", "openai:tts-1"),
                ("openai:gpt-4o-mini-transcribe", "openai:gpt-4o-mini", "openai:gpt-4o-mini-tts"),
                ("openai:gpt-4o-mini-transcribe", "openai:gpt-4o-mini", "openai:tts-1"),
                ("openai:whisper-1", "openai:gpt-4o", "elevenlabs:eleven_flash_v2_5"),
                ("local:whisper-base", "local:smollm2-135m", "local:piper"),
            )
        )
    ),
)
def test_other_stacks(row: int, stack: tuple[str, str, str]) -> None:
    sums = [sum(each) for each in zip(*parts(course_prices(), *stack), strict=True)]
    shown = [f"${Decimal(each) / MICROS:.4f}" for each in sums]
    assert rows("| stack | hears")[row][1:] == [*shown, f"**${Decimal(sum(sums)) / MICROS:.4f}**"]


def test_a_month_of_a_thousand_conversations_a_day() -> None:
    month = rows("| stack | a conversation |", DEPLOY)
    example = {row[0].partition(":")[0]: row[4].strip("*$") for row in rows("| stack | hears")}
    assert len(month) == 5
    for stack, conversation, bill in month:
        assert conversation == f"${example[stack.partition(':')[0]]}"
        assert bill.strip("*") == f"${Decimal(conversation[1:]) * 30_000:.0f}"
    characters = sum(int(turn[6]) for turn in TURNS) * 30_000
    assert f"{characters / 1e6:.1f} million characters" in DEPLOY


def test_the_price_file_on_the_page_can_be_read() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(parse_prices(text, file="page")) == len(tomllib.loads(text)["price"]) == 3


def test_every_unit_field_and_setting_is_on_the_page() -> None:
    for name in (*UNITS, *FIELDS):
        assert f"`{name}`" in PAGE, name
    for field in Settings.model_fields:
        if group_of(field) == "Costs":
            name = environment_name(field)
            assert name in PAGE or f"`{name.removeprefix('ANTIPHON_BUDGET')}`" in PAGE, name
