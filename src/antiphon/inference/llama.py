"""Language models in this process: llama.cpp through xllamacpp, shared by all sessions.

llama.cpp has a thread of its own that decodes all live replies together, one batch after the other
(continuous batching). Each reply lives in a *slot*, whose key-value cache holds its conversation; ``slots``
keeps a session on its slot, so that a turn evaluates only what is new. A call into llama.cpp blocks a thread
and hands over each piece in a callback; the callback's answer is the one way to stop it, so prompts are
evaluated in small batches (``batch_tokens``): a cancel takes effect within one token, or one such batch.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from antiphon.errors import ModelError, ProviderError, ProviderRejected, ProviderUnavailable
from antiphon.inference.onnx import damaged, import_extra, missing
from antiphon.inference.openmp import lend_openmp
from antiphon.inference.slots import Slots

Event = dict[str, Any]
"""A chunk of an OpenAI-shaped chat completion stream, as llama.cpp writes it."""

WAITING_LIMIT = 16
"""Replies waiting for a slot. One takes about 2 s on two cores and four run at once, so the sixteenth begins
after about eight seconds: later than that, the fallback should answer."""


SPIN_COUNT = "1000"
"""How often OpenMP's threads look for work before they sleep, if the environment does not say. They meet several
times a layer, and by default spin for about a millisecond when one of them is not running: beside a voice at work,
prompts are then evaluated at a third of the speed (28 against 93 tokens a second, SmolLM2 on two cores), and alone
only a few percent faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaConfig:
    """How to load and run one model."""

    model_id: str
    """Catalog id or path, for messages."""
    threads: int = 2
    """Cores that evaluate prompts."""
    writing_threads: int = 2
    """Cores that write replies."""
    slots: int = 4
    """Conversations whose cache is kept, and replies written at once."""
    parked_mib: int = 48
    """Memory, in MiB, for the caches of conversations whose slot another one took; one of 500 tokens takes 6 to 8.
    They come back in a few milliseconds, where evaluating them again takes seconds."""
    slot_tokens: int = 2048
    """Context of one conversation, prompt and reply."""
    batch_tokens: int = 32
    """Prompt tokens evaluated between two chances to stop, or to let other replies go on. A batch of 32 runs
    within a tenth as fast as one of 128 (about 0.1 s with a model of 135 million parameters, 1 s with 1.5
    billion)."""


class LlamaServer(Protocol):
    """What is used of ``xllamacpp.Server``, which has no types of its own."""

    def handle_chat_completions(self, body: dict[str, Any], callback: Callable[[Event], bool], /) -> None:
        """Blocks, calling ``callback`` with each event on this thread, until the end or until it returns True."""


