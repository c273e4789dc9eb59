"""The certificate in front: what is wrong with it, how often that is said, and its end in the metrics."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from antiphon.telemetry.certificate import FIRST_LOOK_S, CertificateWatch, certificate_problem
from antiphon.telemetry.observability import Observability, Watching

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = 90


def write_certificate(path: Path, *names: str) -> None:
    """Good for ``DAYS`` days from ``BEGAN``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BEGAN)
        .not_valid_after(BEGAN + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(Encoding.PEM))


def test_a_certificate_is_told_of_before_it_ends(tmp_path: Path) -> None:
    chain = tmp_path / "fullchain.pem"
    write_certificate(chain, "talk.example.org")
    assert certificate_problem(chain, "talk.example.org", BEGAN) == ""
    assert "in 10 days" in certificate_problem(chain, "", BEGAN + timedelta(days=DAYS - 10))
    assert "browsers refuse it" in certificate_problem(chain, "", BEGAN + timedelta(days=DAYS + 1))


def test_a_certificate_must_be_for_the_domain(tmp_path: Path) -> None:
    chain = tmp_path / "fullchain.pem"
    write_certificate(chain, "*.example.org", "example.org")
    assert certificate_problem(chain, "talk.example.org", BEGAN) == ""
    assert certificate_problem(chain, "example.org", BEGAN) == ""
    assert certificate_problem(chain, "", BEGAN) == ""
    for other in ("a.talk.example.org", "talk.example.com"):
        assert f"not for {other}" in certificate_problem(chain, other, BEGAN)


def test_what_is_no_certificate_is_said(tmp_path: Path) -> None:
    assert "cannot be read" in certificate_problem(tmp_path / "none.pem", "", BEGAN)
    (tmp_path / "other.pem").write_text("hello")
    assert "is not a PEM" in certificate_problem(tmp_path / "other.pem", "", BEGAN)


def test_a_problem_is_logged_when_it_is_new_and_every_day(tmp_path: Path) -> None:
    chain, now = tmp_path / "fullchain.pem", BEGAN.timestamp()
    watch = CertificateWatch(chain, "talk.example.org", now=lambda: now)

    def said_after(hours: int) -> list[str]:
        nonlocal now
        now += hours * 3600
        with structlog.testing.capture_logs() as lines:
            watch.look()
        return [line["problem"] for line in lines]

    [missing] = said_after(0)
    assert "cannot be read" in missing
    assert watch.end is None
    assert said_after(1) == []
    assert said_after(23) == [missing]
    write_certificate(chain, "talk.example.org")
    assert said_after(1) == []
    assert watch.end == (BEGAN + timedelta(days=DAYS)).timestamp()


async def test_its_end_is_among_the_metrics(tmp_path: Path) -> None:
    chain = tmp_path / "fullchain.pem"
    watched = Observability(Watching(certificate=chain))
    async with watched.watch():
        write_certificate(chain, "talk.example.org")  # as a proxy does that starts after this server
        await asyncio.sleep(FIRST_LOOK_S + 1)
        body, _ = watched.metrics.exposition("text/plain")
    end = (BEGAN + timedelta(days=DAYS)).timestamp()
    [line] = [line for line in body.decode().splitlines() if line.startswith("antiphon_certificate")]
    assert float(line.split()[1]) == end
