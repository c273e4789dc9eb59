"""The ledger's recount, small: what vendors wrote on their invoices is what the ledger has."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ledger import recount
from benchmarks.ledger_world import InvoiceLine


async def test_the_ledger_agrees_with_the_invoices_whatever_happens_to_the_calls(tmp_path: Path) -> None:
    found = await recount(tmp_path, 120)
    assert found["ledger_micros"] == found["invoices_micros"]
    assert found["calls"] == found["invoices"]
    assert found["held_at_the_end"] == 0
    outcomes = found["calls_by_outcome"]
    assert isinstance(outcomes, dict)
    assert {"ok", "cancelled", "provider_unavailable"} <= outcomes.keys()
    assert found["calls_speculative"]
    assert found["replies_cut_short"]


def test_an_invoice_rounds_each_request_half_to_even() -> None:
    assert InvoiceLine("llm", sent_tokens=1, given_tokens=0).micros == 2
    assert InvoiceLine("llm", sent_tokens=3, given_tokens=0).micros == 8
    assert InvoiceLine("asr", audio_ms=60_000).micros == 6_000
