"""``antiphon prices`` and ``antiphon ledger``."""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from antiphon.cli import main
from antiphon.conversation.events import ProviderCall
from antiphon.providers.base import Usage
from antiphon.usage.books import Batch
from antiphon.usage.entry import Entry, entry_of
from antiphon.usage.prices import Priced
from antiphon.usage.sqlite_books import SqliteBooks

TODAY = datetime.now(UTC).date().isoformat()


def entry(number: int, day: str) -> Entry:
    call = ProviderCall(kind="tts", provider="openai:tts-1", usage=Usage(characters=100), turn_id="t1")
    priced = Priced(micros=1_500)
    return entry_of(call, priced, id=f"e{number}", at_ms=number, day=day, session="s1", caller="=ann")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with three entries."""
    books = SqliteBooks(tmp_path)
    entries = entry(1, "2020-01-01"), entry(2, TODAY), entry(3, TODAY)
    asyncio.run(books.append(Batch(id="b1", entries=entries)))
    books.close()
    return tmp_path


def run(*words: str, data: Path | None = None, **environ: str) -> Result:
    where = {} if data is None else {"ANTIPHON_DATA": str(data)}
    return CliRunner(env=environ | where).invoke(main, list(words), catch_exceptions=False)


def test_totals(data: Path) -> None:
    assert "$0.0030" in run("ledger", "totals", data=data).stdout
    found = json.loads(
        run("ledger", "totals", "--from", "2020-01-01", "--by", "day", "--json", data=data).stdout
    )
    assert found["cost_usd"] == 0.0045
    assert found["groups"] == {"2020-01-01": 0.0015, TODAY: 0.003}
    assert found["lines"][0]["characters"] == 300


def test_export(data: Path) -> None:
    out = data / "ledger.csv"
    assert "3 entries" in run("ledger", "export", "--out", str(out), data=data).stderr
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["micros"], row["cost_usd"]) for row in rows] == [
        (f"e{n}", "1500", "0.0015") for n in (1, 2, 3)
    ]
    assert rows[0]["caller"] == "'=ann"
    lines = run("ledger", "export", "--format", "json", "--from", TODAY, data=data).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["e2", "e3"]


def test_a_file_that_cannot_be_written_is_one_line(data: Path) -> None:
    for words in (("export", "--out"), ("backup",)):
        failed = run("ledger", *words, str(data / "none" / "x"), data=data)
        assert failed.exit_code == 1
        assert f"{data}/none/x" in failed.stderr
        assert "ANTIPHON_DATA" not in failed.stderr
    failed = run("ledger", "backup", str(data / "none" / "x"), data=data)
    assert f"there is no folder {data}/none" in failed.stderr


@pytest.mark.parametrize("days", [("--from", "2026-11-20", "--to", "2026-11-01"), ("--from", "2999-01-01")])
def test_days_the_wrong_way_round_are_refused(data: Path, days: tuple[str, ...]) -> None:
    failed = run("ledger", "totals", *days, data=data)
    assert failed.exit_code == 2
    assert f"--from {days[1]} is after the last day" in failed.stderr
    export = run("ledger", "export", *days, data=data)
    assert (export.exit_code == 2) is ("--to" in days), "an export goes on for ever where no end is given"


def test_backup_and_prune(data: Path) -> None:
    copy = data / "copy.sqlite3"
    assert run("ledger", "backup", str(copy), data=data).exit_code == 0
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT COUNT(*) FROM calls").fetchone() == (3,)
    connection.close()
    assert run("ledger", "backup", str(copy), data=data).exit_code == 1
    assert "1 entries" in run("ledger", "prune", "--yes", data=data).stdout
    refused = run("ledger", "prune", "--yes", data=data, ANTIPHON_LEDGER_DAYS="0")
    assert "say --before DAY" in refused.stderr


def test_prices_are_listed_and_checked(tmp_path: Path) -> None:
    listed = run("prices", "--provider", "openai").stdout
    assert "openai:whisper-1" in listed
    assert "deepgram" not in listed
    facts = [json.loads(line) for line in run("prices", "--json").stdout.splitlines()]
    assert {"ok", "old"} <= {fact["state"] for fact in facts} <= {"ok", "old", "retired"}
    assert run("prices", "--check").exit_code == 0
    missing = run("prices", "--check", ANTIPHON_LLM="openai:gpt-9")
    assert (missing.exit_code, missing.stderr) == (
        1, "ANTIPHON_LLM: openai:gpt-9 has no price; add a row to your price file.\n",
    )  # fmt: skip


def test_a_price_that_is_no_price_for_what_it_is_used_for_is_missing(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text('[[price]]\nprovider="openai"\nmodel="gpt-9"\nunit="minute"\nprice=1\n')
    checked = run("prices", "--check", ANTIPHON_LLM="openai:gpt-9", ANTIPHON_PRICES=str(own))
    assert (checked.exit_code, checked.stderr) == (
        1,
        "ANTIPHON_LLM: openai:gpt-9 has no price; add a row to your price file.\n",
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("openai:gpt-4o-mni", "gpt-4o-mini"),
        ("openai:GPT-4o", "gpt-4o"),
        ("vllm:lama3", "llama3"),  # in the settings
        ("openai:gpt-4o-mini-2024-07-18", ""),
        ("openai:gpt-4o-latest", ""),
        ("openai:gpt-4.9-mini", ""),
        ("openai:my-fine-tune", ""),
        ("openai:gpt-4o*", ""),
        ("vllm:mistral", ""),
    ],
)
def test_a_row_for_a_model_that_is_nearly_called_as_another_is_named(
    tmp_path: Path, name: str, meant: str
) -> None:
    own, (provider, model) = tmp_path / "mine.toml", name.split(":")
    own.write_text(f'[[price]]\nprovider="{provider}"\nmodel="{model}"\nunit="minute"\nprice=1\n')
    checked = run("prices", "--check", ANTIPHON_LLM="vllm:llama3", ANTIPHON_PRICES=str(own))
    doubt = (
        f"row 1 ({name}, minute): it prices no model that is known here; if {meant!r} is meant, write that."
    )
    assert (checked.exit_code, checked.stderr) == (0, f"{own}, {doubt}\n" if meant else "")


def test_a_minimum_is_listed_with_its_unit() -> None:
    assert "hour, at least 10 s" in run("prices", "--provider", "groq").stdout


def test_a_price_file_with_a_mistake_stops_the_start_and_says_where(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text('[[price]]\nprovider="x"\nmodel="m"\nunit="minute"\nprice=-1\n')
    for command in ("prices", "serve"):
        failed = run(command, ANTIPHON_PRICES=str(own))
        assert failed.exit_code == 1
        assert f"The price file {own}, row 1 (x:m): price is -1; it cannot be below zero" in failed.stderr


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"ANTIPHON_TIME_ZONE": "Europe/Atlantis"}, "write one as Europe/Berlin"),
        ({"ANTIPHON_BUDGET_DAY_USD": "-1"}, "ANTIPHON_BUDGET_DAY_USD"),
        (
            {"ANTIPHON_UNPRICED": "refuse", "ANTIPHON_LLM": "openai:gpt-9", "OPENAI_API_KEY": "k"},
            "openai:gpt-9 has no price",
        ),
    ],
)
def test_settings_about_money_are_checked_at_the_start(environ: dict[str, str], says: str) -> None:
    failed = CliRunner(env=environ).invoke(main, ["serve"], catch_exceptions=False)
    assert failed.exit_code == 1
    assert says in failed.stderr


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("hooks.example.org/secret", "it is no address"),
        ("ftp://hooks.example.org/secret", "it is no address"),
        ("http:///secret", "it is no address"),
        ("http://127.0.0.1:80a/secret", "its port is not a number"),
        ("http://127.0.0.1:99999/secret", "its port is not a number"),
        ("http://[::1/secret", "no host can be called that"),
        (f"http://{'a' * 70}.example/secret", "no host can be called that"),
        ("https://hooks.example.org/sec ret", "there are spaces or line breaks in it"),
        ("https://hooks.example.org/secret\n", "there are spaces or line breaks in it"),
    ],
)
def test_a_webhook_that_cannot_be_stops_the_start_and_is_not_repeated(address: str, says: str) -> None:
    failed = run("ledger", "totals", ANTIPHON_ALERT_WEBHOOK=address)
    assert failed.exit_code == 1
    assert says in failed.stderr
    assert "ANTIPHON_ALERT_WEBHOOK=(hidden)" in failed.stderr
    assert "secret" not in failed.stderr


def test_a_webhook_may_have_a_query(data: Path) -> None:
    address = "https://user:word@hooks.example.org:8443/services/T0?version=1&sig=a-b_c#top"
    assert run("ledger", "totals", data=data, ANTIPHON_ALERT_WEBHOOK=address).exit_code == 0
