"""One turn can be followed through the log; what was said cannot."""

from __future__ import annotations

import io
import json
from typing import Any

from tests.telemetry.listened import Told, call, lively_conversation

from antiphon.conversation import events
from antiphon.telemetry.logs import configure_logs
from antiphon.telemetry.turn_log import TurnLog

SAID = (
    "what time",
    "and then",
    "tell me",
    "story",
    "uh-huh",
    "stop that",
    "please",
    "dog",
    "wanted to speak",
)
"""Of what is said in the conversation, by either side."""


def logged(*, transcripts: bool = False, level: str = "debug") -> tuple[str, list[dict[str, Any]]]:
    stream = io.StringIO()
    configure_logs(level=level, form="json", stream=stream)
    Told([TurnLog(transcripts=transcripts)]).story(lively_conversation())
    text = stream.getvalue()
    return text, [json.loads(line) for line in text.splitlines()]


def test_a_turn_is_followed_by_its_name() -> None:
    _, lines = logged(level="info")
    first = next(line["turn"] for line in lines if line["event"] == "turn heard")
    assert first == "k3Jx0aSecret/" + first.partition("/")[2]
    of_it = [line for line in lines if line.get("turn") == first]
    stages = [line["stage"] for line in of_it]
    assert {"asr", "turn", "llm", "tts", "sound", "reply"} <= set(stages)
    assert stages.index("asr") < stages.index("sound") < stages.index("reply")
    assert all(line["ms"] >= 0 for line in of_it if line["stage"] in ("asr", "llm", "tts", "reply"))
    assert all(line["session_id"] == "k3Jx0aSecret" for line in of_it)


def test_an_interruption_is_told_with_what_was_heard_of_it_in_time() -> None:
    _, lines = logged(level="info")
    cut = [line for line in lines if line["event"] == "interrupted"][-1]
    over = [line for line in lines if line["event"] == "turn over" and line["interrupted"]][-1]
    assert cut["turn"] == over["turn"]
    assert cut["ms"] > 0


def test_nothing_that_was_said_is_in_any_line() -> None:
    text, lines = logged()
    assert len(lines) > 20
    found = [words for words in SAID if words in text.lower()]
    assert not found, found


def test_the_operator_may_ask_for_transcripts() -> None:
    text, lines = logged(transcripts=True, level="info")
    assert "what time is it" in text
    assert next(line["user_said"] for line in lines if line["event"] == "turn heard") == "what time is it"
    assert any("story about a dog" in line.get("assistant_said", "") for line in lines)


def test_what_failed_is_a_warning_and_what_was_cancelled_only_a_detail() -> None:
    stream = io.StringIO()
    configure_logs(level="info", form="json", stream=stream)
    told = Told([TurnLog()])
    told.tell(call(outcome="timeout"))
    told.tell(call(outcome="cancelled"))
    told.tell(call(input_tokens=120, output_tokens=9))
    told.tell(events.Failed(code="provider_unavailable", message="it does not answer", retryable=True))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "language"),
        ("info", "language"),
        ("warning", "failed"),
    ]
    assert (lines[1]["input_tokens"], lines[1]["output_tokens"]) == (120, 9)
    assert "audio_s" not in lines[1], "amounts of nothing are left out"
