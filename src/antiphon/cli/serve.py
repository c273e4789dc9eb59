"""``antiphon serve``: the server."""

from __future__ import annotations

import asyncio
import socket
import sys

import click

from antiphon import __version__
from antiphon.cli.effective import effective_settings
from antiphon.settings import Settings


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option("--profile", help="Embedded models to use: auto, fast or balanced.")
@click.option("--asr", help="Who turns speech into text, as provider:model.")
@click.option("--llm", help="Who writes the replies, as provider:model.")
@click.option("--tts", help="Who speaks them, as provider:model.")
@click.option("--log-level", help="debug, info, warning or error.")
@click.option("--log-format", help="auto, json or pretty.")
@click.option(
    "--fd", type=int, help="Serve on this open listening socket instead of host and port (socket activation)."
)
def serve(fd: int | None, **options: str | int | None) -> None:
    """Serve the page and the voice calls, until told to stop.

    SIGTERM or Ctrl-C lets replies being spoken end first; a second one stops at once. Every option is a
    setting too (`antiphon settings`); an option wins over the environment and files.
    """
    settings = effective_settings(**options).settings

    from antiphon.app import build_application
    from antiphon.app.adapters import check_choices
    from antiphon.server.origins import is_loopback
    from antiphon.server.serving import Server, listen
    from antiphon.telemetry.logs import configure_logs, logger

    application = build_application(settings)
    asyncio.run(check_choices(settings))
    listening = listen(settings.host, settings.port) if fd is None else socket.socket(fileno=fd)
    configure_logs(level=settings.log_level, form=settings.log_format)
    address, port = listening.getsockname()[:2]
    logger(__name__).info("listening", address=address, port=port, version=__version__)
    if "open" in settings.access and not is_loopback(address):
        logger(__name__).warning(
            "anybody who reaches this address may talk", address=address, setting="ANTIPHON_ACCESS"
        )
    _greet(settings, listening)
    Server(application, max_message_bytes=settings.max_message_bytes, own_process=True).run([listening])


def _greet(settings: Settings, listening: socket.socket) -> None:
    """Where to go, for someone at a terminal."""
    if settings.log_format == "json" or not sys.stderr.isatty():
        return
    host, port = listening.getsockname()[:2]
    shown = "localhost" if host in ("0.0.0.0", "::", "127.0.0.1", "::1") else host
    click.secho(f"Antiphon {__version__} is at ", nl=False, err=True)
    click.secho(f"http://{shown}:{port}/", bold=True, err=True)
    click.echo("Models that are not there yet are fetched first; the page shows how far they are.", err=True)
    if host in ("0.0.0.0", "::"):
        click.echo(
            "From other machines the page needs HTTPS in front of it: browsers give the microphone to "
            "secure pages only.",
            err=True,
        )
