"""llama.cpp's caller: slots, stopping, prefill, errors; on a scripted server, and on the real one."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.inference.conftest import Models

from antiphon.errors import ModelError, ProviderRejected, ProviderUnavailable
from antiphon.inference.llama import WAITING_LIMIT, Event, Llama, LlamaConfig

CONFIG = LlamaConfig(model_id="llm/scripted", slots=2)


class ScriptedServer:
    """Writes ``w0 w1 …`` until ``max_tokens`` or told to stop; each word waits for ``pace``."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.written: list[int] = []
        self.pace = threading.Semaphore(0)
        self.error: Exception | Event | None = None

    def handle_chat_completions(self, body: dict[str, Any], callback: Callable[[Event], bool], /) -> None:
        self.bodies.append(body)
        if isinstance(self.error, Exception):
            raise self.error
        if self.error is not None:
            callback(self.error)
            return
        at = len(self.written)
        self.written.append(0)
        for word in range(body["max_tokens"]):
            assert self.pace.acquire(timeout=10)
            if callback({"choices": [{"delta": {"content": f"w{word}"}}]}):
                return
            self.written[at] += 1
        callback({"choices": [], "timings": {"prompt_n": 7}})


def request(tokens: int = 3) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": tokens}


async def last(events: AsyncIterator[Event]) -> Event:
    """Read to the end."""
    latest: Event = {}
    async for event in events:
        latest = event
    return latest


async def words(llama: Llama, key: str = "ann", tokens: int = 3, stop_after: int = 1000) -> list[str]:
    heard: list[str] = []
    async with llama.generate(request(tokens), key=key) as events:
        async for event in events:
            heard += [choice["delta"]["content"] for choice in event["choices"]]
            if len(heard) >= stop_after:
                break
    return heard


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()


@pytest.fixture
def llama(server: ScriptedServer) -> Iterator[Llama]:
    with Llama(server, CONFIG) as llama:
        yield llama
        server.pace.release(10_000)


@pytest.mark.real_time
async def test_a_reply_streams_in_its_conversations_slot(llama: Llama, server: ScriptedServer) -> None:
    server.pace.release(100)
    assert await words(llama) == ["w0", "w1", "w2"]
    assert await words(llama, "bob") == ["w0", "w1", "w2"]
    assert await words(llama) == ["w0", "w1", "w2"]
    slots = [body["id_slot"] for body in server.bodies]
    assert slots[0] == slots[2] != slots[1]
    assert all(body["cache_prompt"] for body in server.bodies)


@pytest.mark.real_time
async def test_leaving_stops_the_writing_at_the_next_word(llama: Llama, server: ScriptedServer) -> None:
    server.pace.release(2)
    assert await words(llama, tokens=500, stop_after=2) == ["w0", "w1"]
    server.pace.release(1)
    # The slot comes free when the call has ended: this waits for it.
    server.pace.release(1)
    assert await words(llama, tokens=1) == ["w0"]
    assert server.written == [2, 1]


@pytest.mark.real_time
async def test_a_reply_waits_for_a_slot_first_come_first_served(llama: Llama, server: ScriptedServer) -> None:
    async with asyncio.TaskGroup() as group:
        for key in ("ann", "bob", "cleo", "dan"):
            group.create_task(words(llama, key, tokens=1))
            await asyncio.sleep(0)
        assert (llama.running, llama.waiting) == (2, 2)
        server.pace.release(4)
    assert (llama.running, llama.waiting) == (0, 0)


