"""``antiphon doctor --providers``: one small real call to everybody whom the settings name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

from antiphon.app.adapters import OWN, Choices, build_adapters
from antiphon.app.local import (
    LocalModels,
    Spoken,
    catalog_entry,
    chosen_profile,
    model_ref,
    model_store,
    open_models,
)
from antiphon.app.vendors import Vendors, Warmable, open_vendors
from antiphon.audio.resample import resample
from antiphon.audio.sample import question_pcm
from antiphon.cli.finding import Finding
from antiphon.errors import AntiphonError, ProviderError
from antiphon.providers.base import (
    SPEECH_RATE,
    Finished,
    LanguageModel,
    LanguageOptions,
    Message,
    Recognizer,
    SpeechOptions,
    Synthesizer,
    Text,
)
from antiphon.providers.resilience.treatment import cause_of
from antiphon.settings import ProviderChoice, Settings

LONGEST_CALL_S = 30.0
"""A server that loads a model first is waited for so long."""

REPLY_TOKENS = 16
SENTENCE = "Hello."
QUESTION = (Message(role="user", content="Say ok."),)

ADVICE = {
    "bad_key": "Copy the key again from the vendor's page; a revoked one looks the same as a mistyped one.",
    "quota": "Add credit on the vendor's page, or put another provider after a comma.",
    "rate_limit": "Try again in a minute; a fallback after a comma serves callers meanwhile.",
    "unknown_model": "Correct the model's name after the colon in {setting}.",
    "invalid_request": "See what the vendor says; often it is the model's name after the colon in {setting}.",
    "unknown_voice": "Correct ANTIPHON_VOICE; leave it empty for the voice's own.",
    "unreachable": "See whether the address is right and the server runs; a fallback after a comma serves callers "
    "meanwhile.",
    "tls": "See whether the address begins with the right one of http:// and https://, and the certificate is valid.",
    "not_an_api": "Correct the base URL: it ends where the API begins, usually with /v1.",
    "wrong_rate": "Set ANTIPHON_OPENAI_PCM_RATE to the rate that the server speaks in.",
    "timeout": "See whether the server is busy; ANTIPHON_PROVIDER_TIMEOUTS gives a slow one more time.",
}
"""Cause → what to do."""

PARTS: dict[Spoken, tuple[str, str]] = {
    "asr": ("hears", "words"),
    "llm": ("writes", "first word"),
    "tts": ("speaks", "first sound"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCheck:
    """How one call went."""

    kind: Spoken
    position: int
    """0 is the preferred one, 1 its first fallback."""
    provider: str
    """As the settings name it."""
    outcome: str = "ok"
    """``ok``, ``unchecked``, or the cause of the failure."""
    model: str = ""
    """The model that answered, where the provider says."""
    connect_ms: float | None = None
    """To open the connection, TLS included; None where there is none."""
    first_ms: float | None = None
    """From the request to the first word or sound."""
    total_ms: float | None = None
    gave: str = ""
    """What came, for people."""
    problem: str = ""

    @property
    def finding(self) -> Finding:
        """As ``doctor`` shows it."""
        does, first = PARTS[self.kind]
        about = f"{self.kind} {'fallback' if self.position else does}"
        setting = f"ANTIPHON_{self.kind.upper()}"
        if self.outcome == "unchecked":
            return Finding(about=about, level="note", text=f"{self.provider}: {self.problem}")
        if self.outcome != "ok":
            advice = ADVICE.get(self.outcome, "").format(setting=setting)
            return Finding(about=about, level="fail", text=self.problem, advice=advice)
        times = [("connection", self.connect_ms), (first, self.first_ms), ("all", self.total_ms)]
        shown = ", ".join(f"{name} {ms:.0f} ms" for name, ms in times if ms is not None)
        model = f" as {self.model}" if self.model and not self.provider.endswith(self.model) else ""
        return Finding(about=about, level="ok", text=f"{self.provider}{model}: {shown}; {self.gave}")

    def as_json(self) -> dict[str, Any]:
        """Finding and figures in one object."""
        return asdict(self.finding) | asdict(self)


@dataclass(slots=True)
class _Given:
    """What a call is asked for beside the usual, and what it gave when."""

    voice: str = ""
    first: float | None = None
    model: str = ""
    gave: str = ""


async def check_providers(settings: Settings) -> list[ProviderCheck]:
    """One call to each, the chains beside each other, one after the other in a chain."""
    chains: Choices = {"asr": settings.asr, "llm": settings.llm, "tts": settings.tts}
    async with AsyncExitStack() as stack:
        vendors = await stack.enter_async_context(open_vendors(settings))
        checked = await asyncio.gather(
            *(_check_chain(settings, kind, chain, vendors) for kind, chain in chains.items())
        )
    return [check for chain in checked for check in chain]


async def _check_chain(
    settings: Settings, kind: Spoken, chain: Sequence[ProviderChoice], vendors: Vendors
) -> list[ProviderCheck]:
    checks: list[ProviderCheck] = []
    for position, choice in enumerate(chain):
        check = ProviderCheck(kind=kind, position=position, provider=str(choice))
        try:
            async with asyncio.timeout(LONGEST_CALL_S):
                checks.append(await _check(settings, check, choice, vendors))
        except TimeoutError:
            problem = f"{choice} did not answer within {LONGEST_CALL_S:g} s"
            checks.append(replace(check, outcome="timeout", problem=problem))
        except ProviderError as error:
            checks.append(replace(check, outcome=cause_of(error), problem=error.message))
        except AntiphonError as error:
            checks.append(replace(check, outcome=error.code, problem=error.message))
    return checks


async def _check(
    settings: Settings, check: ProviderCheck, choice: ProviderChoice, vendors: Vendors
) -> ProviderCheck:
    refs = _local_ref(settings, check.kind, choice)
    if refs is None:
        return replace(check, outcome="unchecked", problem="not here yet; antiphon models pull fetches it")
    async with open_models(settings, refs, lambda _: None) as local:
        adapter = await _adapter(settings, check.kind, choice, local, vendors)
        connect_ms = await _connected(adapter) if choice.provider not in OWN else None
        loop = asyncio.get_running_loop()
        # Callers' own voice is the preferred provider's; a fallback speaks in its own.
        given, began = _Given(voice="" if check.position else settings.voice), loop.time()
        await CALLS[check.kind](adapter, given, loop.time)
        ended = loop.time()
    return replace(
        check,
        provider=adapter.info.name,
        model=given.model,
        connect_ms=connect_ms,
        first_ms=None if given.first is None else (given.first - began) * 1000,
        total_ms=(ended - began) * 1000,
        gave=given.gave,
    )


def _local_ref(settings: Settings, kind: Spoken, choice: ProviderChoice) -> dict[Any, str] | None:
    """The embedded model to load, if it is one; None when it would have to be fetched first."""
    if choice.provider != "local":
        return {}
    profile, _ = chosen_profile(settings)
    ref = model_ref(choice, kind, profile)
    store = model_store(settings)
    entry = catalog_entry(store, ref, kind)
    return {kind: ref} if entry is None or not store.problems(entry) else None


async def _adapter(
    settings: Settings, kind: Spoken, choice: ProviderChoice, local: LocalModels, vendors: Vendors
) -> Any:
    alone: dict[Spoken, Sequence[ProviderChoice]] = {"asr": (), "llm": (), "tts": ()}
    built = await build_adapters(settings, alone | {kind: (choice,)}, local, vendors)
    return [*built.recognizers, *built.language_models, *built.synthesizers][0]


async def _connected(adapter: object) -> float | None:
    """Milliseconds to open a connection. Raises ProviderError."""
    if not isinstance(adapter, Warmable):
        return None
    loop = asyncio.get_running_loop()
    began = loop.time()
    await adapter.warm()
    return (loop.time() - began) * 1000


async def _hears(recognizer: Recognizer, given: _Given, now: Callable[[], float]) -> None:
    async with recognizer.open(language="en") as stream:
        await stream.send(resample(question_pcm(), SPEECH_RATE, recognizer.info.sample_rate))
        await stream.finish()
        async for transcript in stream:
            given.first = given.first or now()
            if transcript.final:
                given.gave = f"understood {transcript.text!r}" if transcript.text else "understood nothing"
                break


async def _writes(model: LanguageModel, given: _Given, now: Callable[[], float]) -> None:
    text = ""
    async with model.reply(QUESTION, LanguageOptions(max_tokens=REPLY_TOKENS)) as deltas:
        async for delta in deltas:
            match delta:
                case Text():
                    given.first = given.first or now()
                    text += delta.text
                case Finished():
                    given.model = delta.model
                case _:
                    pass
    given.gave = f"wrote {text.strip()!r}"
    _refuse_nothing(model.info.name, text.strip())


async def _speaks(synthesizer: Synthesizer, given: _Given, now: Callable[[], float]) -> None:
    seconds = 0.0
    async with synthesizer.speak(SENTENCE, SpeechOptions(language="en", voice=given.voice)) as chunks:
        async for chunk in chunks:
            given.first = given.first or now()
            seconds += len(chunk.pcm) / 2 / synthesizer.info.sample_rate
    given.gave = f"{seconds:.1f} s of sound at {synthesizer.info.sample_rate} Hz"
    _refuse_nothing(synthesizer.info.name, seconds)


def _refuse_nothing(name: str, given: object) -> None:
    if not given:
        raise ProviderError(f"{name} answered with nothing", provider=name, cause="empty")


CALLS: dict[Spoken, Callable[..., Any]] = {"asr": _hears, "llm": _writes, "tts": _speaks}
