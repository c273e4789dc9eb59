"""The numbers of what a session tells."""

from __future__ import annotations

import json

from antiphon.protocol.client_messages import MAX_SEQ
from antiphon.protocol.server_messages import Notice
from antiphon.server.line import MOST_UNKEPT, Line

NOTICE = Notice(kind="history", message="")


def line(seq: int = 10) -> Line:
    return Line(price=lambda call: 0, seq=seq)


def test_what_a_client_says_it_missed_changes_no_number() -> None:
    told = line()
    told.put(NOTICE)
    assert told.missed(MAX_SEQ) == ([], True)
    assert told.seq == 11
    missed, complete = told.missed(10)
    assert ([json.loads(text)["seq"] for text in missed], complete) == ([11], True)
    assert not told.missed(9)[1]


def test_after_a_sudden_end_no_number_that_a_client_knows_is_given_out_again() -> None:
    told = line()
    told.take_up(400)
    told.put(NOTICE)
    assert told.seq == 401
    told.take_up(5)
    assert told.seq == 401


def test_a_client_is_not_believed_beyond_reason() -> None:
    told = line()
    for claimed in (11 + MOST_UNKEPT, MAX_SEQ):
        told.take_up(claimed)
    assert told.seq == 10
    told.take_up(10 + MOST_UNKEPT)
    assert told.seq == 10 + MOST_UNKEPT
