"""A server without containers: what nginx does with the site that the guide puts there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.deploy.docker import ROOT, SCRIPTED, SLIM, container, inside, logs, run, until

pytestmark = pytest.mark.deploy

PYTHON = "/opt/antiphon/bin/python"
CERTIFICATE = "/etc/letsencrypt/live/talk.example.org"
SITE = ROOT / "deploy" / "systemd" / "nginx-antiphon.conf"
SERVE = f"""
mkdir -p {CERTIFICATE} /var/log/nginx /run /var/lib/nginx /var/cache/nginx &&
cp /certificate/self-signed/fullchain.pem /certificate/self-signed/privkey.pem {CERTIFICATE}/ &&
printf 'error_log /var/log/nginx/error.log;\\nevents {{}}\\nhttp {{ include /site.conf; }}\\n' > /tmp/nginx.conf &&
exec nginx -c /tmp/nginx.conf -g 'daemon off;'
"""
ASK = """
import http.client, json, ssl, sys
from concurrent.futures import ThreadPoolExecutor
scheme, method, path, times = sys.argv[1:]
trusting = ssl._create_unverified_context()
def status(_):
    over_tls = http.client.HTTPSConnection("127.0.0.1", context=trusting)
    to = over_tls if scheme == "https" else http.client.HTTPConnection("127.0.0.1")
    try:
        to.request(method, path, headers={"Host": "talk.example.org"})
        return to.getresponse().status
    except ConnectionRefusedError:
        return 0
    finally:
        to.close()
with ThreadPoolExecutor(8) as callers:
    print(json.dumps(list(callers.map(status, range(int(times))))))
"""


@dataclass(frozen=True, slots=True)
class Server:
    """Containers on one loopback, as on one machine: a caller's, the assistant's and nginx'."""

    caller: str
    assistant: str
    nginx: str

    def ask(self, path: str, *, method: str = "GET", scheme: str = "https", times: int = 1) -> Counter[int]:
        """How often which status was answered; 0 where nobody listens."""
        said = inside(self.caller, PYTHON, "-c", ASK, scheme, method, path, str(times))
        return Counter(json.loads(said))


@pytest.fixture(scope="module")
def certificate() -> Iterator[str]:
    """A volume with one that signs itself."""
    made = run("docker", "volume", "create").stdout.strip()
    run("docker", "run", "--rm", "--user=0", f"--volume={made}:/certificates",
        f"--entrypoint={PYTHON}", SLIM, "/opt/antiphon/share/certificate.py",
        "/certificates", "talk.example.org")  # fmt: skip
    yield made
    run("docker", "volume", "rm", made)


@pytest.fixture
def server(certificate: str) -> Iterator[Server]:
    """Once the page is answered."""
    settings = [f"--env={name}={value}" for name, value in SCRIPTED.items()]
    with container("--entrypoint=sleep", command=("infinity",)) as caller:
        beside = f"--network=container:{caller}"
        with (
            container(beside, "--env=ANTIPHON_TRUSTED_PROXIES=127.0.0.1", *settings) as assistant,
            container(beside, "--user=0", f"--volume={certificate}:/certificate:ro", f"--volume={SITE}:/site.conf:ro",
                      "--entrypoint=sh", image="nginx:stable-alpine", command=("-c", SERVE)) as nginx,
        ):  # fmt: skip
            made = Server(caller, assistant, nginx)
            until(lambda: made.ask("/")[200], "page", of=nginx)
            yield made


def test_nginx_takes_the_site(server: Server) -> None:
    assert "[emerg]" not in logs(server.nginx)


def test_quick_reloads_are_served_and_refuse_no_call(server: Server) -> None:
    assert server.ask("/", times=90) == {200: 90}
    assert server.ask("/", times=300)[429] > 0
    assert server.ask("/api/tickets", method="POST", times=10)[429] == 0
    assert server.ask("/ws/voice", times=10)[429] == 0


def test_what_stands_in_a_query_is_in_no_log(server: Server) -> None:
    query = "?ticket=SECRET"
    assert server.ask("/" + query, scheme="http") == {308: 1}
    assert server.ask("/" + query, times=300)[429] > 0
    run("docker", "stop", "--time=2", server.assistant)
    assert server.ask("/ws/voice" + query) == {502: 1}
    requests = inside(server.nginx, "cat", "/var/log/nginx/antiphon.log")
    assert '"path":"/ws/voice","status":502,' in requests
    assert "SECRET" not in requests + logs(server.nginx)
