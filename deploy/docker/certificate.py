"""A self-signed certificate, so that nginx comes up before there is a real one.

    certificate.py FOLDER DOMAIN

Writes FOLDER/fullchain.pem and privkey.pem for the domain (localhost and 127.0.0.1 besides), good for 90 days, unless
a pair that fits and is good for another 14 days is there. A certificate that somebody else signed is never touched;
what is wrong with it is said. Exits 1, saying what to do, when the folder cannot be written.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

GOOD_FOR = timedelta(days=90)
RENEW_BEFORE = timedelta(days=14)


def main(folder: Path, domain: str) -> None:
    """Make the pair if it is needed."""
    chain, key = folder / "fullchain.pem", folder / "privkey.pem"
    there = read(chain)
    if there is not None and there.issuer != there.subject:
        problem = problem_of(there, domain, datetime.now(UTC)) or (
            "" if key.exists() else "its privkey.pem is missing"
        )
        print(f"certificate for {domain}: {problem}" if problem else f"certificate for {domain}: yours, kept")
        return
    if there is not None and key.exists() and not problem_of(there, domain, datetime.now(UTC) + RENEW_BEFORE):
        print(f"certificate for {domain}: kept")
        return
    certificate, private = made(domain)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        key.write_bytes(private)
        key.chmod(0o640)
        chain.write_bytes(certificate)
    except OSError as error:
        sys.exit(
            f"the certificate cannot be written to {folder}: {error.strerror}. Give the folder to user 10001,"
            " or name another volume."
        )
    print(f"certificate for {domain}: self-signed, good for {GOOD_FOR.days} days; browsers will warn of it")


def read(chain: Path) -> x509.Certificate | None:
    """The first certificate of the file; None when there is none that can be read."""
    try:
        return x509.load_pem_x509_certificate(chain.read_bytes())
    except (OSError, ValueError):
        return None


def problem_of(certificate: x509.Certificate, domain: str, at: datetime) -> str:
    """What is wrong with it for this domain at that time; empty when nothing is."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = {str(name.value) for name in extension.value}
    except x509.ExtensionNotFound:
        names = set()
    wild = "*." + domain.partition(".")[2]
    if domain not in names and wild not in names:
        return f"it is for {', '.join(sorted(names)) or 'no name'}, not for {domain}: browsers will refuse it"
    if certificate.not_valid_after_utc <= at:
        return f"it ended on {certificate.not_valid_after_utc:%Y-%m-%d}: browsers will refuse it"
    return ""


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
