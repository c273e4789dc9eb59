"""A server without containers: nginx takes the site that the guide puts there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.deploy.docker import ROOT, SLIM, run

pytestmark = pytest.mark.deploy

CERTIFICATE = "/etc/letsencrypt/live/talk.example.org"

TRY = f"""
mkdir -p {CERTIFICATE} /var/log/nginx /run /var/lib/nginx &&
cp /certificate/self-signed/fullchain.pem /certificate/self-signed/privkey.pem {CERTIFICATE}/ &&
printf 'events {{}}\\nhttp {{ include /site.conf; }}\\n' > /tmp/nginx.conf &&
nginx -t -c /tmp/nginx.conf
"""


@pytest.fixture(scope="module")
def certificate() -> Iterator[str]:
    """A volume with one that signs itself."""
    made = run("docker", "volume", "create").stdout.strip()
    run("docker", "run", "--rm", "--user=0", f"--volume={made}:/certificates",
        "--entrypoint=/opt/antiphon/bin/python", SLIM, "/opt/antiphon/share/certificate.py",
        "/certificates", "talk.example.org")  # fmt: skip
    yield made
    run("docker", "volume", "rm", made)


def test_nginx_takes_the_site(certificate: str) -> None:
    site = ROOT / "deploy" / "systemd" / "nginx-antiphon.conf"
    said = run("docker", "run", "--rm", "--user=0", f"--volume={certificate}:/certificate:ro",
               f"--volume={site}:/site.conf:ro", "--entrypoint=sh", "nginx:stable-alpine", "-c", TRY)  # fmt: skip
    assert "test is successful" in said.stderr
    assert "[emerg]" not in said.stderr