class Llama:
    """One loaded model. A context manager: leaving it stops all replies and frees the model."""

    def __init__(self, server: LlamaServer, config: LlamaConfig) -> None:
        self.config = config
        self._name = f"local:{config.model_id.rpartition('/')[2]}"
        self._slots = Slots(config.slots)
        self._waiting: deque[tuple[str, asyncio.Future[int]]] = deque()
        self._prefills: dict[int, _Generation] = {}
        self._closing = threading.Event()
        self._threads = ThreadPoolExecutor(config.slots, thread_name_prefix="llama")
        self._server: LlamaServer | None = server

    @classmethod
    def open(cls, path: Path, config: LlamaConfig) -> Llama:
        """Load the GGUF file at ``path``. Blocks for 0.3-3 s. Raises ``ModelError``."""
        return cls(open_server(path, config), config)

    @asynccontextmanager
    async def generate(self, request: Mapping[str, Any], *, key: str) -> AsyncIterator[AsyncIterator[Event]]:
        """Stream the answer to an OpenAI-shaped chat ``request`` in the slot of conversation ``key``.

        Leaving the context, at any time and by any way, stops it within a token and does not wait for that.
        Raises ``ProviderUnavailable`` when too many wait, and ``ProviderRejected`` (from the iterator) when
        the request cannot be answered, such as one longer than the context.
        """
        self._stop_prefill(key)
        slot = await self._slot(key)
        generation = self._start(request, slot)
        try:
            async with aclosing(generation.events()) as events:
                yield events
        finally:
            generation.stop()

    async def prefill(self, request: Mapping[str, Any], *, key: str) -> int:
        """Evaluate the prompt of ``request`` into the slot of ``key``; returns the tokens that were new.

        Does nothing when the conversation's slot is busy, or no slot is free. A later ``generate`` for the
        same key stops it and goes on from where it was. Safe to cancel.
        """
        slot = self._slots.take(key)
        if slot is None:
            return 0
        generation = self._start({**request, "max_tokens": 0}, slot)
        self._prefills[slot] = generation
        try:
            evaluated = 0
            async for event in generation.events():
                evaluated = event.get("timings", {}).get("prompt_n", evaluated)
            return evaluated
        finally:
            generation.stop()
            if self._prefills.get(slot) is generation:
                del self._prefills[slot]

    @property
    def waiting(self) -> int:
        """Replies waiting for a slot."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Replies being written, and prompts being evaluated."""
        return self._slots.busy

    def close(self) -> None:
        """Stop everything and free the model. Blocks until the current batch is done."""
        self._closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._server = None

    def __enter__(self) -> Llama:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stop_prefill(self, key: str) -> None:
        slot = self._slots.owned_by(key)
        if slot is not None and slot in self._prefills:
            self._prefills[slot].stop()

    async def _slot(self, key: str) -> int:
        """A busy slot for ``key``, first come, first served. Safe to cancel."""
        if self._closing.is_set():
            raise self._shutting_down()
        if not self._waiting and (slot := self._slots.take(key)) is not None:
            return slot
        if len(self._waiting) >= WAITING_LIMIT:
            raise ProviderUnavailable(
                f"The language model is overloaded ({len(self._waiting)} replies are waiting).",
                provider=self._name,
                retry_after_s=5.0,
            )
        granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, granted))
        self._grant()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._slots.release(granted.result())
                self._grant()
            raise

    def _grant(self) -> None:
        """Give free slots to those who wait. One who waits for a busy slot of its own holds up no other."""
        still: deque[tuple[str, asyncio.Future[int]]] = deque()
        for key, granted in self._waiting:
            if granted.done():
                continue
            slot = self._slots.take(key)
            if slot is None:
                still.append((key, granted))
            else:
                granted.set_result(slot)
        self._waiting = still

    def _start(self, request: Mapping[str, Any], slot: int) -> _Generation:
        """Call llama.cpp on a thread. The slot is released when that call has ended, however the caller left, and
        before its end is told: who hears of it can begin anew."""
        loop = asyncio.get_running_loop()
        generation = _Generation(self._name, self._closing, loop)
        # Progress makes a callback after each batch of the prompt: a chance to stop before the first token.
        body = {**request, "id_slot": slot, "cache_prompt": True, "stream": True, "return_progress": True}

        def ended(call: Future[None]) -> None:
            self._slots.release(slot)
            generation.end(None if call.cancelled() else call.exception())
            _tell(loop, self._grant)

        try:
            call = self._threads.submit(self._call, body, generation)
        except RuntimeError:  # shut down since the slot was taken
            self._slots.release(slot)
            raise self._shutting_down() from None
        call.add_done_callback(ended)
        return generation

    def _call(self, body: dict[str, Any], generation: _Generation) -> None:
        """One blocking call, on its thread."""
        assert self._server is not None, "calls end before the model is freed"
        try:
            self._server.handle_chat_completions(body, generation.hear)
        except (ValueError, TypeError) as error:  # what llama.cpp makes of a request it cannot read
            message = f"The language model refused the request: {error}"
            raise ProviderRejected(message, provider=self._name) from error
        except RuntimeError as error:
            raise ProviderUnavailable(f"The language model failed: {error}", provider=self._name) from error

    def _shutting_down(self) -> ProviderUnavailable:
        return ProviderUnavailable("The language model is shutting down.", provider=self._name)


