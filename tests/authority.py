"""A certificate authority of a test's own, and what it issues: good certificates, ended ones, ones for other names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, each PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path) -> Path:
        """``fullchain.pem`` and ``privkey.pem`` in the folder; the first one's path."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "privkey.pem").write_bytes(self.key)
        (folder / "fullchain.pem").write_bytes(self.certificate)
        return folder / "fullchain.pem"


class Authority:
    """Signs whatever it is asked to."""

    def __init__(self, name: str = "An authority of Antiphon's tests") -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        built = _begun(self._name, self._key, days=30).issuer_name(self._name)
        self._own = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
            self._key, hashes.SHA256()
        )

    @property
    def certificate(self) -> bytes:
        """Its own, PEM: who trusts it trusts all that it signed."""
        return self._own.public_bytes(Encoding.PEM)

    def issue(self, *names: str, days: int = 90) -> Pair:
        """For these names and addresses, until so many days from now; negative: it has ended."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        built = _begun(subject, key, days=days).issuer_name(self._name)
        signed = built.add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False).sign(
            self._key, hashes.SHA256()
        )
        return Pair(signed.public_bytes(Encoding.PEM), _pem(key))


def self_signed(*names: str, days: int = 90) -> Pair:
    """Nobody vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    built = _begun(subject, key, days=days).issuer_name(subject)
    signed = built.add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False).sign(
        key, hashes.SHA256()
    )
    return Pair(signed.public_bytes(Encoding.PEM), _pem(key))


def _begun(subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + timedelta(days=days)) - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
