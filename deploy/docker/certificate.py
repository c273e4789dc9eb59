"""A self-signed certificate, so that nginx comes up before there is a real one.

    certificate.py FOLDER DOMAIN

Writes FOLDER/self-signed/fullchain.pem and privkey.pem for the domain (localhost and 127.0.0.1 besides), good for 90
days, unless a pair that fits and is good for another 30 days is there. A pair of your own, FOLDER/fullchain.pem and
privkey.pem, is never touched; what is wrong with it is said. Exits 1, saying what to do, when the domain is none or the
folder cannot be written.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from antiphon.settings.domain import check_domain

GOOD_FOR = timedelta(days=90)
RENEW_BEFORE = timedelta(days=30)
CHAIN, KEY = "fullchain.pem", "privkey.pem"


def main(folder: Path, domain: str) -> None:
    """Tell of yours, and make the self-signed pair if it is needed."""
    try:
        domain = check_domain(domain)
    except ValueError as error:
        sys.exit(f"DOMAIN in deploy/.env: {error}")
    now = datetime.now(UTC)
    if (folder / CHAIN).exists() or (folder / KEY).exists():
        print(f"certificate for {domain}: yours: {problem_of(folder, domain, now) or 'good'}", flush=True)
    own = folder / "self-signed"
    if not problem_of(own, domain, now + RENEW_BEFORE):
        print(f"certificate for {domain}: self-signed: kept", flush=True)
        return
    certificate, private = made(domain)
    try:
        own.mkdir(parents=True, exist_ok=True)
        # nginx reads both as one of the group; it looks whether they belong together.
        own.chmod(0o2750)
        (own / KEY).write_bytes(private)
        (own / KEY).chmod(0o640)
        (own / CHAIN).write_bytes(certificate)
    except OSError as error:
        sys.exit(
            f"the certificate cannot be written to {own}: {error.strerror}. Give the folder to user 10001,"
            " or name another volume."
        )
    print(
        f"certificate for {domain}: self-signed, good for {GOOD_FOR.days} days; browsers will warn of it",
        flush=True,
    )


def problem_of(folder: Path, domain: str, at: datetime) -> str:
    """What is wrong with the pair in the folder, for this domain at that time; empty when nothing is."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / CHAIN).read_bytes())
    except OSError as error:
        return f"its {CHAIN} cannot be read: {error.strerror}"
    except ValueError:
        return f"its {CHAIN} is not a PEM certificate"
    try:
        key = load_pem_private_key((folder / KEY).read_bytes(), None)
    except OSError as error:
        return f"its {KEY} cannot be read: {error.strerror}"
    except (ValueError, TypeError):
        return f"its {KEY} is not a PEM key without a password"
    if key.public_key() != certificate.public_key():
        return f"its {KEY} belongs to another certificate: nginx will not take it"
    names = names_of(certificate)
    if domain not in names and "*." + domain.partition(".")[2] not in names:
        return f"it is for {', '.join(sorted(names)) or 'no name'}, not for {domain}: browsers will refuse it"
    if certificate.not_valid_after_utc <= at:
        return f"it ended on {certificate.not_valid_after_utc:%Y-%m-%d}: browsers will refuse it"
    return ""


def names_of(certificate: x509.Certificate) -> set[str]:
    """Names and addresses that it is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in extension.value}


def made(domain: str) -> tuple[bytes, bytes]:
    """A certificate and its private key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain[:64])])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + GOOD_FOR)
        .add_extension(x509.SubjectAlternativeName(names_for(domain)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


def names_for(domain: str) -> list[x509.GeneralName]:
    """The domain, or address, and this machine's own names."""
    names: dict[str, x509.GeneralName] = {}
    for each in (domain, "localhost", "127.0.0.1"):
        try:
            names[each] = x509.IPAddress(ip_address(each))
        except ValueError:
            names[each] = x509.DNSName(each)
    return list(names.values())


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2]:
        sys.exit("usage: certificate.py FOLDER DOMAIN (is DOMAIN set?)")
    main(Path(sys.argv[1]), sys.argv[2])
