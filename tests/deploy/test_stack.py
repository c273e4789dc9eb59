"""One assistant behind nginx and TLS, from the project's own compose files."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.deploy.docker import Stack, inside, log_has, logs, run, stack, state

OPERATOR = "only a test of operators"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Up once for all tests here."""
    folder = tmp_path_factory.mktemp("stack")
    with stack(folder, CERTIFICATE_CHECK_SECONDS="1", ANTIPHON_OPERATOR_TOKEN=OPERATOR) as made:
        yield made


def client(made: Stack) -> httpx2.Client:
    return httpx2.Client(base_url=made.url, verify=False, timeout=10)


def test_the_whole_chain_works_for_a_user(deployed: Stack) -> None:
    findings = [json.loads(line) for line in deployed.verify("--json").stdout.splitlines()]
    told = {finding["about"]: finding["level"] for finding in findings}
    assert "fail" not in told.values()
    assert told["spoken turn"] == "ok"
    assert told["redirect"] == "ok"
    assert told["operators"] == "ok"
    assert told["resume"] == "ok"


@pytest.mark.parametrize("service", ["assistant", "nginx"])
def test_containers_are_confined(deployed: Stack, service: str) -> None:
    [name] = deployed.containers(service)
    account = state(name)
    host = account["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["PidsLimit"] == 200
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    capabilities = [line for line in inside(name, "cat", "/proc/1/status").splitlines() if "CapEff" in line]
    assert int(capabilities[0].split()[1], 16) == 0
    assert not account["Config"]["User"].startswith("0")


def test_the_assistant_has_what_memory_and_processor_it_was_promised(deployed: Stack) -> None:
    [name] = deployed.containers("assistant")
    host = state(name)["HostConfig"]
    assert host["Memory"] == 512 * 1024 * 1024
    assert host["NanoCpus"] == 1_000_000_000


def test_operators_doors_are_closed_to_the_world(deployed: Stack) -> None:
    with client(deployed) as asking:
        for path in ("/metrics", "/operator", "/api/sessions", "/metrics/"):
            answer = asking.get(path, headers={"Authorization": f"Bearer {OPERATOR}"})
            assert answer.status_code == 403, path


def test_what_a_caller_claims_about_its_address_is_dropped(deployed: Stack) -> None:
    with client(deployed) as asking:
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
            asking.get("/health?marked", headers={header: "198.51.100.66"})
    [name] = deployed.containers("assistant")
    assert "198.51.100.66" not in logs(name)


def test_logs_are_objects_without_queries(deployed: Stack) -> None:
    with client(deployed) as asking:
        asked = asking.get("/api/options?ticket=very-secret-words").headers["X-Request-ID"]
    [nginx], [assistant] = deployed.containers("nginx"), deployed.containers("assistant")
    line = json.loads(log_has(nginx, asked))
    assert line["path"] == "/api/options"
    log_has(assistant, asked)
    assert "very-secret-words" not in logs(nginx) + logs(assistant)


def test_bodies_are_bounded(deployed: Stack) -> None:
    with client(deployed) as asking:
        assert asking.post("/api/tickets", content=b"x" * 70_000).status_code == 413


def test_only_current_tls_is_spoken(deployed: Stack) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # they are what is tried here
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with httpx2.Client(verify=old) as asking, pytest.raises(httpx2.ConnectError):
        asking.get(deployed.url)


def test_a_new_certificate_is_taken_without_dropping_a_call(deployed: Stack) -> None:
    """Twenty callers talk while the certificate changes under them."""
    before = served_certificate(deployed)
    talking = subprocess.Popen(
        [
            sys.executable, "-m", "antiphon", "load", "--url", deployed.url, "--insecure", "--origin",
            deployed.url, "--callers", "20", "--minutes", "0.4", "--mix", "talk=1", "--json",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    [nginx] = deployed.containers("nginx")
    deployed.compose(
        "run", "--rm", "--no-deps", "certificate", "/certificates", "another.example.org", check=False
    )
    log_has(nginx, "loaded")
    report = json.loads(talking.communicate(timeout=120)[0])
    assert served_certificate(deployed) != before
    assert report["lost"] == 0
    assert report["broken"] + report["moved"] == 0
    deployed.compose("run", "--rm", "--no-deps", "certificate")


def served_certificate(made: Stack) -> str:
    return ssl.get_server_certificate(("localhost", made.https_port))


def test_a_certificate_of_another_name_is_told_of(deployed: Stack, tmp_path: Path) -> None:
    """One that somebody else signed is never replaced: what is wrong with it is said."""
    made = deployed.compose("run", "--rm", "--no-deps", "certificate", "/certificates", "localhost")
    assert "certificate for localhost" in made.stdout
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o777)
    foreign.chmod(0o777)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
        "-subj", "/CN=ca", "-keyout", str(foreign / "ca.key"), "-out", str(foreign / "ca.pem"))  # fmt: skip
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
        "/CN=wrong.example.org", "-keyout", str(foreign / "privkey.pem"), "-out", str(foreign / "csr.pem"))  # fmt: skip
    run("openssl", "x509", "-req", "-in", str(foreign / "csr.pem"), "-CA", str(foreign / "ca.pem"), "-CAkey",
        str(foreign / "ca.key"), "-CAcreateserial", "-days", "1", "-out", str(foreign / "fullchain.pem"))  # fmt: skip
    told = deployed.compose(
        "run", "--rm", "--no-deps", "--volume", f"{foreign}:/foreign", "certificate", "/foreign", "localhost"
    ).stdout
    assert "not for localhost: browsers will refuse it" in told
