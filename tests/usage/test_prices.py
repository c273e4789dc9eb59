"""What a call costs, and what is wrong with a price file."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.usage.till import PRICES, book

from antiphon.conversation.events import ProviderCall
from antiphon.errors import SettingsError
from antiphon.providers.base import Usage
from antiphon.settings import PROVIDERS
from antiphon.usage.money import micros, shown
from antiphon.usage.prices import CALLS_KEPT, PriceBook, open_prices, parse_prices

DAY = date(2026, 11, 23)


def call(provider: str, kind: str = "llm", **fields: Any) -> ProviderCall:
    usage = Usage(**{name: fields.pop(name) for name in list(fields) if name in Usage.__slots__})
    return ProviderCall(kind=kind, provider=provider, usage=usage, **fields)  # type: ignore[arg-type]


def cost(prices: PriceBook, of: ProviderCall, day: date = DAY) -> int | None:
    priced = prices.price(of, day)
    return None if priced is None else priced.micros


SHIPPED = open_prices()


def test_a_call_is_priced_once_and_anew_on_another_day() -> None:
    row = '[[price]]\nprovider = "vendor"\nmodel = "voice"\nunit = "request"\nsource = "…"\n'
    until = row + "price = 1\nretired = 2026-11-24\n"
    prices = PriceBook(parse_prices(until + row + "price = 2\nvalid_from = 2026-11-24\n", file="test.toml"))
    spoken = call("vendor:voice", "tts")
    assert prices.price(spoken, DAY) is prices.price(spoken, DAY)
    assert cost(prices, spoken) == 1_000_000
    assert cost(prices, spoken, date(2026, 11, 24)) == 2_000_000
    assert cost(prices, spoken) == 1_000_000


def test_calls_that_are_forgotten_are_priced_again() -> None:
    """By where a call lies in memory it is known again: another one may lie there later."""
    for number in range(3 * CALLS_KEPT):
        assert cost(SHIPPED, call("openai:tts-1", "tts", characters=number)) == 15 * number


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (call("openai:whisper-1", "asr", audio_s=60.0), 6_000),
        (call("openai:whisper-1", "asr", audio_s=3.217), 322),  # 321.7
        (call("openai:gpt-4o", input_tokens=1_000, output_tokens=100), 3_500),
        (call("openai:gpt-4o", input_tokens=1_000, cached_tokens=600, output_tokens=100), 2_750),
        (call("openai:gpt-4o-mini", input_tokens=1_000, output_tokens=100), 210),
        (call("openai:gpt-4.1-mini-2025-04-14", input_tokens=1_000, output_tokens=100), 560),
        (call("openai:gpt-6-luna", input_tokens=1_000, cached_tokens=500, output_tokens=100), 105),
        (call("openai:gpt-transcribe", "asr", audio_s=60.0), 4_500),
        (call("openai:tts-1", "tts", characters=1_000), 15_000),
        (call("openai:tts-1-hd", "tts", characters=1_000), 30_000),
        (call("elevenlabs:eleven_multilingual_v2", "tts", characters=100), 8_000),
        (call("elevenlabs:eleven_flash_v2_5", "tts", characters=100), 4_000),
        (call("deepgram:nova-3", "asr", audio_s=60.0), 4_300),
        (call("deepgram:nova-3", "asr", audio_s=60.0, transport="stream"), 7_700),
        (call("deepgram:aura-2-thalia-en", "tts", characters=1_000), 30_000),
        (call("groq:whisper-large-v3-turbo", "asr", audio_s=3_600.0), 40_000),
        (call("groq:whisper-large-v3-turbo", "asr", audio_s=2.0), 111),  # 10 s: the least
        (call("groq:whisper-large-v3-turbo", "asr", audio_s=0.0), 0),
        (call("local:whisper-base", "asr", audio_s=60.0, total_ms=500.0), 0),
        (call("ollama:llama3.2", input_tokens=50, output_tokens=10), 0),
        (call("scripted:voice", "tts", characters=9), 0),
        (call("openai:gpt-4o-mini-tts", "tts", characters=900), 15_147),  # 0.60*225 + 12*1251
        (
            call("openai:gpt-4o-mini-tts", "tts", characters=900, input_tokens=200, output_tokens=1_000),
            12_120,
        ),
    ],
)
def test_shipped_prices(of: ProviderCall, expected: int) -> None:
    assert cost(SHIPPED, of) == expected


def test_a_dated_name_has_the_price_of_its_model_and_the_model_that_answered_decides() -> None:
    usage: dict[str, Any] = {"input_tokens": 1_000, "output_tokens": 100}
    assert cost(SHIPPED, call("openai:gpt-4o-mini-2024-07-18", **usage)) == 210
    assert cost(SHIPPED, call("openai:gpt-4o", model="gpt-4o-mini-2024-07-18", **usage)) == 210
    assert cost(SHIPPED, call("openai:gpt-4o-mini", model="answer-of-its-own", **usage)) == 210
    assert cost(SHIPPED, call("openai:gpt-4o-mini-realtime", **usage)) is None


def test_what_nobody_has_a_price_for_is_not_free() -> None:
    assert cost(SHIPPED, call("openai:gpt-9", input_tokens=5)) is None
    assert cost(SHIPPED, call("newvendor:model")) is None
    only_batch = book('[[price]]\nprovider="x"\nmodel="m"\ntransport="batch"\nunit="minute"\nprice=1')
    assert cost(only_batch, call("x:m", "asr", audio_s=60.0)) == 1_000_000
    assert cost(only_batch, call("x:m", "asr", audio_s=60.0, transport="stream")) is None
    assert cost(SHIPPED, call("openai:gpt-9", cached=True)) == 0


def test_a_cancelled_call_costs_what_was_sent_and_received() -> None:
    whole = call("openai:gpt-4o", input_tokens=800, output_tokens=40)
    cut = call("openai:gpt-4o", input_tokens=800, output_tokens=7, cancelled=True, outcome="cancelled")
    assert (cost(SHIPPED, whole), cost(SHIPPED, cut)) == (2_400, 2_070)


def test_writing_to_a_cache_has_a_price_of_its_own() -> None:
    usage: dict[str, Any] = {
        "input_tokens": 1_000,
        "cached_tokens": 200,
        "cache_write_tokens": 300,
        "output_tokens": 100,
    }
    assert cost(SHIPPED, call("anthropic:claude-haiku-4-5-20251001", **usage)) == 500 + 20 + 375 + 500
    assert cost(SHIPPED, call("openai:gpt-4o-mini", **usage)) == round(0.15 * 800 + 0.075 * 200 + 60)


def test_who_was_turned_away_is_not_billed_and_who_was_cut_off_is() -> None:
    usage: dict[str, Any] = {"input_tokens": 1_000, "output_tokens": 10}
    assert cost(SHIPPED, call("openai:gpt-4o", outcome="rate_limit", **usage)) == 0
    assert cost(SHIPPED, call("openai:gpt-4o", outcome="overloaded", first_ms=300.0, **usage)) == 2_600
    assert cost(SHIPPED, call("openai:gpt-4o", outcome="timeout", **usage)) == 2_600
    assert cost(SHIPPED, call("openai:gpt-4o", outcome="cut", **usage)) == 2_600


def test_the_operators_rows_win(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(
        '[[price]]\nprovider="openai"\nmodel="gpt-4o"\nunit="million_input_tokens"\nprice=1\n'
        '[[price]]\nprovider="openai"\nmodel="llama*"\nunit="free"\n'
        '[[price]]\nprovider="vllm"\nmodel="*"\nunit="request"\nprice=0.001\n'
    )
    prices = open_prices(own)
    assert cost(prices, call("openai:gpt-4o", input_tokens=1_000, output_tokens=100)) == 2_000
    assert cost(prices, call("openai:llama3.2", input_tokens=1_000)) == 0
    assert cost(prices, call("vllm:anything", "tts", characters=7)) == 1_000


def test_an_own_price_ends_a_shipped_row_that_says_free(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(
        '[[price]]\nprovider="vllm"\nmodel="*"\nunit="compute_hour"\nprice=1.80\n'
        '[[price]]\nprovider="ollama"\nmodel="big*"\nunit="million_input_tokens"\nprice=1\n'
        '[[price]]\nprovider="ollama"\nmodel="big*"\nunit="million_output_tokens"\nprice=1\n'
        '[[price]]\nprovider="openai"\nmodel="gpt-4o"\nunit="request"\nprice=0.01\n'
    )
    prices = open_prices(own)
    assert cost(prices, call("vllm:qwen", output_tokens=9, total_ms=1_000.0)) == 500
    assert cost(prices, call("ollama:big-70b", input_tokens=500, output_tokens=500)) == 1_000
    assert cost(prices, call("ollama:small", input_tokens=500, output_tokens=500)) == 0
    assert cost(prices, call("openai:gpt-4o", input_tokens=10**6)) == 10_000


def test_embedded_models_cost_what_the_operator_says() -> None:
    prices = open_prices(compute_hour_usd=0.36)
    assert cost(prices, call("local:smollm2-135m", output_tokens=50, total_ms=1_500.0)) == 150


def test_a_new_price_holds_from_its_day_and_an_old_one_is_better_than_none() -> None:
    row = '[[price]]\nprovider="x"\nmodel="m"\nunit="minute"\n'
    prices = book(
        f"{row}price=1\nretired=2026-12-01\n{row}price=2\nvalid_from=2026-12-01\nretired=2027-01-01"
    )
    minute = call("x:m", "asr", audio_s=60.0)
    assert cost(prices, minute, date(2026, 11, 30)) == 1_000_000
    assert cost(prices, minute, date(2026, 12, 1)) == 2_000_000
    assert cost(prices, minute, date(2027, 6, 1)) == 2_000_000
    assert len(prices.stale(date(2027, 6, 1))) == 2


GPT_4O = call("openai:gpt-4o", input_tokens=10**6, output_tokens=10**6)
"""12.50 dollars by the shipped rows."""
CHEAP = (
    '[[price]]\nprovider="openai"\nmodel="gpt-4o"\nunit="million_input_tokens"\nprice=0.01\nDAYS\n'
    '[[price]]\nprovider="openai"\nmodel="gpt-4o"\nunit="million_output_tokens"\nprice=0.01\nDAYS\n'
)
FREE = '[[price]]\nprovider="openai"\nmodel="gpt-4o"\nunit="free"\nDAYS\n'


@pytest.mark.parametrize("days", ["valid_from=2026-11-24", "retired=2026-11-23"])
@pytest.mark.parametrize("rows", [CHEAP, FREE])
def test_an_own_price_does_not_win_on_days_on_which_it_does_not_hold(
    tmp_path: Path, rows: str, days: str
) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(rows.replace("DAYS", days))
    prices = open_prices(own)
    own_cost = 20_000 if rows is CHEAP else 0
    before, after = (12_500_000, own_cost) if "valid" in days else (own_cost, 12_500_000)
    assert cost(prices, GPT_4O, date(2026, 11, 22)) == before
    assert cost(prices, GPT_4O, DAY) == 12_500_000
    assert cost(prices, GPT_4O, date(2026, 11, 24)) == after
    assert prices.stale(DAY, prices.in_use(DAY)) == []


def test_a_price_does_not_hold_before_its_day_though_there_is_no_other() -> None:
    prices = book('[[price]]\nprovider="x"\nmodel="m"\nunit="minute"\nprice=1\nvalid_from=2026-11-24')
    minute = call("x:m", "asr", audio_s=60.0)
    assert (cost(prices, minute), prices.knows("x:m", "asr", DAY)) == (None, False)
    assert cost(prices, minute, date(2026, 11, 24)) == 1_000_000


def test_of_prices_that_are_over_the_last_is_taken() -> None:
    row = '[[price]]\nprovider="x"\nmodel="m"\n'
    prices = book(
        f'{row}unit="free"\nretired=2026-01-01\n'
        f'{row}unit="minute"\nprice=2\nvalid_from=2026-01-01\nretired=2026-06-01'
    )
    assert cost(prices, call("x:m", "asr", audio_s=60.0)) == 2_000_000


def test_where_only_half_a_price_holds_the_other_half_may_be_over() -> None:
    row = '[[price]]\nprovider="x"\nmodel="m"\nprice=1\n'
    prices = book(f'{row}unit="million_input_tokens"\n{row}unit="million_output_tokens"\nretired=2026-06-01')
    assert cost(prices, call("x:m", input_tokens=7, output_tokens=5)) == 12


@pytest.mark.parametrize("alone", ['unit="free"', 'unit="request"\nprice=1', 'unit="compute_hour"\nprice=9'])
@pytest.mark.parametrize(
    ("near", "expected"),
    [
        ('unit="compute_hour"\nprice=3600', 1_000_000),
        ('unit="request"\nprice=0.5', 500_000),
        ('unit="free"', 0),
        ('unit="million_input_tokens"\nprice=1\nROWunit="million_output_tokens"\nprice=1', 2_000_000),
    ],
)
def test_a_row_for_all_models_ends_no_nearer_one_and_adds_nothing_to_it(
    near: str, expected: int, alone: str
) -> None:
    row = '[[price]]\nprovider="vllm"\nmodel="big"\n'
    prices = book(f'[[price]]\nprovider="vllm"\nmodel="*"\n{alone}\n{row}{near.replace("ROW", row)}')
    big = call("vllm:big", input_tokens=10**6, output_tokens=10**6, total_ms=1_000.0)
    assert cost(prices, big) == expected
    assert prices.knows("vllm:small", "tts", DAY)


def test_a_fee_for_each_request_is_added_to_the_tokens_of_the_same_name() -> None:
    row = '[[price]]\nprovider="x"\nmodel="m*"\n'
    rows = 'unit="request"\nprice=0.01', 'unit="million_input_tokens"\nprice=1'
    prices = book("\n".join(f"{row}{each}" for each in (*rows, 'unit="million_output_tokens"\nprice=1')))
    assert cost(prices, call("x:model", input_tokens=100, output_tokens=10)) == 10_110


def test_a_price_that_was_followed_by_another_is_not_in_use_any_more() -> None:
    row = '[[price]]\nprovider="x"\nmodel="m"\nunit="hour"\n'
    prices = book(f"{row}price=1\nretired=2026-11-24\n{row}price=2\nvalid_from=2026-11-24")
    for day, expected in ((DAY, 1), (date(2026, 11, 24), 2)):
        cost(prices, call("x:m", "asr", audio_s=3_600.0), day)
        (used,) = prices.in_use(day)
        assert used.price == expected
        assert prices.stale(day, [used]) == []


def test_old_and_retired_prices_are_told() -> None:
    after = SHIPPED.stale(date(2027, 3, 1))
    assert {"openai:whisper-1", "openai:tts-1"} <= {
        found.row.name for found in after if "retired" in found.problem
    }
    assert all(not found.row.name.startswith("openai") for found in SHIPPED.stale(DAY))
    assert {found.row.provider for found in SHIPPED.stale(DAY)} == {"groq"}


def test_steps_are_billed_whole() -> None:
    prices = book('[[price]]\nprovider="x"\nmodel="m"\nunit="minute"\nprice=0.06\nstep=15')
    assert cost(prices, call("x:m", "asr", audio_s=16.0)) == 30_000


GOOD = '[[price]]\nprovider = "x"\nmodel = "m"\nunit = "minute"\nprice = 1\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("unit", "unti"), "row 1 (x:m): 'unti' is no field of a price; did you mean 'unit'?"),
        (GOOD.replace("minute", "minuet"), "did you mean 'minute'?"),
        (GOOD.replace("= 1", "= -0.006"), "row 1 (x:m): price is -0.006; it cannot be below zero"),
        (GOOD.replace("= 1", '= "1"'), "write a number, such as 0.006, without quotes"),
        (GOOD.replace("= 1", "= nan"), "cannot be below zero, or infinite"),
        (GOOD.replace("price = 1", ""), "price is missing"),
        (GOOD.replace('"m"', '""'), "model is missing"),
        (GOOD.replace('"m"', '"a*b"'), "a * may only be at the end"),
        (GOOD + GOOD, "row 2 (x:m, minute) says again what row 1 says"),
        (GOOD + GOOD.replace("minute", "second"), "row 2 (x:m, second) says again what row 1 says"),
        (GOOD + GOOD.replace('"m"', '"n"\naliases = ["m"]'), "row 2"),
        (GOOD + 'verified = "yesterday"', "write a day without quotes: 2026-11-20"),
        (GOOD + "retired = 2026-01-01\nvalid_from = 2026-02-01", "it would never hold"),
        (GOOD + 'transport = "pigeon"', "write batch, stream or any"),
        (GOOD.replace("[[price]]", "[price]"), "write [[price]] above each row"),
        (GOOD.replace("[[price]]", "[[prices]]"), "a price is a table [[price]]"),
        ("schema = 2\n", "write schema = 1"),
        ("price = [1]", "row 1: it is 1 and no table; write [[price]] above each row"),
        ("[[price", "is not TOML"),
    ],
)
def test_a_price_file_that_cannot_be_used(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_prices(text, file="mine.toml")
    assert says in error.value.message
    assert "mine.toml" in error.value.message


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        ("million_input_tokens", "prices the tokens sent but not those that come back"),
        ("million_output_tokens", "prices the tokens that come back but not those sent"),
    ],
)
def test_half_a_price_is_refused(tmp_path: Path, unit: str, says: str) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(GOOD.replace('"x"', '"openai"').replace("minute", unit))
    with pytest.raises(SettingsError, match=says):
        open_prices(own)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o*", "gpt-4o-2024-08-06", "*"])
def test_half_a_price_is_enough_where_the_shipped_rows_have_the_other(tmp_path: Path, model: str) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(
        GOOD.replace('"x"', '"openai"').replace('"m"', f'"{model}"').replace("minute", "million_input_tokens")
    )
    prices = open_prices(own)
    of = call("openai:gpt-4o-2024-08-06", input_tokens=1_000, output_tokens=100)
    assert cost(prices, of) == 2_000
    assert cost(prices, call("openai:gpt-4o-from-tomorrow", input_tokens=1_000)) is None


@pytest.mark.parametrize(
    ("provider", "hint"),
    [
        ("opanai", "did you mean 'openai'?"),
        ("OpenAI", "did you mean 'openai'?"),
        ("ElevenLabs", "did you mean 'elevenlabs'?"),
        ("acme", "write one of anthropic, deepgram,"),
    ],
)
def test_a_row_for_a_provider_that_there_is_not_is_refused(tmp_path: Path, provider: str, hint: str) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(GOOD.replace('"x"', f'"{provider}"'))
    with pytest.raises(SettingsError) as error:
        open_prices(own)
    assert f"row 1 ({provider}:m, minute): there is no provider {provider!r}; {hint}" in error.value.message


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_may_have_a_price_of_ones_own(tmp_path: Path, provider: str) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(GOOD.replace('"x"', f'"{provider}"'))
    assert cost(open_prices(own), call(f"{provider}:m", "asr", audio_s=60.0)) == 1_000_000


def test_what_nobody_counted_is_estimated_where_it_is_billed() -> None:
    cut = call("openai:gpt-4o", input_tokens=800, output_tokens=7, estimated=True, outcome="cancelled")
    for of, expected in [
        (cut, True),
        (replace(cut, usage=replace(cut.usage, estimated=False)), False),
        (replace(cut, provider="ollama:llama3.2"), False),
        (replace(cut, outcome="rate_limit"), False),
    ]:
        priced = SHIPPED.price(of, DAY)
        assert priced is not None
        assert priced.estimated is expected


def test_a_price_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ANTIPHON_PRICES=.*none.toml cannot be read: No such file"):
        open_prices(tmp_path / "none.toml")


@given(
    sent=st.integers(0, 10**7),
    cached=st.integers(0, 10**7),
    written=st.integers(0, 10**6),
    heard=st.integers(0, 10**7),
)
def test_every_cost_is_the_exact_sum_rounded_once(sent: int, cached: int, written: int, heard: int) -> None:
    prices = book(PRICES)
    llm = call("scripted:language-model", input_tokens=sent, cached_tokens=cached, output_tokens=written)
    fresh = max(sent - cached, 0)
    exact = Fraction(5, 2) * fresh + Fraction(5, 4) * (sent - fresh) + 10 * written
    assert cost(prices, llm) == round(exact)
    assert cost(prices, call("scripted:recognizer", "asr", audio_s=heard / 1_000)) == round(
        Fraction(heard, 10)
    )


MONEY = st.decimals(min_value=0, max_value=100, places=5)
AMOUNT = st.decimals(min_value=0, max_value=60, places=3)


@given(price=MONEY, minimum=AMOUNT, step=AMOUNT, heard_ms=st.integers(0, 10**6))
def test_minimum_and_step_are_exact(price: Decimal, minimum: Decimal, step: Decimal, heard_ms: int) -> None:
    row = f'[[price]]\nprovider="x"\nmodel="m"\nunit="minute"\nprice={price}\nminimum={minimum}\nstep={step}'
    seconds = Fraction(heard_ms, 1_000)
    if heard_ms:
        seconds = max(seconds, Fraction(minimum))
        seconds = Fraction(step) * -(-seconds // Fraction(step)) if step else seconds
    exact = seconds / 60 * Fraction(price) * 1_000_000
    assert cost(book(row), call("x:m", "asr", audio_s=heard_ms / 1_000)) == round(exact)


@given(price=MONEY, tokens_a_letter=AMOUNT, letters=st.integers(0, 10**5), told=st.integers(0, 10**5))
def test_an_estimate_is_exact(price: Decimal, tokens_a_letter: Decimal, letters: int, told: int) -> None:
    rows = (
        '[[price]]\nprovider="x"\nmodel="m"\nunit="million_input_tokens"\nprice=0.6\n'
        f'[[price]]\nprovider="x"\nmodel="m"\nunit="million_audio_tokens"\nprice={price}\n'
        f"per_character={tokens_a_letter}"
    )
    spoken = Fraction(told) or Fraction(tokens_a_letter) * letters
    asked = call("x:m", "tts", characters=letters, output_tokens=told, input_tokens=letters)
    assert cost(book(rows), asked) == round(spoken * Fraction(price) + Fraction(3, 5) * letters)


def test_money_as_people_read_it() -> None:
    assert [shown(amount) for amount in (0, 12_340_000, 12_345, 99_999, -5_000_000)] == [
        "$0.00", "$12.34", "$0.0123", "$0.1000", "-$5.00",
    ]  # fmt: skip
    assert micros(0.1) == 100_000
