"""Takes the picture of the page over https: ``python -m tests.browser.https_picture`` from the root, with Docker and
the image ``antiphon:slim`` (``TEST_IMAGE`` names another).

The page comes from the project's own Compose files, through nginx and TLS, with a certificate of an authority that was
made for it; the providers follow a script. A headless browser has no address bar: what stands above the page is drawn
here, of what the browser says of the page and of its connection.
"""

from __future__ import annotations

import base64
import html
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, sync_playwright
from tests.authority import Authority, Pair
from tests.browser.conftest import CHROMIUM, FLAGS, WIDE
from tests.browser.pictures import PICTURES, settle
from tests.browser.real_server import ON_CUE, say
from tests.deploy.docker import Stack, run, stack

DOMAIN = "talk.example.org"
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris. It has been so, with a few pauses, for a thousand years."
BAR_HEIGHT = 84

FRAME = """<!doctype html>
<style>
  body {{ margin: 0; font: 15px/1.4 system-ui, sans-serif; color: #222; background: #e8eaee; }}
  header {{ height: {height}px; box-sizing: border-box; padding: 10px 16px; }}
  .address {{ background: #fff; border-radius: 8px; padding: 5px 12px; font-family: ui-monospace, monospace; }}
  .facts {{ padding: 6px 12px 0; font-size: 13px; color: #555; }}
  img {{ display: block; width: 100%; }}
</style>
<header><div class="address">{address}</div><div class="facts">{facts}</div></header>
<img src="data:image/png;base64,{page}">
"""


@contextmanager
def deployed(pair: Pair) -> Iterator[Stack]:
    """The stack for the domain, which presents this certificate."""
    with (
        tempfile.TemporaryDirectory(prefix="picture-") as folder,
        stack(
            Path(folder), up=False, DOMAIN=DOMAIN, CERTIFICATE_CHECK_SECONDS="1", ANTIPHON_TTS="scripted:hum",
            ANTIPHON_SCRIPTED_TRANSCRIPT=QUESTION, ANTIPHON_SCRIPTED_REPLY=ANSWER,
        ) as made,
    ):  # fmt: skip
        made.compose("up", "--detach", "--wait", "certificate")
        for name, content in (("privkey.pem", pair.key), ("fullchain.pem", pair.certificate)):
            run(
                "docker", "compose", "exec", "-T", "certificate", "sh", "-c",
                f"umask 027; cat >/certificates/{name}",
                input=content.decode(), cwd=made.folder, env=made.environ(),
            )  # fmt: skip
        made.compose("up", "--detach", "--wait")
        yield made


def trusting(pair: Pair, port: int) -> tuple[str, ...]:
    """Flags by which Chromium takes this certificate, and finds the domain here."""
    key = x509.load_pem_x509_certificate(pair.certificate).public_key()
    digest = sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    names = [flag for flag in FLAGS if "host-resolver-rules" not in flag]
    return (
        *names,
        f"--host-resolver-rules=MAP {DOMAIN}:{port} 127.0.0.1:{port}",
        f"--ignore-certificate-errors-spki-list={base64.b64encode(digest).decode()}",
    )


def talk(browser: Browser, url: str) -> tuple[Page, str, str]:
    """The page while it answers; its address, and what the browser says of the connection."""
    context = browser.new_context(
        viewport={"width": WIDE[0], "height": WIDE[1]}, color_scheme="light", locale="en-GB"
    )
    page = context.new_page()
    page.add_init_script(ON_CUE)
    answer = page.goto(url)
    page.wait_for_selector("body[data-now]", state="attached")
    page.click("#shape")
    page.wait_for_selector("body[data-now=listening]")
    say(page, "callers/q07.wav")
    page.wait_for_selector("body[data-now=speaking]")
    settle(page)
    assert answer is not None
    tls = answer.security_details()
    assert tls is not None, "that was no https"
    until = datetime.fromtimestamp(tls["validTo"] or 0, UTC)
    seen = page.evaluate("[location.href, isSecureContext]")
    facts = (
        f"isSecureContext: {json.dumps(seen[1])} · {tls['protocol']} · certificate of {tls['subjectName']}, "
        f"issued by {tls['issuer']}, until {until:%Y-%m-%d}"
    )
    return page, seen[0], facts


def main() -> None:
    pair = Authority("an authority of Antiphon's tests").issue(DOMAIN)
    with deployed(pair) as made, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(trusting(pair, made.https_port))
        )
        page, address, facts = talk(browser, f"https://{DOMAIN}:{made.https_port}/")
        shot = base64.b64encode(page.screenshot()).decode()
        frame = browser.new_page(viewport={"width": WIDE[0], "height": WIDE[1] + BAR_HEIGHT})
        frame.set_content(
            FRAME.format(height=BAR_HEIGHT, address=html.escape(address), facts=html.escape(facts), page=shot)
        )
        frame.screenshot(path=PICTURES / "deploy-page-https.png")
        print("deploy-page-https.png")
        browser.close()


if __name__ == "__main__":
    main()