@pytest.mark.real_time
async def test_one_who_waits_for_its_own_slot_does_not_hold_up_others(
    llama: Llama, server: ScriptedServer
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(words(llama, "ann", tokens=1))
        await asyncio.sleep(0)
        again = group.create_task(words(llama, "ann", tokens=1))
        await asyncio.sleep(0)
        group.create_task(words(llama, "bob", tokens=1))
        await asyncio.sleep(0)
        assert (llama.running, llama.waiting) == (2, 1)
        assert not again.done()
        server.pace.release(3)


@pytest.mark.real_time
async def test_a_waiter_that_is_cancelled_leaves_its_place(llama: Llama, server: ScriptedServer) -> None:
    async with asyncio.TaskGroup() as group:
        for key in ("ann", "bob"):
            group.create_task(words(llama, key, tokens=1))
        await asyncio.sleep(0)
        third = group.create_task(words(llama, "cleo", tokens=1))
        fourth = group.create_task(words(llama, "dan", tokens=1))
        await asyncio.sleep(0)
        third.cancel()
        await asyncio.sleep(0)
        server.pace.release(3)
    assert fourth.result() == ["w0"]
    assert len(server.bodies) == 3


@pytest.mark.real_time
async def test_too_many_waiting_are_refused(llama: Llama, server: ScriptedServer) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(2 + WAITING_LIMIT):
            group.create_task(words(llama, f"session {number}", tokens=1))
        await asyncio.sleep(0)
        with pytest.raises(ProviderUnavailable, match="overloaded"):
            await words(llama, "one more")
        server.pace.release(100)


@pytest.mark.real_time
async def test_prefill_tells_what_was_new_and_is_stopped_by_the_reply(
    llama: Llama, server: ScriptedServer
) -> None:
    assert await llama.prefill(request(), key="ann") == 7
    assert await llama.prefill(request(), key="ann") == 7
    assert server.bodies[0]["max_tokens"] == 0
    server.pace.release(1)
    assert await words(llama, tokens=1) == ["w0"]
    assert server.bodies[0]["id_slot"] == server.bodies[1]["id_slot"]


@pytest.mark.real_time
async def test_prefill_gives_way_to_a_reply_under_way(llama: Llama, server: ScriptedServer) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(words(llama, tokens=1))
        await asyncio.sleep(0)
        assert await llama.prefill(request(), key="ann") == 0
        server.pace.release(1)
    assert len(server.bodies) == 1


@pytest.mark.real_time
async def test_a_conversation_too_long_is_rejected_with_both_numbers(
    llama: Llama, server: ScriptedServer
) -> None:
    server.error = {
        "error": {"type": "exceed_context_size_error", "code": 400, "n_prompt_tokens": 31, "n_ctx": 20}
    }
    with pytest.raises(ProviderRejected, match="31 tokens, and there is room for 20"):
        await words(llama)


@pytest.mark.real_time
async def test_a_request_that_cannot_be_read_is_rejected_and_a_failure_is_retryable(
    llama: Llama, server: ScriptedServer
) -> None:
    server.error = ValueError("bad role")
    with pytest.raises(ProviderRejected, match="bad role"):
        await words(llama)
    server.error = RuntimeError("no memory")
    with pytest.raises(ProviderUnavailable, match="no memory"):
        await words(llama)
    server.error = {"error": {"code": 503, "message": "loading"}}
    with pytest.raises(ProviderUnavailable, match="loading"):
        await words(llama)


@pytest.mark.real_time
async def test_closing_ends_replies_under_way(server: ScriptedServer) -> None:
    llama = Llama(server, CONFIG)
    server.pace.release(1)
    async with llama.generate(request(100), key="ann") as events:
        assert await anext(events)
        closing = asyncio.ensure_future(asyncio.to_thread(llama.close))
        server.pace.release(100)
        with pytest.raises(ProviderUnavailable, match="shutting down"):
            await last(events)
    await closing
    with pytest.raises(ProviderUnavailable, match="shutting down"):
        await words(llama)


# ---- the real one -----------------------------------------------------------------------------------------

SMOLLM = "llm/smollm2-135m"


@pytest.fixture(scope="module")
def smollm(models: Models) -> Iterator[Llama]:
    # One thread: on a busy machine, two that wait for each other at every operation crawl.
    config = LlamaConfig(model_id=SMOLLM, slots=2, slot_tokens=512, threads=1)
    with Llama.open(models[SMOLLM].main, config) as llama:
        yield llama


def story(tokens: int, user: str = "Tell me a long story about a dog.") -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": user}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream_options": {"include_usage": True},
    }


async def timings(llama: Llama, body: dict[str, Any], key: str) -> dict[str, float]:
    """llama.cpp's own count of a whole reply: ``cache_n``, ``prompt_n``, ``predicted_n``."""
    async with llama.generate(body, key=key) as events:
        counted: dict[str, float] = (await last(events))["timings"]
    return counted


@pytest.mark.models
@pytest.mark.real_time
async def test_a_second_turn_evaluates_only_what_is_new(smollm: Llama) -> None:
    first = await timings(smollm, story(8), "ann")
    assert first["cache_n"] == 0
    again = await timings(smollm, story(8), "ann")
    assert again["prompt_n"] == 1
    assert again["cache_n"] == first["prompt_n"] - 1


