"""What waits for a client, by its size on the wire."""

from __future__ import annotations

import pytest

from antiphon.protocol.server_messages import ResponseText
from antiphon.server.line import KEPT_BYTES, KEPT_MESSAGES, Line
from antiphon.server.outgoing import MAX_BYTES, Outgoing, Overflow

LETTERS = "\N{CUNEIFORM SIGN A}" * 1_000
"""4,000 bytes."""


def test_text_waits_by_its_bytes() -> None:
    outgoing = Outgoing()
    for _ in range(MAX_BYTES // 4_000):
        outgoing.put(LETTERS)
    with pytest.raises(Overflow):
        outgoing.put(LETTERS)


def test_text_is_kept_by_its_bytes() -> None:
    line = Line(price=lambda _: None)
    for _ in range(KEPT_MESSAGES):
        line.put(ResponseText(reply_id="r1", text=LETTERS))
    assert KEPT_BYTES - 5_000 < sum(len(text.encode()) for _, text in line.tail()) <= KEPT_BYTES
