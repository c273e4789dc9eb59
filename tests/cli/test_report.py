"""``antiphon report``: a day from the data folder, and from a running server."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result
from tests.telemetry.listened import NOON, Clock, Told, call, lively_conversation, write_down

from antiphon.cli import main
from antiphon.conversation.events import ReplyDone
from antiphon.telemetry.day_files import DayFiles
from antiphon.telemetry.recent import Recent
from antiphon.telemetry.tally import Tally

DAY = "2026-11-23"


def run(*arguments: str, data: Path, **environ: str) -> Result:
    variables = {"ANTIPHON_DATA": str(data), "ANTIPHON_TIME_ZONE": "UTC", "COLUMNS": "140", **environ}
    with contextlib.chdir(data):
        return CliRunner().invoke(main, ("report", *arguments), env=variables)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a lively conversation, a failed call, and a caller who was turned away."""
    clock = Clock(at=NOON)
    recent = Recent(price=lambda call: 2500 if call.kind == "llm" else 0, now=clock)
    told = Told([recent], clock)
    told.story(lively_conversation())
    told.tell(call("asr", "openai:whisper-1", outcome="rate_limit", audio_s=12.0))
    recent.refused("busy")
    files = DayFiles(tmp_path / "days", zone=UTC)
    write_down(files, recent.minutes.unwritten(clock.at, stopping=True))
    return tmp_path


def test_a_day_in_the_terminal(data: Path) -> None:
    shown = run("--day", DAY, data=data)
    assert shown.exit_code == 0, shown.output
    assert "Monday, 2026-11-23" in shown.output
    assert "3 turns in 1 conversations" in shown.output
    for words in ("recognise", "300 ms", "asr openai:whisper-1", "rate_limit 1", "busy 1", "1450 ms"):
        assert words in shown.output


def test_a_day_as_json(data: Path) -> None:
    told = json.loads(run("--day", DAY, "--json", data=data).output)
    assert told["day"] == DAY
    assert (told["turns"], told["interrupted"], told["sessions"]) == (3, 1, 1)
    stages = {row["stage"]: row for row in told["stages"]}
    assert stages["asr"]["budget_ms"] == 300
    assert stages["asr"]["typical_ms"] == pytest.approx(120, rel=0.02)
    assert stages["clause"]["budget_ms"] is None
    assert told["first_sound"]["within"] == 1.0
    assert told["refused"] == {"busy": 1}
    chat = [row for row in told["providers"] if row["kind"] == "llm"]
    assert told["cost_usd"] == pytest.approx(0.0025 * sum(row["calls"] for row in chat))


