"""The fault run in small: over real sockets, nobody is left without an answer and nothing is left behind; and what went
wrong would be seen."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from benchmarks.fault_run import hold_calls
from benchmarks.faults import fault_run

from antiphon.conversation.config import Providers
from antiphon.providers.http import Answer, Vendor
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedTurnModel,
    ScriptedVoiceDetector,
)

LEFT = ("sessions lost", "requests left under way", "tasks left", "connections left", "both, after closing")


def run_of(over: str) -> argparse.Namespace:
    return argparse.Namespace(turns=4, sessions=4, fallback="embedded", over=over, seed=1)


@pytest.mark.real_time
@pytest.mark.parametrize("over", ["http1", "http2", "sockets"])
async def test_a_few_callers_with_unsteady_vendors(over: str) -> None:
    figures = await fault_run(run_of(over))
    assert figures["turns answered"] == "100.00%"
    assert {name: figures[name] for name in LEFT} == dict.fromkeys(LEFT, "0")


@pytest.mark.real_time
async def test_what_every_request_leaves_behind_is_seen_though_closing_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = Vendor.ask
    monkeypatch.setattr("benchmarks.leftovers.SETTLES_S", 1.0)
    async with AsyncExitStack() as leaks:

        async def leak(vendor: Vendor) -> None:
            host, _, port = vendor.address.partition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            try:
                await asyncio.Event().wait()
            finally:
                writer.close()

        @asynccontextmanager
        async def leaking(self: Vendor, *args: Any, **more: Any) -> AsyncIterator[Answer]:
            leaking_now = asyncio.ensure_future(leak(self))
            leaks.callback(leaking_now.cancel)
            async with ask(self, *args, **more) as answer:
                yield answer

        monkeypatch.setattr(Vendor, "ask", leaking)
        figures = await fault_run(run_of("http1"))
    assert int(figures["tasks left"]) >= 8
    assert int(figures["connections left"]) >= 8


class OnceBroken(ScriptedVoiceDetector):
    """Fails its first session in a way that nobody thought of."""

    broke = False

    def open(self) -> Any:
        if not self.broke:
            self.broke = True
            raise KeyError("choices")
        return super().open()


async def test_a_session_that_breaks_is_counted_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    providers = Providers(
        recognizer=ScriptedRecognizer(),
        language_model=ScriptedLanguageModel(lambda _: "It is a number."),
        synthesizer=ScriptedSynthesizer(),
        voice_detector=OnceBroken(),
        turn_model=ScriptedTurnModel(),
    )
    outcome = await hold_calls(providers, sessions=3, turns=6)
    assert (outcome.lost, len(outcome.turns), outcome.answered) == (1, 4, 1.0)
    assert "KeyError" in capsys.readouterr().err
