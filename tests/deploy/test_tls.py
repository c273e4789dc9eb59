"""A certificate from an authority that asks for proof, as Let's Encrypt does: Pebble, in the stack's own network.

It comes, is renewed, and replaced by another authority's, while people talk; nginx is never started again.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from cryptography import x509
from tests.authority import Authority
from tests.deploy.docker import ACME, CERTBOT, Stack, inside, log_has, logs, stack, state, until

DOMAIN = "talk.test"
CALLERS = 4

OVERRIDE = f"""
services:
  nginx:
    networks:
      front: {{ aliases: [{DOMAIN}] }}
  certbot:
    environment:
      REQUESTS_CA_BUNDLE: /pebble/authority.pem
    volumes: ["./pebble:/pebble:ro"]
  pebble: &pebble
    image: {ACME}
    volumes: ["./pebble:/pebble:ro"]
    networks: [front]
  another:
    <<: *pebble
"""
"""The domain leads to nginx; certbot trusts who stands before Pebble. Two of them, which know nothing of each other."""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything but certbot is up: the self-signed certificate is served. The tests here follow each other."""
    with stack(
        tmp_path_factory.mktemp("tls"), "compose.tls.yaml", "compose.pebble.yaml", up=False, DOMAIN=DOMAIN,
        EMAIL="somebody@talk.test", CERTBOT_IMAGE=CERTBOT, ACME_SERVER="https://pebble:14000/dir",
        CERTIFICATE_CHECK_SECONDS="1",
    ) as made:  # fmt: skip
        authority = Authority()
        authority.issue("pebble", "another", "localhost").write(made.folder / "pebble")
        (made.folder / "pebble" / "authority.pem").write_bytes(authority.certificate)
        (made.folder / "compose.pebble.yaml").write_text(OVERRIDE)
        made.compose("up", "--detach", "--wait", "nginx", "pebble", "another")
        yield made


def served(made: Stack) -> x509.Certificate:
    """What nginx presents."""
    pem = ssl.get_server_certificate(("localhost", made.https_port))
    return x509.load_pem_x509_certificate(pem.encode())


def until_another_is_served(made: Stack, before: x509.Certificate, since: datetime) -> x509.Certificate:
    """nginx looks every second, and says when it took one over."""
    [nginx] = made.containers("nginx")
    log_has(nginx, f"certificate: /etc/letsencrypt/live/{DOMAIN}, loaded", since=since, within_s=60)

    def another() -> x509.Certificate | None:
        return found if (found := served(made)) != before else None

    return until(another, f"other certificate than the one before for {DOMAIN}", of=nginx)


def trusted(made: Stack, server: str) -> x509.Certificate:
    """What a browser takes that trusts this Pebble: a chain to its root, for the domain. Raises ssl.SSLError."""
    [name] = made.containers(server)
    asked = (
        "import ssl, urllib.request as r; c = ssl.create_default_context(cafile='/pebble/authority.pem');"
        "print(r.urlopen('https://localhost:15000/roots/0', context=c).read().decode())"
    )
    context = ssl.create_default_context(cadata=inside(name, "python3", "-c", asked))
    with (
        socket.create_connection(("localhost", made.https_port)) as plain,
        context.wrap_socket(plain, server_hostname=DOMAIN) as secure,
    ):
        certificate = secure.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate)


@contextmanager
def callers(made: Stack) -> Iterator[datetime]:
    """Some talk the whole time; none of them may notice, and nginx is the one it was. Gives when they began."""
    asked = datetime.now(UTC)
    [nginx], [assistant] = made.containers("nginx"), made.containers("assistant")
    began = state(nginx)["State"]["StartedAt"]
    talking = subprocess.Popen(
        [
            sys.executable, "-m", "antiphon", "load", "--url", made.url, "--insecure", "--origin", made.url,
            "--callers", str(CALLERS), "--minutes", "0.6", "--mix", "talk=1", "--json",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        log_has(assistant, '"event": "session opened"', since=asked)
        yield asked
        assert talking.poll() is None, "they had hung up before it was over"
        report = json.loads(talking.communicate(timeout=120)[0])
    finally:
        talking.kill()
        talking.wait()
    assert (report["lost"], report["broken"], report["moved"]) == (0, 0, 0)
    assert report["turns"] > 0
    assert (state(nginx)["State"]["StartedAt"], state(nginx)["RestartCount"]) == (began, 0)


def test_the_first_certificate_takes_the_self_signed_ones_place(deployed: Stack) -> None:
    first = served(deployed)
    assert first.issuer == first.subject
    with callers(deployed) as since:
        deployed.compose("up", "--detach", "certbot")
        found = until_another_is_served(deployed, first, since)
        assert trusted(deployed, "pebble") == found
    assert "is not used" not in logs(deployed.containers("nginx")[0])


def test_a_renewed_one_is_taken_over(deployed: Stack) -> None:
    before = served(deployed)
    with callers(deployed) as since:
        deployed.compose(
            "exec", "-T", "certbot", "certbot", "renew", "--force-renewal", "--no-random-sleep-on-renew"
        )
        found = until_another_is_served(deployed, before, since)
        assert trusted(deployed, "pebble") == found


def test_another_authority_replaces_it(deployed: Stack) -> None:
    """As from Let's Encrypt's staging server to the real one: one line of ``.env``."""
    before = served(deployed)
    settings = deployed.folder / ".env"
    settings.write_text(settings.read_text().replace("https://pebble:", "https://another:"))
    since = datetime.now(UTC)
    deployed.compose("up", "--detach", "certbot")
    assert until_another_is_served(deployed, before, since) == trusted(deployed, "another")
    with pytest.raises(ssl.SSLCertVerificationError):
        trusted(deployed, "pebble")
