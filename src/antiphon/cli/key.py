"""``antiphon key``: a new API key for a backend, and what to put into the settings for it."""

from __future__ import annotations

import hashlib
import secrets

import click

from antiphon.settings.access import KEY_NAME

KEY_BYTES = 32


@click.command()
@click.argument("name")
def key(name: str) -> None:
    """Make an API key for the backend NAME. The key is shown once, here; the server keeps its hash only."""
    if not KEY_NAME.fullmatch(name):
        raise click.UsageError(
            "A name has letters, digits, dots, dashes and underscores, at most 64 of them."
        )
    value = secrets.token_urlsafe(KEY_BYTES)
    click.echo(f"Key, for the backend (it is not kept anywhere):\n  {value}")
    click.echo(
        "Setting, for the server (with commas between several):\n"
        f"  ANTIPHON_API_KEYS={name}=sha256:{hashlib.sha256(value.encode()).hexdigest()}"
    )