class _Generation:
    """One call into llama.cpp, between its thread and the event loop."""

    def __init__(self, provider: str, closing: threading.Event, loop: asyncio.AbstractEventLoop) -> None:
        self._provider = provider
        self._closing = closing
        self._loop = loop
        self._stopped = False
        # Unbounded, but holds at most one event a token, and a slot's context bounds those.
        self._queue: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()

    def stop(self) -> None:
        """Have the next callback end the call."""
        self._stopped = True

    def hear(self, event: Event) -> bool:
        """llama.cpp's callback, on its thread: take the event; True ends the call."""
        if self._stopped or self._closing.is_set():
            return True
        if (error := event.get("error")) is not None:
            self._put(_provider_error(error, self._provider))
        else:
            self._put(event)
        return False

    def end(self, error: BaseException | None) -> None:
        """The call has ended, on its thread, with ``error`` or well."""
        self._put(error)

    async def events(self) -> AsyncGenerator[Event, None]:
        """What was heard, until the call ended. Raises ``ProviderError``."""
        while (event := await self._queue.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
        if self._closing.is_set():
            raise ProviderUnavailable("The language model is shutting down.", provider=self._provider)

    def _put(self, item: Event | BaseException | None) -> None:
        _tell(self._loop, partial(self._queue.put_nowait, item))


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    """Have the event loop do it, from another thread. A loop that has closed has nobody left to tell."""
    try:
        loop.call_soon_threadsafe(what)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _provider_error(error: Mapping[str, Any], provider: str) -> ProviderError:
    """llama.cpp's error object → ours."""
    if error.get("type") == "exceed_context_size_error":
        return ProviderRejected(
            f"The conversation is too long for the language model: {error.get('n_prompt_tokens')} tokens, "
            f"and there is room for {error.get('n_ctx')}.",
            provider=provider,
        )
    message = f"The language model failed: {error.get('message', 'no reason given')}"
    if error.get("code") in (500, 503):
        return ProviderUnavailable(message, provider=provider)
    return ProviderRejected(message, provider=provider)


def _import_runtime(model_id: str) -> Any:
    """xllamacpp, with ctranslate2's OpenMP where the system has none."""
    try:
        return import_extra("xllamacpp", extra="local", model_id=model_id)
    except ModelError as error:
        if "libgomp" not in error.message:
            raise
        if not lend_openmp():
            raise ModelError(
                f"{model_id} needs OpenMP's runtime, libgomp.so.1. Install it with the system's packages "
                "(Debian and Ubuntu: apt-get install libgomp1).",
                model_id=model_id,
            ) from error
    return import_extra("xllamacpp", extra="local", model_id=model_id)


def open_server(path: Path, config: LlamaConfig) -> LlamaServer:
    """Load the model; its threads inherit the calling thread's niceness. llama.cpp insists on an HTTP listener:
    it gets a socket file in a private folder, so that nobody else can reach it."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    runtime = _import_runtime(config.model_id)
    if not path.is_file():
        raise missing(path, model_id=config.model_id)
    params = runtime.CommonParams()
    params.model.path = str(path)
    params.n_parallel = config.slots
    params.n_ctx = config.slots * config.slot_tokens
    params.n_batch = params.n_ubatch = config.batch_tokens
    params.cpuparams_batch.n_threads = config.threads
    params.cpuparams.n_threads = config.writing_threads
    # Eight bits for keys and values: half the memory, the same speed and answers; needs flash attention.
    params.cache_type_k = params.cache_type_v = runtime.ggml_type.GGML_TYPE_Q8_0
    params.flash_attn_type = runtime.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cache_ram_mib = config.parked_mib
    params.cache_idle_slots = False
    params.fit_params = False
    params.warmup = False
    params.n_threads_http = 1
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = -1
    with tempfile.TemporaryDirectory(prefix="antiphon-") as private:
        params.hostnames = [f"{private}/llama.sock"]
        try:
            server: LlamaServer = runtime.Server(params)
            return server
        except RuntimeError as error:
            raise damaged(config.model_id) from error
