"""Who is let in, what is counted, and what can be chosen."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from antiphon.conversation import events
from antiphon.conversation.config import Providers
from antiphon.conversation.listening import SessionFacts
from antiphon.errors import ClientError, DrainingError, LoadingError, ModelError, RefusedError
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedVoiceDetector,
)
from antiphon.sessions.admission import refusal
from antiphon.sessions.audience import Audience
from antiphon.sessions.caller import Caller
from antiphon.sessions.offer import Assistant, Offer, Voice
from antiphon.sessions.readiness import ModelProgress, Readiness
from antiphon.sessions.registry import Registry
from antiphon.sessions.session import Session
from antiphon.sessions.store import Holding
from antiphon.sessions.telling import LINES


def assistant() -> Assistant:
    return Assistant(
        providers=Providers(
            recognizer=ScriptedRecognizer(),
            language_model=ScriptedLanguageModel(),
            synthesizer=ScriptedSynthesizer(),
            voice_detector=ScriptedVoiceDetector(),
        )
    )


def open_registry(max_sessions: int = 2) -> Registry:
    readiness = Readiness()
    readiness.open(assistant())
    return Registry(readiness=readiness, max_sessions=max_sessions)


class Hearing:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.heard: list[events.Event] = []

    def opened(self, session: SessionFacts) -> None: ...

    def told(self, session_id: str, event: events.Event) -> None:
        self.heard.append(event)

    def closed(self, session_id: str, reason: str) -> None: ...

    def refused(self, reason: str) -> None: ...


def test_listeners_hear_all_but_sound_and_pieces_of_text() -> None:
    audience, hearing = Audience(), Hearing()
    begun = events.ReplyStarted(turn_id="t1", reply_id="r1")
    with audience.joined(hearing):
        for event in (
            begun,
            events.ReplyAudio(reply_id="r1", pcm=b"\0\0"),
            events.ReplyText(reply_id="r1", text="Hello"),
        ):
            audience.told("a session", event)
    assert hearing.heard == [begun]


# ---- admission


@given(st.integers(0, 100), st.integers(1, 100), st.booleans(), st.booleans())
def test_a_caller_is_let_in_only_when_all_is_well(live: int, limit: int, ready: bool, draining: bool) -> None:
    refused = refusal(live=live, limit=limit, ready=ready, draining=draining)
    assert (refused is None) == (live < limit and ready and not draining)
    again = refusal(live=live, limit=limit, ready=ready, draining=draining, returning=True)
    assert refused is not None or again is None, "who comes back is let in wherever a new one is"
    if again is None:
        assert live < limit + max(1, limit / 10)
    if refused is not None:
        assert refused.retryable
        assert refused.retry_after_s


def test_the_reason_is_the_one_that_lasts_longest() -> None:
    assert isinstance(refusal(live=9, limit=9, ready=False, draining=True), DrainingError)
    assert isinstance(refusal(live=9, limit=9, ready=False, draining=False), LoadingError)
    busy = refusal(live=9, limit=9, ready=True, draining=False)
    assert busy is not None
    assert (busy.code, "all 9" in busy.message) == ("busy", True)


# ---- the registry


def test_a_full_registry_lets_in_again_when_someone_leaves() -> None:
    registry = open_registry(max_sessions=1)
    with registry.session() as first:
        assert list(registry.live) == [first]
        with pytest.raises(RefusedError), registry.session():
            pass
    assert not registry.live
    with registry.session() as second:
        assert second.id != first.id


def test_a_place_that_was_not_needed_is_free_at_once() -> None:
    registry = open_registry(max_sessions=1)
    with registry.arrival() as place:
        assert registry.full
        registry.give_back(place)
        with registry.arrival() as next_one:
            assert next_one.right == "new"
    assert registry.empty


def test_who_has_said_nothing_has_a_place_and_is_in_no_conversation() -> None:
    registry = open_registry(max_sessions=1)
    with registry.arrival():
        assert (registry.live, registry.full, registry.empty) == ((), True, False)
        with registry.arrival() as standing:
            with pytest.raises(RefusedError):
                registry.admit(standing)
    with registry.session() as session:
        assert registry.live == (session,)
        assert not registry.empty


def test_a_session_that_fails_gives_its_place_back() -> None:
    registry = open_registry(max_sessions=1)
    with pytest.raises(ZeroDivisionError), registry.session():
        raise ZeroDivisionError
    assert not registry.live


def test_names_are_short_and_hard_to_guess() -> None:
    registry = open_registry(max_sessions=1)
    names = set()
    for _ in range(100):
        with registry.session() as session:
            names.add(session.id)
    assert len(names) == 100
    assert all(len(name) == 12 for name in names)


def test_nobody_is_let_in_before_it_is_ready() -> None:
    registry = Registry(readiness=Readiness(), max_sessions=1)
    with pytest.raises(LoadingError), registry.session():
        pass


async def test_draining_lets_nobody_in_and_ends_with_the_last() -> None:
    registry = open_registry()
    with registry.session():
        registry.drain()
        assert not registry.readiness.ready
        with pytest.raises(DrainingError), registry.session():
            pass
        emptied = asyncio.ensure_future(registry.emptied())
        await asyncio.sleep(0)
        assert not emptied.done()
    await emptied


# ---- a session


def done(reply_id: str, *, interrupted: bool = False) -> events.ReplyDone:
    return events.ReplyDone(turn_id="t", reply_id=reply_id, text="", latency_ms={}, interrupted=interrupted)


async def test_a_session_is_idle_when_every_reply_is_done() -> None:
    session = Session(id="s")
    await session.idle()
    session.observe(events.ReplyStarted(turn_id="t", reply_id="r1"))
    session.observe(events.ReplyStarted(turn_id="t", reply_id="r2"))
    session.observe(done("r1", interrupted=True))
    idle = asyncio.ensure_future(session.idle())
    await asyncio.sleep(0)
    assert not idle.done()
    session.observe(done("r2"))
    await idle


def test_a_session_counts() -> None:
    session = Session(id="s")
    for event in (
        events.TranscriptChanged(turn_id="t1", text="what is", final=False),
        events.TranscriptChanged(turn_id="t1", text="what is it", final=True),
        events.TranscriptChanged(turn_id="t2", text="", final=True),
        events.ReplyStarted(turn_id="t1", reply_id="r1"),
        events.AudioDone(reply_id="r1", total_ms=1500),
        done("r1", interrupted=True),
        events.Failed(code="provider_failed", message="no", retryable=False),
    ):
        session.observe(event)
    counts = session.counts
    assert (counts.turns, counts.replies, counts.interrupted, counts.failures) == (1, 1, 1, 1)
    assert counts.audio_out_s == 1.5


# ---- what is on offer

OFFER = Offer(
    voices=(Voice(id="joe", name="Joe", language="en"), Voice(id="ana", name="Ana", language="es")),
    default_voice="joe",
    languages=("en", "es"),
    any_language=False,
)


def test_known_wishes_are_met() -> None:
    assert OFFER.check_voice("") == "joe"
    assert OFFER.check_voice("ana") == "ana"
    assert [OFFER.check_language(language) for language in ("auto", "es")] == ["auto", "es"]


def test_an_unknown_voice_or_language_names_those_there_are() -> None:
    with pytest.raises(ClientError, match="no voice 'hal'; choose one of joe, ana"):
        OFFER.check_voice("hal")
    with pytest.raises(ClientError, match="'tlh' is not known; choose one of auto, en, es"):
        OFFER.check_language("tlh")


def test_without_a_list_any_code_is_passed_through_but_no_nonsense() -> None:
    anything = Offer()
    assert anything.check_voice("whatever") == "whatever"
    assert anything.check_language("de") == "de"
    with pytest.raises(ClientError, match="auto, or another ISO 639-1 code"):
        anything.check_language("klingonese")


def test_a_long_list_is_not_recited() -> None:
    many = Offer(voices=tuple(Voice(id=f"v{n}", name="", language="") for n in range(54)))
    with pytest.raises(ClientError) as caught:
        many.check_voice("x")
    assert "(54 in all)" in caught.value.message
    assert len(caught.value.message) < 120


# ---- readiness


def test_readiness_tells_how_far_and_what_failed() -> None:
    readiness = Readiness()
    readiness.report(ModelProgress(id="a", stage="queued"))
    readiness.report(ModelProgress(id="b", stage="queued"))
    readiness.report(ModelProgress(id="a", stage="downloading", done_bytes=5, total_bytes=10))
    assert [(model.id, model.stage) for model in readiness.models] == [("a", "downloading"), ("b", "queued")]
    readiness.fail(ModelError("no network", model_id="a"))
    assert not readiness.ready
    assert [readiness.failure is None] == [False]
    readiness.begin()
    assert [readiness.failure, *readiness.models] == [None]
    readiness.open(assistant())
    assert readiness.ready


# ---- what is logged of strangers


async def test_a_stranger_with_wrong_tokens_cannot_fill_the_log() -> None:
    registry, stranger, name = open_registry(), Caller(address="192.0.2.66"), "session00001"
    store = registry.backing.store
    await store.create(name, Holding(), token=b"its own", record=b"")
    await store.release(name, Holding(), b"")
    with capture_logs() as lines:
        for session_id in [name, "session00002"] * 50:
            assert await registry.find(session_id, "guess", stranger) is None
        assert await registry.find(name, "guess", Caller(address="192.0.2.67")) is None
    told = [line["address"] for line in lines if line["event"] == "resume refused"]
    assert told.count("192.0.2.66") == LINES.count
    assert told.count("192.0.2.67") == 1
