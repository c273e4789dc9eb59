"""The ledger's recount, small: what vendors wrote on their invoices is what the ledger has."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ledger import differences, recount
from benchmarks.ledger_invoice import Bill, Invoices


async def test_the_ledger_agrees_with_the_invoices_whatever_happens_to_the_calls(tmp_path: Path) -> None:
    found = await recount(tmp_path, 120)
    assert found["differences"] == {}
    assert found["ledger_micros"] == found["invoices_micros"]
    assert found["equal"]
    assert found["held_at_the_end"] == 0
    outcomes = found["calls_by_outcome"]
    assert isinstance(outcomes, dict)
    assert {"ok", "cancelled", "timeout", "unavailable"} <= outcomes.keys()
    by_provider = found["by_provider_ledger_and_invoice"]
    assert isinstance(by_provider, dict)
    assert by_provider.keys() == {"groq", "deepgram", "openai", "anthropic", "elevenlabs"}
    for happened in ("calls_speculative", "replies_cut_short", "retries", "hedges", "fallbacks"):
        assert found[happened], happened


def test_an_invoice_rounds_each_request_half_to_even() -> None:
    def written(tokens: int) -> Bill:  # 0.15 dollars a million
        return Bill(vendor="openai:gpt-4o-mini", kind="llm", input_tokens=tokens, counted=True)

    assert [written(tokens).micros for tokens in (10, 30, 50)] == [2, 4, 8]  # 1.5, 4.5, 7.5
    minute = Bill(vendor="deepgram:nova-3", kind="asr", samples=60 * 16_000)
    assert (minute.micros, Bill(vendor="deepgram:nova-3", kind="asr", transport="stream", samples=960_000).micros) == (
        4_300, 7_700,
    )  # fmt: skip


def test_an_invoice_has_the_minimum_and_the_rule_for_what_nobody_counted() -> None:
    second = Bill(vendor="groq:whisper-large-v3-turbo", kind="asr", samples=16_000)
    assert second.micros == 111, "ten seconds at 0.04 dollars an hour"
    assert Bill(vendor="groq:whisper-large-v3-turbo", kind="asr").micros == 0, "nothing came"
    cut_short = Bill(vendor="openai:gpt-4o-mini", kind="llm", letters_in=4_000, letters_out=399)
    assert cut_short.micros == 150 + 60
    assert Bill(vendor="openai:tts-1", kind="tts", characters=100, turned_away=True).micros == 0


def test_a_difference_says_what_it_is() -> None:
    invoices = Invoices()
    invoices.end(1, Bill(vendor="openai:tts-1", kind="tts", characters=100))
    assert differences((), invoices) == {"tts openai 1500": -1}