@pytest.mark.models
@pytest.mark.real_time
async def test_prefill_leaves_little_for_the_reply_to_evaluate(smollm: Llama) -> None:
    partial = {**story(1, "Tell me how many days there are in a"), "add_generation_prompt": False}
    evaluated = await smollm.prefill(partial, key="prefilled")
    assert evaluated > 10
    whole = await timings(smollm, story(4, "Tell me how many days there are in a leap year."), "prefilled")
    assert whole["prompt_n"] < 14


@pytest.mark.models
@pytest.mark.real_time
async def test_leaving_stops_generation_within_a_token(smollm: Llama) -> None:
    """What was written and kept in the slot's cache tells how far it went on: the same story told again finds in
    the cache the prompt and what was written of the answer."""
    prompt = await timings(smollm, story(1), "stopped")
    length = int(prompt["cache_n"] + prompt["prompt_n"])
    heard = ""
    pieces = 0
    async with smollm.generate(story(300), key="stopped") as events:
        async for event in events:
            for choice in event.get("choices", ()):
                piece = choice["delta"].get("content") or ""
                heard += piece
                pieces += bool(piece)
            if pieces == 5:
                break
    body = story(1)
    body["messages"].append({"role": "assistant", "content": heard + " and so on and on"})
    counted = await timings(smollm, body, "stopped")
    assert counted["cache_n"] <= length + pieces + 1


@pytest.mark.models
@pytest.mark.real_time
async def test_a_conversation_longer_than_the_context_is_rejected_and_nothing_else_is_disturbed(
    smollm: Llama,
) -> None:
    with pytest.raises(ProviderRejected, match="there is room for 512"):
        await timings(smollm, story(4, "word " * 600), "long")
    assert (await timings(smollm, story(4), "long"))["predicted_n"] == 4


@pytest.mark.models
@pytest.mark.real_time
async def test_a_conversation_whose_slot_was_taken_comes_back_without_being_evaluated_again(
    smollm: Llama,
) -> None:
    asked = story(4, "Tell me about dogs. " + "They are nice animals and I like them. " * 10)
    first = await timings(smollm, asked, "parked")
    for key in ("other", "another"):
        await timings(smollm, story(4, "What about cats? " + "I have two of them at home. " * 10), key)
    again = await timings(smollm, asked, "parked")
    assert first["prompt_n"] > 90
    assert again["prompt_n"] == 1


@pytest.mark.models
@pytest.mark.real_time
async def test_more_conversations_than_slots_are_all_answered(smollm: Llama) -> None:
    async with asyncio.TaskGroup() as group:
        told = [group.create_task(timings(smollm, story(6, f"Story {n}."), f"many {n}")) for n in range(5)]
    assert [task.result()["predicted_n"] for task in told] == [6] * 5


@pytest.mark.models
def test_loading_leaves_signals_threads_and_ports_alone(models: Models) -> None:
    """llama.cpp's server installs signal handlers and listens; ours must keep its handlers, and no TCP port opens."""
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    threads = set(threading.enumerate())
    asked: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        with Llama.open(models[SMOLLM].main, LlamaConfig(model_id=SMOLLM, slots=1, slot_tokens=256)):
            os.kill(os.getpid(), signal.SIGTERM)
            sockets = [
                os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_socket(fd)
            ]
            listening = _listening_tcp_inodes()
            assert not [name for name in sockets if name.removeprefix("socket:[").rstrip("]") in listening]
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert asked == [signal.SIGTERM]
    assert {name: signal.getsignal(name) for name in before} == before
    assert set(threading.enumerate()) == threads


@pytest.mark.models
def test_a_file_cut_short_says_what_to_do(models: Models, tmp_path: Any) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(models[SMOLLM].main.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="antiphon models pull llm/smollm2-135m"):
        Llama.open(cut, LlamaConfig(model_id=SMOLLM))
    with pytest.raises(ModelError, match="is not there"):
        Llama.open(tmp_path / "none.gguf", LlamaConfig(model_id=SMOLLM))


def _is_socket(descriptor: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    except OSError:
        return False


def _listening_tcp_inodes() -> set[str]:
    inodes: set[str] = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        if os.path.exists(table):
            with open(table, encoding="ascii") as rows:
                inodes |= {row.split()[9] for row in list(rows)[1:] if row.split()[3] == "0A"}
    return inodes
