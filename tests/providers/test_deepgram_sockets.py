"""Deepgram over WebSockets: words while they are said, and one socket for one utterance after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
from benchmarks.vendor_servers.deepgram_sockets import KEY, DeepgramSockets, deepgram_sockets

from antiphon.audio.coded_speech import silence, speech_sound
from antiphon.errors import ProviderError, ProviderRejected, ProviderUnavailable
from antiphon.providers.base import Transcript, Usage
from antiphon.providers.deepgram import Account, DeepgramRecognizer, line, open_recognizer
from antiphon.providers.sockets import Address

FRAME = 640
"""Bytes of 20 ms."""


@asynccontextmanager
async def recognizer(
    *, key: str = KEY, model: str = "nova-3", expects: str = ""
) -> AsyncIterator[tuple[DeepgramRecognizer, DeepgramSockets]]:
    async with deepgram_sockets() as vendor:
        account = Account(api_key=key, base_url=vendor.url)
        async with open_recognizer(account, model=model, expects=expects) as asked:
            yield asked, vendor


def frames(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + FRAME] for at in range(0, len(pcm), FRAME)]


async def hear(
    asked: DeepgramRecognizer, pcm: bytes, language: str | None = None, prompt: str = ""
) -> list[Transcript]:
    async with asyncio.timeout(10), asked.open(language=language, prompt=prompt) as stream:
        for frame in frames(pcm):
            await stream.send(frame)
        await stream.finish()
        return [transcript async for transcript in stream]


@pytest.mark.real_time
async def test_words_come_while_they_are_said() -> None:
    async with recognizer() as (asked, _):
        *interim, final = await hear(asked, speech_sound("what time is it"))
        assert [transcript.text for transcript in interim] == [
            "what",
            "what time",
            "what time is",
            "what time is it",
        ]
        assert not any(transcript.final for transcript in interim)
        assert final == Transcript(
            text="what time is it", final=True, language="en", confidence=0.9, usage=Usage(audio_s=0.96)
        )


@pytest.mark.real_time
async def test_its_own_endpointing_makes_words_final_and_is_passed_on() -> None:
    async with recognizer() as (asked, vendor), asyncio.timeout(10), asked.open() as stream:
        transcripts = aiter(stream)
        ended = []
        for text in ("turn it off", "right now"):
            for frame in frames(speech_sound(text) + silence(0.22)):
                await stream.send(frame)
            while not (interim := await anext(transcripts)).ended:
                pass
            ended.append(interim.text)
        assert ended == ["turn it off", "turn it off right now"]
        await stream.finish()
        assert (await anext(transcripts)).final
        # All was final before it was asked for: nothing had to be flushed.
        assert vendor.sockets[0].asked.get("Finalize", 0) == 0


@pytest.mark.real_time
async def test_one_socket_hears_a_hundred_utterances() -> None:
    async with recognizer() as (asked, vendor):
        await asked.warm()
        for number in range(100):
            *_, final = await hear(asked, speech_sound(f"number {number}"))
            assert final.text == f"number {number}"
        assert vendor.accepted == 1


@pytest.mark.real_time
async def test_silence_has_no_words() -> None:
    async with recognizer() as (asked, vendor):
        (final,) = await hear(asked, silence(0.5))
        assert final == Transcript(text="", final=True, usage=Usage(audio_s=0.5))
        (final,) = await hear(asked, b"")
        assert final == Transcript(text="", final=True)
        assert vendor.accepted == 1


@pytest.mark.real_time
async def test_an_utterance_that_is_left_is_not_heard_in_the_next() -> None:
    async with recognizer() as (asked, vendor):
        vendor.answer_s = 0.01
        async with asked.open() as stream:
            for frame in frames(speech_sound("never mind that")):
                await stream.send(frame)
            await vendor.until(lambda: vendor.heard_s > 0.3)
        *_, final = await hear(asked, speech_sound("something new"))
        assert final.text == "something new"
        await vendor.until(lambda: all(socket.asked.get("Finalize") for socket in vendor.sockets))
        *_, final = await hear(asked, speech_sound("and more"))
        assert final.text == "and more"
        assert vendor.accepted <= 2


@pytest.mark.real_time
async def test_two_utterances_at_once_have_a_socket_each() -> None:
    async with recognizer() as (asked, vendor):
        async with asyncio.TaskGroup() as group:
            one = group.create_task(hear(asked, speech_sound("one speaker")))
            two = group.create_task(hear(asked, speech_sound("another speaker")))
        assert one.result()[-1].text == "one speaker"
        assert two.result()[-1].text == "another speaker"
        assert vendor.accepted == 2
        await hear(asked, speech_sound("again"))
        assert vendor.accepted == 2


@pytest.mark.real_time
async def test_a_flush_that_is_not_answered_closes_the_socket_and_gets_the_words() -> None:
    async with recognizer() as (asked, vendor):
        vendor.faults.append("no_finalize")
        *_, final = await hear(asked, speech_sound("do not lose this"))
        assert final.text == "do not lose this"
        *_, final = await hear(asked, speech_sound("nor this"))
        assert final.text == "nor this"


@pytest.mark.real_time
async def test_an_idle_socket_that_is_dropped_is_opened_again() -> None:
    async with recognizer() as (asked, vendor):
        await hear(asked, speech_sound("before"))
        await vendor.drop()
        await vendor.until(lambda: vendor.accepted == 2 and len(vendor.sockets) == 1)
        *_, final = await hear(asked, speech_sound("after"))
        assert final.text == "after"
        assert vendor.accepted == 2


class Endless:
    """A place for sockets, and its sockets: none of them ever ends by itself."""

    def __init__(self) -> None:
        self.opened_s = asyncio.get_running_loop().time()
        self.alive = True
        self.sockets: list[tuple[str, Endless]] = []
        self.told: list[object] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, address: Address, *, connect_s: float) -> Endless:
        socket = Endless()
        self.sockets.append((parse_qs(urlsplit(address.url).query)["language"][0], socket))
        return socket

    def serve(self, line: object, received: object, lost: object) -> None:
        """Nothing is said."""

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    def post(self, message: dict[str, str]) -> None:
        self.told.append(message.get("type"))

    def hang_up(self) -> None:
        """It does not end even so."""

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()


async def test_of_sockets_that_nobody_needs_only_the_usual_one_is_kept() -> None:
    lines = Endless()
    asked = DeepgramRecognizer(Account(api_key=KEY), lines, language="en")  # type: ignore[arg-type]
    await asked.warm()
    async with asked.open(language="en"), asked.open(language="en"), asked.open(language="fr"):
        pass
    still = [lines.sockets]
    for wait_s in (300.0, 900.0, 2_000.0):
        await asyncio.sleep(wait_s)
        still.append([(language, line) for language, line in lines.sockets if "CloseStream" not in line.told])
    lines.close()
    assert [sorted(language for language, _ in left) for left in still] == [
        ["en", "en", "fr"],
        ["en", "fr"],
        ["en"],
        ["en"],
    ]


@pytest.mark.real_time
async def test_what_is_asked_for() -> None:
    async with recognizer() as (asked, vendor):
        *_, final = await hear(asked, speech_sound("hallo"), language="de")
        assert final.language == "de"
        assert vendor.sockets[0].query == {
            "model": "nova-3",
            "language": "de",
            "encoding": "linear16",
            "sample_rate": "16000",
            "channels": "1",
            "interim_results": "true",
            "smart_format": "true",
            "no_delay": "true",
            "endpointing": "200",
            "utterance_end_ms": "1000",
            "vad_events": "true",
        }
    async with recognizer(model="base") as (asked, vendor):
        await hear(asked, speech_sound("hello"))
        assert "language" not in vendor.sockets[0].query


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("nova-3", {"keyterm": "Antiphon,Frau Nguyễn"}),
        ("nova-2", {"keywords": "Antiphon,Frau,Nguyễn"}),
        ("whisper-large", {}),
    ],
)
async def test_what_callers_will_say_is_told_as_each_model_takes_it(model: str, told: dict[str, str]) -> None:
    async with recognizer(model=model, expects=" Antiphon, Frau Nguyễn,") as (asked, vendor):
        await hear(asked, speech_sound("hello"), prompt="of one utterance")
        query = vendor.sockets[0].query
        assert {name: query[name] for name in query if name.startswith("key") or name == "prompt"} == told


FAULTS = [
    ("cut", "cut"),
    ("malformed", "malformed"),
    ("nonsense", "malformed"),
    ("error", "invalid_request"),
    ("data", "invalid_request"),
    ("net", "cut"),
]


@pytest.mark.real_time
@pytest.mark.parametrize(("fault", "cause"), FAULTS)
async def test_faults_have_a_cause_and_the_next_utterance_is_heard(fault: str, cause: str) -> None:
    async with recognizer() as (asked, vendor):
        vendor.faults.append(fault)
        with pytest.raises(ProviderError) as raised:
            await hear(asked, speech_sound("this one is lost"))
        assert raised.value.cause == cause
        assert raised.value.provider == "deepgram:nova-3"
        assert KEY not in raised.value.message
        *_, final = await hear(asked, speech_sound("this one is not"))
        assert final.text == "this one is not"


@pytest.mark.real_time
async def test_a_stalled_utterance_can_be_left() -> None:
    async with recognizer() as (asked, vendor):
        vendor.faults.append("stall")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await hear(asked, speech_sound("nobody answers"))
        *_, final = await hear(asked, speech_sound("somebody does"))
        assert final.text == "somebody does"


@pytest.mark.real_time
async def test_a_vendor_that_does_not_end_a_socket_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "DRAIN_S", 0.05)
    monkeypatch.setattr(line, "GOODBYE_S", 0.05)
    async with recognizer() as (asked, vendor):
        vendor.faults.append("stall")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await hear(asked, speech_sound("nobody answers"))
        await vendor.until(lambda: vendor.accepted == 2 and len(vendor.sockets) == 1)


REFUSALS = [
    (401, {"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."}, "bad_key", "DEEPGRAM_API_KEY"),
    (402, {"err_code": "ASR_PAYMENT_REQUIRED", "err_msg": "No credits."}, "quota", "DEEPGRAM_API_KEY"),
    (429, {"err_code": "TOO_MANY_REQUESTS", "err_msg": "Too many requests."}, "rate_limit", ""),
    (503, {"err_code": "INTERNAL", "err_msg": "Unavailable."}, "overloaded", ""),
]


@pytest.mark.real_time
@pytest.mark.parametrize(("status", "body", "cause", "setting"), REFUSALS, ids=[r[2] for r in REFUSALS])
async def test_refused_handshakes(status: int, body: dict[str, object], cause: str, setting: str) -> None:
    async with recognizer() as (asked, vendor):
        vendor.refusals.append((status, body))
        with pytest.raises(ProviderError) as raised:
            await hear(asked, speech_sound("hello"))
        assert raised.value.cause == cause
        assert setting in raised.value.message


@pytest.mark.real_time
async def test_a_wrong_key_and_a_wrong_model_are_named() -> None:
    async with recognizer(key="dg-wrong") as (asked, _):
        with pytest.raises(ProviderRejected, match="ANTIPHON_DEEPGRAM_API_KEY") as raised:
            await hear(asked, speech_sound("hello"))
        assert raised.value.cause == "bad_key"
        assert "dg-wrong" not in raised.value.message
    async with recognizer(model="nova-99") as (asked, _):
        with pytest.raises(ProviderRejected, match="ANTIPHON_ASR") as raised:
            await asked.warm()
        assert raised.value.cause == "unknown_model"


@pytest.mark.real_time
async def test_nobody_there() -> None:
    async with open_recognizer(Account(api_key=KEY, base_url="http://127.0.0.1:9")) as asked:
        with pytest.raises(ProviderUnavailable, match="ANTIPHON_DEEPGRAM_BASE_URL") as raised:
            await hear(asked, speech_sound("hello"))
        assert raised.value.cause == "unreachable"
