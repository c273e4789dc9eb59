"""ElevenLabs over WebSockets: one socket for many replies, a context for each, and an honest word when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
from benchmarks.vendor_servers.elevenlabs_sockets import KEY, VOICE, ElevenLabsSockets, elevenlabs_sockets

from antiphon.audio.coded_speech import coded_text
from antiphon.errors import ProviderEmpty, ProviderError, ProviderRejected, ProviderUnavailable
from antiphon.providers.base import SpeechChunk, SpeechOptions, WordTime
from antiphon.providers.elevenlabs import Account, ElevenLabsStreamInput, open_stream_input, stream_input
from antiphon.providers.resilience.treatment import treatment_of
from antiphon.providers.sockets import Address

RATE = 24_000


@asynccontextmanager
async def voice(
    *, key: str = KEY, model: str = "eleven_flash_v2_5"
) -> AsyncIterator[tuple[ElevenLabsStreamInput, ElevenLabsSockets]]:
    async with elevenlabs_sockets() as vendor:
        account = Account(api_key=key, model=model, base_url=vendor.url)
        async with open_stream_input(account) as synthesizer:
            yield synthesizer, vendor


async def say(
    synthesizer: ElevenLabsStreamInput, text: str, context: str = "s1:r1", **options: object
) -> list[SpeechChunk]:
    asked = SpeechOptions(context_id=context, **options)  # type: ignore[arg-type]
    async with asyncio.timeout(10), synthesizer.speak(text, asked) as sound:
        return [chunk async for chunk in sound]


def heard(chunks: list[SpeechChunk]) -> str:
    return coded_text(b"".join(chunk.pcm for chunk in chunks), rate=RATE)


def words(chunks: list[SpeechChunk]) -> list[WordTime]:
    return [word for chunk in chunks for word in chunk.words]


@pytest.mark.real_time
async def test_a_clause_is_spoken_and_its_words_are_timed() -> None:
    async with voice() as (synthesizer, vendor):
        text = "Hello there, how are you?"
        chunks = await say(synthesizer, text)
        assert heard(chunks) == "Hello there, how are you?"
        assert [text[: word.end_char].split()[-1] for word in words(chunks)] == text.split()
        assert [word.end_s for word in words(chunks)] == pytest.approx(
            [0.15, 0.36, 0.48, 0.6, 0.75], abs=0.002
        )
        assert vendor.accepted == 1


@pytest.mark.real_time
async def test_clauses_of_a_reply_share_a_context_and_replies_share_a_socket() -> None:
    async with voice() as (synthesizer, vendor):
        await synthesizer.warm()
        for reply in range(12):
            async with (
                asyncio.TaskGroup() as group
            ):  # as the engine does: the second is asked for beside the first
                first = group.create_task(say(synthesizer, "One two.", f"s1:r{reply}", language="en"))
                second = group.create_task(say(synthesizer, "Three four.", f"s1:r{reply}", language="en"))
            assert heard(first.result()) == "One two."
            assert heard(second.result()) == "Three four."
            assert words(second.result())[0].start_s == pytest.approx(0.0, abs=0.001)
        assert vendor.accepted == 1
        contexts = [spoken.context for spoken in vendor.spoken]
        assert len(contexts) == 24
        assert len(set(contexts)) == 12
        assert contexts[0::2] == contexts[1::2]
        assert vendor.most_contexts <= 5


@pytest.mark.real_time
async def test_ten_replies_at_once_take_no_more_sockets_than_they_must() -> None:
    async with voice() as (synthesizer, vendor):
        vendor.manners.first_s = 0.05
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(say(synthesizer, f"Reply number {n}.", f"s{n}:r1")) for n in range(10)]
        assert [heard(task.result()) for task in tasks] == [f"Reply number {n}." for n in range(10)]
        assert vendor.accepted == 2
        assert vendor.most_contexts == 5


@pytest.mark.real_time
@pytest.mark.parametrize("manner", ["drift", "straddle", "flush_done"])
async def test_the_manners_of_the_vendor_do_not_matter(manner: str) -> None:
    async with voice() as (synthesizer, vendor):
        setattr(vendor.manners, manner, True)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(say(synthesizer, "A first-time customer, is it?"))
            second = group.create_task(say(synthesizer, "Yes it is."))
        assert heard(first.result()) == "A first-time customer, is it?"
        assert heard(second.result()) == "Yes it is."
        assert len(words(second.result())) == 3


@pytest.mark.real_time
async def test_without_alignment_clauses_still_end() -> None:
    async with voice() as (synthesizer, vendor):
        vendor.manners.alignment = False
        for number in range(3):
            assert heard(await say(synthesizer, "No times here.", f"s1:r{number}")) == "No times here."
        # From the third on each clause has a context of its own, closed at once: nothing is waited out.
        assert len(set(vendor.closed)) == 3


@pytest.mark.real_time
async def test_what_nobody_listens_to_is_closed_and_the_socket_goes_on() -> None:
    async with voice() as (synthesizer, vendor):
        vendor.manners.gap_s = 0.02
        async with synthesizer.speak(
            "A very long story begins here.", SpeechOptions(context_id="s1:r1")
        ) as sound:
            await anext(aiter(sound))
        await vendor.until(lambda: vendor.closed)
        assert vendor.closed == [vendor.spoken[0].context]
        assert heard(await say(synthesizer, "Something else.", "s1:r2")) == "Something else."
        assert vendor.accepted == 1


@pytest.mark.real_time
async def test_a_cancelled_clause_leaves_the_others_of_its_reply_alone() -> None:
    async with voice() as (synthesizer, vendor):
        vendor.manners.first_s = 0.02
        async with synthesizer.speak("Dropped.", SpeechOptions(context_id="s1:r1")):
            other = asyncio.ensure_future(say(synthesizer, "Kept to the end."))
            await vendor.until(lambda: len(vendor.spoken) == 2)
        assert heard(await other) == "Kept to the end."
        assert vendor.closed == []


@pytest.mark.real_time
async def test_an_idle_socket_that_the_vendor_closes_is_opened_again() -> None:
    async with voice() as (synthesizer, vendor):
        await say(synthesizer, "Before.")
        await vendor.drop()
        await vendor.until(lambda: vendor.accepted == 2 and len(vendor.sockets) == 1)
        assert heard(await say(synthesizer, "After.", "s1:r2")) == "After."
        assert vendor.accepted == 2


@pytest.mark.real_time
async def test_a_turn_after_the_vendor_has_closed_an_idle_socket_opens_none() -> None:
    async with voice() as (synthesizer, vendor):
        vendor.manners.inactivity_s = 0.05
        await synthesizer.warm()
        await vendor.until(lambda: not vendor.sockets)
        vendor.manners.inactivity_s = None
        await vendor.until(lambda: vendor.sockets)
        assert heard(await say(synthesizer, "After a while.", language="en")) == "After a while."
        assert vendor.accepted == 2


@pytest.mark.real_time
async def test_voice_language_and_speed_are_passed_on() -> None:
    async with voice() as (synthesizer, vendor):
        await say(synthesizer, "Bonjour.", voice="sarah", language="fr", speed=2.0)
        assert vendor.sockets[0].query == {
            "model_id": "eleven_flash_v2_5",
            "output_format": "pcm_24000",
            "auto_mode": "true",
            "sync_alignment": "true",
            "inactivity_timeout": "180",
            "language_code": "fr",
        }
        assert vendor.spoken[0].settings == {"speed": 1.2}
        await say(synthesizer, "Encore.", "s1:r2", voice=VOICE, language="fr")
        assert vendor.spoken[1].settings == {}
        assert vendor.accepted == 1


class Place:
    """Where sockets live that say nothing, and end only when they are hung up."""

    def __init__(self) -> None:
        self.open_now: list[str] = []
        """The languages of those that are open, in the order in which they were opened."""
        self.opened = 0
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Place:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.__aexit__(None, None, None)

    async def open(self, address: Address, *, connect_s: float) -> Wire:
        await asyncio.sleep(0.1)
        self.opened += 1
        wire = Wire(self, parse_qs(urlsplit(address.url).query)["language_code"][0])
        self.open_now.append(wire.language)
        return wire

    def serve(
        self, line: Wire, received: Callable[[str], None], lost: Callable[[ProviderError], None]
    ) -> None:
        line.lost = lost

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        self._tasks.create_task(work)


class Wire:
    def __init__(self, place: Place, language: str) -> None:
        self.opened_s = self.heard_s = asyncio.get_running_loop().time()
        self.alive = True
        self.language = language
        self.lost: Callable[[ProviderError], None] = lambda error: None
        self._place = place

    def post(self, message: object) -> None:
        assert self.alive

    def hang_up(self, error: ProviderError | None = None) -> None:
        self.alive = False
        self._place.open_now.remove(self.language)
        gone = ProviderUnavailable("hung up", provider="v:m", cause="cut")
        asyncio.get_running_loop().call_soon(self.lost, error or gone)


@pytest.fixture
def two_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_input, "MOST_LINES", 2)


def over(place: Place) -> ElevenLabsStreamInput:
    return ElevenLabsStreamInput(Account(api_key=KEY, language="en"), place)  # type: ignore[arg-type]


def asks(
    voice: ElevenLabsStreamInput, language: str
) -> AbstractAsyncContextManager[AsyncIterator[SpeechChunk]]:
    return voice.speak("Hello.", SpeechOptions(language=language))


@pytest.mark.usefixtures("two_sockets")
async def test_the_socket_that_was_idle_for_the_longest_makes_room_for_another() -> None:
    async with Place() as place:
        speaker = over(place)
        await speaker.warm()
        for language in ("de", "fr", "it"):
            await asyncio.sleep(1.0)
            async with asks(speaker, language):
                pass
            assert place.open_now == ["en", language], "the usual one is kept"
        await asyncio.sleep(300.0)
        assert place.opened == 4, "what made room is not opened again in the background"


@pytest.mark.usefixtures("two_sockets")
async def test_where_somebody_speaks_over_every_socket_the_next_is_refused_and_the_vendor_not_blamed() -> (
    None
):
    async with Place() as place, AsyncExitStack() as speaking:
        speaker = over(place)
        for language in ("de", "fr"):
            await speaking.enter_async_context(asks(speaker, language))
        with pytest.raises(ProviderRejected, match="2 sockets") as refused:
            await speaking.enter_async_context(asks(speaker, "it"))
        assert not treatment_of(refused.value).counts
        await speaking.aclose()
        async with asks(speaker, "it"):
            assert place.open_now == ["fr", "it"]


@pytest.mark.usefixtures("two_sockets")
async def test_many_at_once_open_no_more_sockets_than_there_may_be() -> None:
    async with Place() as place:
        speaker = over(place)
        await speaker.warm()

        async def ask(language: str) -> None:
            async with asks(speaker, language):
                pass

        await asyncio.gather(
            *(ask(language) for language in ("de", "fr", "it", "es")), return_exceptions=True
        )
        assert len(place.open_now) <= 2


FAULTS = [
    ("cut", ProviderUnavailable, "cut", ""),
    ("empty", ProviderEmpty, "empty", ""),
    ("huge", ProviderUnavailable, "malformed", ""),
    ("malformed", ProviderUnavailable, "malformed", ""),
    ("not_base64", ProviderUnavailable, "malformed", ""),
    ("half_sample", ProviderUnavailable, "malformed", ""),
    ("quota_exceeded", ProviderRejected, "quota", "ANTIPHON_ELEVENLABS_API_KEY"),
    ("too_many_concurrent_requests", ProviderUnavailable, "rate_limit", ""),
    ("system_busy", ProviderUnavailable, "overloaded", ""),
]


@pytest.mark.real_time
@pytest.mark.parametrize(("fault", "kind", "cause", "names"), FAULTS, ids=[fault[0] for fault in FAULTS])
async def test_faults_have_a_cause_and_the_next_clause_is_spoken(
    fault: str, kind: type[ProviderError], cause: str, names: str
) -> None:
    async with voice() as (synthesizer, vendor):
        vendor.faults.append(fault)
        with pytest.raises(kind) as raised:
            await say(synthesizer, "This one will not be heard to its end.")
        assert raised.value.cause == cause
        assert raised.value.provider == "elevenlabs:eleven_flash_v2_5"
        assert names in raised.value.message
        assert KEY not in raised.value.message
        assert heard(await say(synthesizer, "This one will.", "s1:r2")) == "This one will."


@pytest.mark.real_time
async def test_a_vendor_that_stops_in_the_middle_is_asked_whether_that_was_all() -> None:
    async with voice() as (synthesizer, vendor):
        vendor.faults.append("stop")
        assert heard(await say(synthesizer, "Half of this is said and then no more.")) == "Half of this"
        assert len(vendor.closed) == 1


@pytest.mark.real_time
async def test_a_stalled_clause_can_be_left() -> None:
    async with voice() as (synthesizer, vendor):
        vendor.faults.append("stall")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await say(synthesizer, "Nothing comes.")
        assert heard(await say(synthesizer, "Something comes.", "s1:r2")) == "Something comes."
        assert vendor.accepted == 1


REFUSALS = [
    (401, {"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}, "bad_key", "_API_KEY"),
    (401, {"detail": {"status": "quota_exceeded", "message": "Quota."}}, "quota", "_API_KEY"),
    (
        404,
        {"detail": {"status": "voice_not_found", "message": "No voice."}},
        "unknown_voice",
        "ANTIPHON_VOICE",
    ),
    (400, {"detail": {"status": "model_not_found", "message": "No model."}}, "unknown_model", "ANTIPHON_TTS"),
    (429, {"detail": {"status": "too_many_concurrent_requests", "message": "Busy."}}, "rate_limit", ""),
    (503, {"detail": {"status": "system_busy", "message": "Busy."}}, "overloaded", ""),
]


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("status", "body", "cause", "setting"), REFUSALS, ids=[f"{r[0]}-{r[2]}" for r in REFUSALS]
)
async def test_refused_handshakes(status: int, body: dict[str, object], cause: str, setting: str) -> None:
    async with voice() as (synthesizer, vendor):
        vendor.refusals.append((status, body))
        with pytest.raises(ProviderError) as raised:
            await say(synthesizer, "Hello.")
        assert raised.value.cause == cause
        assert setting in raised.value.message


@pytest.mark.real_time
async def test_a_wrong_key_a_wrong_voice_and_a_wrong_model_are_named() -> None:
    async with voice(key="xi-wrong") as (synthesizer, _):
        with pytest.raises(ProviderRejected, match="ANTIPHON_ELEVENLABS_API_KEY") as raised:
            await say(synthesizer, "Hello.")
        assert "xi-wrong" not in raised.value.message
    async with voice() as (synthesizer, _):
        with pytest.raises(ProviderRejected, match="ANTIPHON_VOICE") as raised:
            await say(synthesizer, "Hello.", voice="nobody")
        assert raised.value.cause == "unknown_voice"
    async with voice(model="eleven_nothing") as (synthesizer, _):
        with pytest.raises(ProviderRejected, match="ANTIPHON_TTS") as raised:
            await say(synthesizer, "Hello.")
        assert raised.value.cause == "unknown_model"


@pytest.mark.real_time
async def test_another_sample_rate_than_promised_is_noticed() -> None:
    async with voice() as (synthesizer, vendor):
        vendor.manners.rate = 16_000
        with pytest.raises(ProviderRejected, match="24000 Hz") as raised:
            await say(synthesizer, "This sounds like a squirrel does.")
        assert raised.value.cause == "wrong_rate"


@pytest.mark.real_time
async def test_nobody_there() -> None:
    async with open_stream_input(Account(api_key=KEY, base_url="http://127.0.0.1:9")) as synthesizer:
        with pytest.raises(ProviderUnavailable, match="ANTIPHON_ELEVENLABS_BASE_URL") as raised:
            await say(synthesizer, "Hello.")
        assert raised.value.cause == "unreachable"
