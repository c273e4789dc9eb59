"""What ``antiphon call`` shows: for people, and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from antiphon.cli.own_server import Ready
from antiphon.cli.waterfall import waterfall

if TYPE_CHECKING:
    from antiphon.cli.call import CallResult


def call_object(result: CallResult) -> dict[str, Any]:
    """One line of ``--json`` (docs/cli.md)."""
    said = result.said
    done = said.exchange.latency if said is not None else None
    return {
        "file": result.label,
        "transcript": said.exchange.transcript if said is not None else "",
        "reply": said.exchange.reply if said is not None else "",
        "first_sound_ms": said.first_sound_ms if said is not None else None,
        "latency_ms": dict(done.latency_ms) if done is not None else {},
        "reply_wav": str(result.reply_wav) if result.reply_wav is not None else None,
        "error": result.error or None,
        "notes": list(result.notes),
    }


def show_call(console: Console, result: CallResult, *, why: bool) -> None:
    """The call as a dialogue, its waterfall, and its decisions."""
    console.print(Text(result.label, style="bold"))
    for note in result.notes:
        console.print(Text(f"  {note}", style="dim"))
    if result.said is not None:
        _show_words(console, result)
        done = result.said.exchange.latency
        if done is not None and done.stages:
            first_sound_ms = result.said.first_sound_ms
            console.print(waterfall(done, first_sound_ms=first_sound_ms, columns=console.width))
        if why:
            _show_decisions(console, result)
    if result.reply_wav is not None:
        console.print(Text(f"  sound written to {result.reply_wav}", style="dim"))
    if result.error:
        console.print(Text(f"  {result.error}", style="red"))
    console.print()


def _show_words(console: Console, result: CallResult) -> None:
    assert result.said is not None
    exchange = result.said.exchange
    if exchange.transcript:
        console.print(Text("  you       ", style="cyan").append(exchange.transcript, style="default"))
    if exchange.reply:
        cut = any(done.interrupted for done in exchange.done)
        console.print(Text("  antiphon  ", style="green").append(exchange.reply, style="default"))
        if cut:
            console.print(
                Text("            (it was interrupted; of that reply, what was heard is shown)", style="dim")
            )
    elif not result.error:
        console.print(
            Text(
                "  nothing was answered"
                if exchange.transcript
                else "  no speech was heard; nothing was answered"
            )
        )


def _show_decisions(console: Console, result: CallResult) -> None:
    assert result.said is not None
    for decision in result.said.exchange.decisions:
        details = ", ".join(f"{name} {_figure(value)}" for name, value in decision.details.items())
        console.print(
            Text(f"  {decision.at_ms / 1000:7.2f} s  ", style="dim")
            .append(f"{decision.kind:<11}", style="yellow")
            .append(decision.reason)
            .append(f"  {details}" if details else "", style="dim")
        )


def _figure(value: float | str | bool) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def loading_line(console: Console) -> Callable[[Ready], None]:
    """Shows once how far our own server's models are, as that changes; nothing when there is no terminal."""
    shown = ""

    def tell(ready: Ready) -> None:
        nonlocal shown
        line = ", ".join(_progress(model) for model in ready["models"] if model["stage"] != "warm")
        if console.is_terminal and line and line != shown:
            console.print(Text(line, style="dim"))
            shown = line

    return tell


def _progress(model: dict[str, Any]) -> str:
    name, stage, total = model["id"], model["stage"], model["total_bytes"]
    if stage == "downloading" and total:
        # In steps of a tenth: a line each is enough.
        return f"{name} {stage} {model['done_bytes'] * 10 // total * 10} %"
    return f"{name} {stage}"