class Wellformed(HTMLParser):
    """Counts what is opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_a_day_as_a_page(data: Path, tmp_path: Path) -> None:
    page = tmp_path / "day.html"
    assert run("--day", DAY, "--html", str(page), data=data).exit_code == 0
    text = page.read_text(encoding="utf-8")
    read = Wellformed()
    read.feed(text)
    assert read.open == []
    assert "openai:whisper-1" in read.words
    assert "http" not in text, "it needs nothing from elsewhere"


def test_a_page_that_cannot_be_written_is_one_line(data: Path) -> None:
    failed = run("--day", DAY, "--html", str(data / "none" / "day.html"), data=data)
    assert failed.exit_code == 1
    assert "none/day.html cannot be written: No such file" in failed.stderr


@pytest.mark.parametrize("form", ["terminal", "page"])
def test_stages_costs_sessions_and_errors_are_in_both_forms(form: str, tmp_path: Path) -> None:
    clock = Clock(at=NOON)
    recent = Recent(price=lambda call: 2500 if call.kind == "llm" else 0, now=clock)
    told = Told([recent], clock)
    told.story(lively_conversation())
    told.tell(call("llm", "anthropic:claude-haiku-4-5", outcome="overloaded"))
    told.tell(ReplyDone(turn_id="t9", reply_id="r9", text="", latency_ms={}, error="provider_unavailable"))
    recent.refused("busy")
    files = DayFiles(tmp_path / "days", zone=UTC)
    write_down(files, recent.minutes.unwritten(clock.at, stopping=True))
    page = tmp_path / "day.html"
    shown = run("--day", DAY, *(("--html", str(page)) if form == "page" else ()), data=tmp_path)
    assert shown.exit_code == 0, shown.output
    words = shown.output
    if form == "page":
        read = Wellformed()
        read.feed(page.read_text(encoding="utf-8"))
        words = read.words
    for stage in ("typical", "95 %", "budget", "within", "recognise", "300 ms", "1450 ms"):
        assert stage in words
    for cost in ("llm anthropic:claude-haiku-4-5", "$0.0025", "cost"):
        assert cost in words
    for session in ("4 turns in 1 conversations", "at most 1 at once"):
        assert session in words
    assert "overloaded 1" in words, "of providers"
    assert re.search(r"Errors told to callers\W*provider.unavailable\W*1", words)
    assert re.search(r"Callers not let in\W*busy\W*1", words)


def test_a_name_from_outside_is_no_markup(tmp_path: Path) -> None:
    recent = Recent(now=Clock(at=NOON))
    Told([recent]).tell(call("llm", "openai:<script>alert(1)</script>"))
    files = DayFiles(tmp_path / "days", zone=UTC)
    write_down(files, recent.minutes.unwritten(NOON, stopping=True))
    run("--day", DAY, "--html", str(tmp_path / "day.html"), data=tmp_path)
    assert "<script" not in (tmp_path / "day.html").read_text(encoding="utf-8")


def test_a_page_says_what_the_terminal_says(data: Path) -> None:
    run("--day", DAY, "--html", str(data / "day.html"), data=data)
    read = Wellformed()
    read.feed((data / "day.html").read_text(encoding="utf-8"))
    shown = run("--day", DAY, data=data).output
    for words in ("answered too soon", "uh-huh over an answer", "used", "0.2 min"):
        assert words in shown
        assert words in read.words
    assert "false" not in read.words


def test_what_a_newer_version_counts_is_shown_as_it_is_called(tmp_path: Path) -> None:
    files = DayFiles(tmp_path / "days", zone=UTC)
    tally = Tally(turns=1, signs=Counter({"new_sign": 3}))
    tally.provider("eye", "vendor:sees").calls = 2
    write_down(files, {int(NOON // 60): tally})
    shown = run("--day", DAY, data=tmp_path)
    assert shown.exit_code == 0, shown.output
    for words in ("new sign 3", "eye vendor:sees"):
        assert words in shown.output


@contextlib.contextmanager
def answering(status: int, body: object) -> Iterator[str]:
    """A server that answers so, whatever it is asked."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (404, {"error": "not found"}, "says: not found"),
        (403, {"error": {"code": "x", "message": "go away"}}, "says: go away"),
        (500, ["no"], "says: status 500"),
        (500, {"error": {}}, "says: status 500"),
        (200, {"hello": "world"}, "does not answer as an Antiphon server"),
        (200, ["hello"], "does not answer as an Antiphon server"),
        (200, {"day": DAY, "tally": {"turns": "many"}}, "does not answer as an Antiphon server"),
    ],
)
def test_a_server_that_is_no_antiphon(status: int, body: object, says: str, tmp_path: Path) -> None:
    with answering(status, body) as url:
        token = "a-token-of-sixteen-or-more"
        told = run("--url", url, data=tmp_path, ANTIPHON_OPERATOR_TOKEN=token)
    assert told.exit_code == 1
    assert says in told.output
    assert isinstance(told.exception, SystemExit), "no traceback"


def test_days_that_are_not_there(data: Path) -> None:
    missing = run("--day", "2026-11-20", data=data)
    assert missing.exit_code == 1
    assert "nothing is known of 2026-11-20" in missing.output
    assert "2026-11-23" in missing.output, "it says what there is"
    wrong = run("--day", "tuesday", data=data)
    assert wrong.exit_code == 2
    assert "'tuesday' is no day" in wrong.output


def test_today_without_a_day(tmp_path: Path) -> None:
    files = DayFiles(tmp_path / "days", zone=UTC)
    now = datetime.now(UTC)
    recent = Recent(now=Clock(at=now.timestamp()))
    Told([recent]).tell(call())
    write_down(files, recent.minutes.unwritten(0, stopping=True))
    told = json.loads(run("--json", data=tmp_path).output)
    assert date.fromisoformat(told["day"]) == now.date()


def test_a_running_server_is_asked_with_the_token(tmp_path: Path) -> None:
    refused = run("--url", "http://127.0.0.1:1", data=tmp_path)
    assert "ANTIPHON_OPERATOR_TOKEN is not set" in refused.output
    token = "a-token-of-sixteen-or-more"
    away = run("--url", "http://127.0.0.1:1", data=tmp_path, ANTIPHON_OPERATOR_TOKEN=token)
    assert away.exit_code == 1
    assert "does not answer" in away.output
    assert token not in away.output
