"""What doctor says of the store and the certificate in front."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from tests.valkey_server import ValkeyServer

from antiphon.cli.surroundings import certificate_findings, store_findings
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


def test_doctor_looks_at_the_certificate_in_front(tmp_path: Path) -> None:
    certificates().main(tmp_path, "talk.example.org")
    chain = tmp_path / "self-signed/fullchain.pem"
    [found] = certificate_findings(Settings(certificate=chain, domain="talk.example.org"))
    assert found.level == "ok"
    [found] = certificate_findings(Settings(certificate=chain, domain="other.example.org"))
    assert found.level == "note"
    assert "not for other.example.org" in found.text
    assert not list(certificate_findings(Settings()))


@pytest.mark.parametrize("domain", ["https://localhost", "a.org www.a.org", "talk.example.org:8443"])
def test_no_certificate_is_made_for_what_is_no_name(tmp_path: Path, domain: str) -> None:
    with pytest.raises(
        SystemExit, match=f"DOMAIN in deploy/.env: '{domain}' is no name; write it without https"
    ):
        certificates().main(tmp_path, domain)
    assert not list(tmp_path.iterdir())


def test_the_containers_certificate_is_made_kept_and_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = certificates()
    chain = tmp_path / "self-signed/fullchain.pem"
    made.main(tmp_path, "talk.example.org")
    first = chain.read_bytes()
    made.main(tmp_path, "talk.example.org")
    assert chain.read_bytes() == first
    made.main(tmp_path, "other.example.org")
    assert chain.read_bytes() != first
    assert "kept" in capsys.readouterr().out


def test_a_certificate_of_your_own_is_told_of_and_never_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A self-signed one for another name, too."""
    made = certificates()
    certificate, key = made.made("other.example.org")
    (tmp_path / "fullchain.pem").write_bytes(certificate)
    (tmp_path / "privkey.pem").write_bytes(key)
    made.main(tmp_path, "talk.example.org")
    assert "not for talk.example.org" in capsys.readouterr().out
    _, another = made.made("other.example.org")
    (tmp_path / "privkey.pem").write_bytes(another)
    made.main(tmp_path, "talk.example.org")
    assert "belongs to another certificate" in capsys.readouterr().out
    assert (tmp_path / "fullchain.pem").read_bytes() == certificate
    assert (tmp_path / "privkey.pem").read_bytes() == another


def test_a_store_that_is_away_fails_and_one_that_is_there_does_not(valkey: ValkeyServer) -> None:
    [found] = store_findings(Settings(store=valkey.url))
    assert found.level == "ok"
    valkey.stop()
    [found] = store_findings(Settings(store=valkey.url))
    assert found.level == "fail"
    assert "ANTIPHON_STORE" in found.text + found.advice
