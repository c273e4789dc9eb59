"""``antiphon sessions``: who is on, live in the terminal; and how to end one."""

from __future__ import annotations

import json
import time
from typing import Any

import click
import httpx2
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from antiphon.cli.effective import effective_settings
from antiphon.errors import AntiphonError

REFRESH_S = 1.0

ANSWER_S = 10.0

Rows = list[dict[str, Any]]


class OperatorCallFailed(AntiphonError):
    """The server cannot be asked, or said no."""

    code = "operator_call_failed"


@click.command()
@click.option("--url", help="The server; without it, the one that the settings of this machine name.")
@click.option("--once", is_flag=True, help="Print the table once instead of keeping it up to date.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, once.")
@click.option("--end", metavar="ID", help="End this session: its id, or its first letters as shown.")
def sessions(url: str | None, once: bool, as_json: bool, end: str | None) -> None:
    """Show who is in a conversation with a server: since when, turns, sound in and out, cost.

    The server is asked as an operator: set ANTIPHON_OPERATOR_TOKEN to the token that it runs with. Ctrl-C ends the
    table.
    """
    settings = effective_settings().settings
    token = settings.operator_token.get_secret_value()
    if not token:
        raise OperatorCallFailed(
            "ANTIPHON_OPERATOR_TOKEN is not set; set it to the token that the server runs with"
        )
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    address = (url or f"http://{f'[{host}]' if ':' in host else host}:{settings.port}").rstrip("/")
    address = address if "://" in address else f"http://{address}"
    with httpx2.Client(
        base_url=address, timeout=ANSWER_S, headers={"Authorization": f"Bearer {token}"}
    ) as client:
        if end is not None:
            _ask(client, "DELETE", f"/api/sessions/{end}")
            click.echo(f"Session {end} has been ended.")
        elif as_json:
            click.echo(json.dumps(_ask(client, "GET", "/api/sessions")))
        elif once or not Console().is_terminal:
            Console().print(sessions_table(_ask(client, "GET", "/api/sessions"), address))
        else:
            _watch(client, address)


def _watch(client: httpx2.Client, address: str) -> None:
    """Until Ctrl-C. A server that is away for a while is asked again."""
    with Live(Text("…"), console=Console(), screen=False, auto_refresh=False) as live:
        shown: Any = Text("…")
        try:
            while True:
                try:
                    shown = sessions_table(_ask(client, "GET", "/api/sessions"), address)
                    live.update(shown, refresh=True)
                except OperatorCallFailed as error:
                    live.update(Group(shown, Text(error.message, style="yellow")), refresh=True)
                time.sleep(REFRESH_S)
        except KeyboardInterrupt:
            return


def _ask(client: httpx2.Client, method: str, path: str) -> dict[str, Any]:
    try:
        answer = client.request(method, path)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise OperatorCallFailed(
            f"cannot ask {client.base_url}: {error}. Is the server running there?"
        ) from error
    if answer.status_code == 204:
        return {}
    try:
        told = answer.json()
        if answer.status_code == 200:
            return dict(told)
        raise OperatorCallFailed(str(told["error"]["message"]))
    except (ValueError, KeyError, TypeError) as error:
        raise OperatorCallFailed(
            f"{client.base_url} answered HTTP {answer.status_code}; is that an Antiphon server?"
        ) from error


def sessions_table(told: dict[str, Any], address: str) -> Table:
    """``GET /api/sessions`` as people read it."""
    several = told["replicas"] > 1
    title = f"{told['live']} of {told['max_sessions']} conversations at {address}"
    title += f", {told['replicas']} replicas" if several else ""
    table = Table(
        title=title if told["whole"] else f"{title}, one replica of several: their store is away",
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    for name in ("session", "since", "from"):
        table.add_column(name, no_wrap=True)
    table.add_column("key", overflow="ellipsis", max_width=20)
    for name in ("at",) if several else ():
        table.add_column(name, no_wrap=True)
    for name in ("turns", "cut off", "errors", "heard", "spoken", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in told["sessions"]:
        failures = int(row["failures"])
        table.add_row(
            f"{row['id']} away" if row["away"] else row["id"],
            _minutes(row["seconds"]),
            row["address"],
            row["key"],
            *((row["replica"],) if several else ()),
            str(row["turns"]),
            str(row["interrupted"]),
            Text(str(failures), style="red" if failures else ""),
            _minutes(row["audio_in_s"]),
            _minutes(row["audio_out_s"]),
            "unknown" if row["cost_usd"] is None else f"${row['cost_usd']:.4f}",
        )
    return table


def _minutes(seconds: float) -> str:
    """``3:07``; with hours ``1:02:07``."""
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
