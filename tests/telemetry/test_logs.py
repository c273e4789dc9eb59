"""Logs: one form for every library, and nothing private in them."""

from __future__ import annotations

import io
import json
import logging

import structlog

from antiphon.telemetry.logs import PRIVATE, configure_logs, logger


def written(*, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logs(level=level, form="json", stream=stream)
    return stream


def entries(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_an_object_with_its_session() -> None:
    stream = written()
    with structlog.contextvars.bound_contextvars(session_id="s1"):
        logger("antiphon.test").info("turn over", silence_ms=200)
    (entry,) = entries(stream)
    assert (entry["event"], entry["session_id"], entry["silence_ms"]) == ("turn over", "s1", 200)
    assert (entry["level"], entry["logger"]) == ("info", "antiphon.test")
    assert str(entry["timestamp"]).endswith("Z")


def test_what_could_hold_speech_or_keys_is_dropped() -> None:
    stream = written()
    private = dict.fromkeys(PRIVATE, "what the user said")
    logger("antiphon.test").info("transcript", words=3, **private)
    assert "what the user said" not in stream.getvalue()
    assert entries(stream)[0]["words"] == 3


def test_other_libraries_write_in_the_same_form_and_only_what_matters() -> None:
    stream = written()
    logging.getLogger("uvicorn.error").info('127.0.0.1:5 - "WebSocket /ws/voice?ticket=secret" [accepted]')
    logging.getLogger("uvicorn.error").warning("something is %s", "odd")
    assert [entry["event"] for entry in entries(stream)] == ["something is odd"]


def test_levels_are_kept() -> None:
    stream = written(level="error")
    logger("antiphon.test").warning("not this")
    logger("antiphon.test").error("but this")
    assert [entry["event"] for entry in entries(stream)] == ["but this"]


def test_an_exception_is_one_line() -> None:
    stream = written()
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        logger("antiphon.test").exception("session failed")
    (entry,) = entries(stream)
    assert "ZeroDivisionError: a bug" in str(entry["exception"])


def test_people_get_lines_to_read() -> None:
    stream = io.StringIO()
    configure_logs(form="pretty", stream=stream)
    logger("antiphon.test").info("ready", asr="local:whisper-base")
    assert "ready" in stream.getvalue()
    assert "asr=local:whisper-base" in stream.getvalue()
    assert "{" not in stream.getvalue()
