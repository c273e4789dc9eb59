"""What ``antiphon load`` shows to people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from antiphon.load.report import Report, Spread


def show_load(console: Console, report: Report) -> None:
    """One table, what went wrong beneath it, and how far the callers themselves are to be trusted."""
    console.print(
        f"{report.callers} callers ({report.most_live} at once) for {report.took_s:g} s: {report.calls} calls, "
        f"{report.turns} turns, {report.sound_in_s / 60:.1f} min said, {report.sound_out_s / 60:.1f} min heard"
    )
    console.print(_spreads(report))
    console.print(_counts(report))
    for name, counts in (
        ("not let in", report.refused),
        ("errors", report.errors),
        ("connections that ended unasked", report.closes),
        ("notices", report.notices),
    ):
        if counts:
            console.print(f"{name}: {_listed(counts)}")
    late = report.own_late_ms
    console.print(
        Text(
            f"The callers themselves took {report.own_cpu_share:.0%} of a core; their timer was late by "
            f"{_figure(late.p99)} ms at p99.",
            style="dim",
        )
    )
    if report.sound:
        console.print(Text("No turn and no conversation was lost, and none taken twice.", style="green"))
    else:
        console.print(Text(_verdict(report), style="red"))


def _spreads(report: Report) -> Table:
    table = Table("", "p50", "p95", "p99", "max", "count", box=None, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    rows: tuple[tuple[str, Spread], ...] = (
        ("end of speech → first sound, ms", report.first_sound_ms),
        ("interruption → silence, ms", report.interruption_ms),
        ("gap inside a reply, ms", report.gap_ms),
        ("connection lost → had again, s", report.reconnect_s),
        ("longest time not let in, s", report.without_service_s),
    )
    for name, spread in rows:
        figures = (spread.p50, spread.p95, spread.p99, spread.max)
        table.add_row(name, *map(_figure, figures), str(spread.count))
    return table


def _counts(report: Report) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row(
        "turns",
        f"{report.answered} answered, {report.interrupted} interrupted on purpose, {report.unheard} never heard, "
        f"{report.unanswered} never answered, {report.doubled} taken twice, {report.said_again} said again after a "
        "broken connection",
    )
    table.add_row(
        "replies",
        f"{report.replies} sounded, {report.gaps} gaps ({report.gap_share:.2%} of the sound), {report.cut_short} cut "
        f"short for no reason, {report.early} begun before the caller had ended",
    )
    table.add_row(
        "connections",
        f"{report.dropped} dropped on purpose, {report.moved} moved, {report.broken} broken; {report.resumed} resumed, "
        f"{report.conversations_lost} conversations lost, {report.kept_away} callers kept away to the end; "
        f"{report.messages_repeated} messages came again, "
        f"{report.messages_missing} never came",
    )
    return table


def _verdict(report: Report) -> str:
    if not report.turns:
        return "Nothing was said: no caller was let in."
    return (
        f"{report.lost} turns lost, {report.doubled} taken twice, {report.conversations_lost} conversations lost, "
        f"{report.kept_away} callers kept away to the end."
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {name}" for name, count in sorted(counts.items()))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
