"""What doctor says of the store and the certificate in front."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from tests.valkey_server import ValkeyServer

from antiphon.cli.surroundings import certificate_findings, certificate_problem, store_findings
from antiphon.settings import Settings

ROOT = Path(__file__).parents[2]


def certificates() -> ModuleType:
    """The script that the container makes certificates with."""
    spec = importlib.util.spec_from_file_location("certificate", ROOT / "deploy/docker/certificate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_certificate_is_told_of_before_it_ends(tmp_path: Path) -> None:
    made = certificates()
    made.main(tmp_path, "talk.example.org")
    chain, now = tmp_path / "fullchain.pem", datetime.now(UTC)
    assert certificate_problem(chain, now) == ""
    assert "days" in certificate_problem(chain, now + timedelta(days=80))
    assert "browsers refuse it" in certificate_problem(chain, now + timedelta(days=91))
    [found] = certificate_findings(Settings(certificate=chain))
    assert found.level == "ok"


def test_what_is_no_certificate_is_said(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert "cannot be read" in certificate_problem(tmp_path / "none.pem", now)
    (tmp_path / "other.pem").write_text("hello")
    assert "is not a PEM" in certificate_problem(tmp_path / "other.pem", now)


def test_the_containers_certificate_is_made_kept_and_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = certificates()
    made.main(tmp_path, "talk.example.org")
    first = (tmp_path / "fullchain.pem").read_bytes()
    made.main(tmp_path, "talk.example.org")
    assert (tmp_path / "fullchain.pem").read_bytes() == first
    made.main(tmp_path, "other.example.org")
    assert (tmp_path / "fullchain.pem").read_bytes() != first
    assert "kept" in capsys.readouterr().out


def test_a_store_that_is_away_fails_and_one_that_is_there_does_not(valkey: ValkeyServer) -> None:
    [found] = store_findings(Settings(store=valkey.url))
    assert found.level == "ok"
    valkey.stop()
    [found] = store_findings(Settings(store=valkey.url))
    assert found.level == "fail"
    assert "ANTIPHON_STORE" in found.text + found.advice
