"""``ANTIPHON_MAX_SESSIONS=auto``: what a conversation costs on this machine, measured once the models are warm.

Only what runs here is measured: a provider elsewhere would send a bill for it. The measure is processor time of this
process, so that what else the machine does at that moment does not count against it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import numpy as np

from antiphon.conversation.config import Providers
from antiphon.inference.profiles import available_cores, available_memory
from antiphon.providers.base import (
    SPEECH_RATE,
    VOICE_FRAME,
    LanguageOptions,
    Message,
    ProviderInfo,
    SpeechOptions,
    Text,
)
from antiphon.sessions.capacity import ConversationCost, capacity
from antiphon.telemetry.logs import logger

SOCKET_CORES = 0.008
"""Socket, engine and pacing of one conversation: 20 callers of `antiphon load` against scripted providers took 14 % of
a core, of a two-core machine."""

SESSION_BYTES = 4 * 2**20
"""Those 20 added 28 MB in half a minute, 1.4 MB each; and each keeps its last minute and a half of sound, up
to 3 MB."""

TURN_EVERY_S = 8.0
"""How often a turn comes in a lively conversation."""

TRIES = 2
"""The first try pays for what was not warm; the last one counts."""

EAR_S = 3.2
TURN_S = 2.0
REPLY_TOKENS = 24
SENTENCE = "It is seven minutes past nine, and the rain will stop before noon."

Work = Callable[[Providers], Awaitable[None]]

log = logger(__name__)


async def measured_capacity(providers: Providers) -> int:
    """Conversations that this machine holds. Takes a few seconds with embedded models, next to nothing without."""
    ear = await _processor_s(_listen, providers) / EAR_S
    turn = await _processor_s(_turn, providers)
    cost = ConversationCost(cores=SOCKET_CORES + ear + turn / TURN_EVERY_S, memory_bytes=SESSION_BYTES)
    cores, memory = available_cores(), available_memory()
    found = capacity(cores=cores, memory_bytes=memory, cost=cost)
    log.info(
        "capacity measured",
        max_sessions=found,
        cores=cores,
        free_mb=memory // 2**20,
        ear_share=round(ear, 4),
        turn_s=round(turn, 3),
        session_share=round(cost.cores, 4),
    )
    return found


async def _processor_s(work: Work, providers: Providers) -> float:
    """Processor seconds, of all threads of this process."""
    spent = 0.0
    for _ in range(TRIES):
        begun = time.process_time()
        await work(providers)
        spent = time.process_time() - begun
    return max(0.0, spent)


async def _listen(providers: Providers) -> None:
    """The detector, on some seconds of a quiet room."""
    stream = providers.voice_detector.open()
    sound = _noise(EAR_S)
    size = VOICE_FRAME * 2
    for at in range(0, len(sound) - size + 1, size):
        await stream.detect(sound[at : at + size])


async def _turn(providers: Providers) -> None:
    """One turn, as far as it is made here."""
    sound = _noise(TURN_S)
    if providers.turn_model is not None and _here(providers.turn_model.info):
        await providers.turn_model.end_of_turn(sound)
    if _here(providers.recognizer.info):
        async with providers.recognizer.open() as stream:
            await stream.send(sound)
            await stream.finish()
            async for _ in stream:
                pass
    if _here(providers.language_model.info):
        options = LanguageOptions(max_tokens=REPLY_TOKENS, cache_key="capacity")
        asked = [Message(role="user", content="What time is it, and will it rain today?")]
        async with providers.language_model.reply(asked, options) as deltas:
            async for delta in deltas:
                if not isinstance(delta, Text):
                    break
    if _here(providers.synthesizer.info):
        async with providers.synthesizer.speak(SENTENCE, SpeechOptions()) as chunks:
            async for _ in chunks:
                pass


def _here(info: ProviderInfo) -> bool:
    return info.provider == "local"


def _noise(seconds: float) -> bytes:
    """A quiet room: what most of a conversation sounds like to the ear. The same each time."""
    samples = np.random.default_rng(7).normal(0.0, 120.0, round(seconds * SPEECH_RATE))
    return samples.astype("<i2").tobytes()
