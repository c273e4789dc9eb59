"""The local providers on scripted runtimes: what they ask for, in which order, and what they make of the answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from antiphon.errors import AudioError, ProviderRejected
from antiphon.inference.lanes import Lane
from antiphon.inference.llama import Event, Llama, LlamaConfig
from antiphon.inference.local import (
    CHUNK_S,
    FIRST_CHUNK_S,
    SMALL_MANNER,
    LocalLanguageModel,
    LocalRecognizer,
    LocalSynthesizer,
    Manner,
)
from antiphon.inference.speech import Piece
from antiphon.inference.whisper import Recognized
from antiphon.providers.base import (
    Delta,
    Finished,
    LanguageOptions,
    Message,
    SpeechChunk,
    SpeechOptions,
    Text,
    Tool,
    ToolCall,
    Usage,
    WordTime,
)

pytestmark = pytest.mark.real_time


@pytest.fixture
def lane() -> Iterator[Lane]:
    with Lane("test") as lane:
        yield lane


# ---- recognition ------------------------------------------------------------------------------------------


@dataclass
class ScriptedSpeechModel:
    """Hears how long the sound is."""

    asked: list[tuple[int, str | None, str]] = field(default_factory=list)

    def transcribe(self, pcm: NDArray[np.float32], *, language: str | None, prompt: str) -> Recognized:
        self.asked.append((len(pcm), language, prompt))
        return Recognized(text=f" {len(pcm)} samples ", language="en", no_speech=0.25, avg_logprob=-0.1)

    def warm_up(self) -> None: ...


async def test_sound_is_kept_until_the_end_and_recognised_once(lane: Lane) -> None:
    model = ScriptedSpeechModel()
    recognizer = LocalRecognizer(model, lane, name="whisper-base")
    assert recognizer.info.name == "local:whisper-base"
    assert not recognizer.info.streaming
    async with recognizer.open(language="de", prompt="Antiphon") as hearing:
        await hearing.send(bytes(16_000))
        await hearing.send(bytes(16_000))
        await hearing.finish()
        (transcript,) = [transcript async for transcript in hearing]
    assert (transcript.text, transcript.final, transcript.language) == ("16000 samples", True, "en")
    assert transcript.usage == Usage(audio_s=1.0)
    assert model.asked == [(16_000, "de", "Antiphon")]


async def test_no_sound_is_an_empty_transcript_without_a_run(lane: Lane) -> None:
    model = ScriptedSpeechModel()
    async with LocalRecognizer(model, lane, name="x").open() as hearing:
        await hearing.finish()
        (transcript,) = [transcript async for transcript in hearing]
    assert transcript.text == ""
    assert transcript.final
    assert model.asked == []


async def test_a_stretch_is_bounded_and_ends_once(lane: Lane) -> None:
    async with LocalRecognizer(ScriptedSpeechModel(), lane, name="x").open() as hearing:
        await hearing.send(bytes(2 * 16_000 * 100))
        with pytest.raises(AudioError, match="120 s"):
            await hearing.send(bytes(2 * 16_000 * 21))
        await hearing.finish()
        with pytest.raises(AudioError, match="after the end"):
            await hearing.send(b"\0\0")


# ---- language ---------------------------------------------------------------------------------------------


class ScriptedServer:
    """Answers every request with the given events."""

    def __init__(self, *events: Event) -> None:
        self.events = events
        self.bodies: list[dict[str, Any]] = []

    def handle_chat_completions(self, body: dict[str, Any], callback: Callable[[Event], bool], /) -> None:
        self.bodies.append(json.loads(json.dumps(body)))
        for event in self.events:
            if callback(event):
                return


def choice(reason: str | None = None, **delta: object) -> Event:
    return {"choices": [{"delta": delta, "finish_reason": reason}]}


COUNTED: Event = {
    "choices": [],
    "usage": {"prompt_tokens": 50, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 44}},
}


def language_model(server: ScriptedServer, manner: Manner | None = None) -> LocalLanguageModel:
    return LocalLanguageModel(Llama(server, LlamaConfig(model_id="llm/x", slots=1)), name="x", manner=manner)


async def replies(
    model: LocalLanguageModel, messages: Sequence[Message], options: LanguageOptions | None = None
) -> list[Delta]:
    async with model.reply(messages, options or LanguageOptions()) as deltas:
        return [delta async for delta in deltas]


ASK = (Message(role="system", content="Be brief."), Message(role="user", content="Hello?"))


async def test_words_stream_and_the_last_delta_counts_them() -> None:
    server = ScriptedServer(
        choice(content=None), choice(content="Hel"), choice(content="lo."), choice("stop"), COUNTED
    )
    deltas = await replies(language_model(server), ASK)
    assert deltas == [
        Text(text="Hel"),
        Text(text="lo."),
        Finished(reason="stop", usage=Usage(input_tokens=50, cached_tokens=44, output_tokens=7), model="x"),
    ]
    assert server.bodies[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello?"},
    ]


async def test_a_tool_call_arrives_whole() -> None:
    server = ScriptedServer(
        choice(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "timer", "arguments": ""}}]),
        choice(tool_calls=[{"index": 0, "function": {"arguments": '{"minutes":'}}]),
        choice(tool_calls=[{"index": 0, "function": {"arguments": " 5}"}}]),
        choice("tool_calls"),
        COUNTED,
    )
    timer = Tool(name="timer", description="Set a timer.", parameters={"type": "object"})
    deltas = await replies(language_model(server), ASK, LanguageOptions(tools=(timer,)))
    assert deltas[0] == ToolCall(id="c1", name="timer", arguments='{"minutes": 5}')
    assert isinstance(deltas[1], Finished)
    assert deltas[1].reason == "tool_calls"
    assert server.bodies[0]["tools"][0]["function"]["name"] == "timer"


async def test_tool_results_are_shown_to_the_model() -> None:
    server = ScriptedServer(COUNTED)
    call = ToolCall(id="c1", name="timer", arguments="{}")
    spoken = (
        *ASK,
        Message(role="assistant", content="", tool_calls=(call,)),
        Message(role="tool", content="done", tool_call_id="c1"),
    )
    await replies(language_model(server), spoken)
    asked, answered = server.bodies[0]["messages"][-2:]
    assert asked["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "timer", "arguments": "{}"}}
    ]
    assert (answered["role"], answered["tool_call_id"]) == ("tool", "c1")


async def test_a_small_model_is_shown_examples_after_the_system_prompt_and_kept_cool() -> None:
    server = ScriptedServer(COUNTED)
    await replies(language_model(server, SMALL_MANNER), ASK, LanguageOptions(temperature=0.9))
    messages = server.bodies[0]["messages"]
    assert messages[0]["role"] == "system"
    assert messages[1] == {"role": "user", "content": SMALL_MANNER.examples[0][0]}
    assert messages[-1] == {"role": "user", "content": "Hello?"}
    assert len(messages) == 2 + 2 * len(SMALL_MANNER.examples)
    assert server.bodies[0]["temperature"] == 0.2


async def test_prefill_leaves_the_last_message_open() -> None:
    server = ScriptedServer(COUNTED)
    await language_model(server).prefill(ASK, LanguageOptions(cache_key="ann"))
    assert server.bodies[0]["add_generation_prompt"] is False
    assert server.bodies[0]["max_tokens"] == 0
    await language_model(server).prefill((), LanguageOptions())
    assert len(server.bodies) == 1


# ---- speech -----------------------------------------------------------------------------------------------

RATE = 1000


class ScriptedVoice:
    """Two voices; an utterance is the given pieces."""

    sample_rate = RATE
    voices = ("joe", "ann")
    by_stretches = True

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces
        self.spoken: list[tuple[str, str, float]] = []
        self.steps = 0

    def voice_for(self, language: str) -> str:
        return "ann" if language == "fr" else "joe"

    def speak(self, text: str, *, voice: str, speed: float) -> ScriptedUtterance:
        self.spoken.append((text, voice, speed))
        return ScriptedUtterance(self)

    def warm_up(self) -> None: ...


class ScriptedUtterance:
    def __init__(self, voice: ScriptedVoice) -> None:
        self._voice = voice
        self._pieces = iter(voice.pieces)

    def step(self) -> Piece | None:
        self._voice.steps += 1
        assert threading.current_thread().name == "test-0", "steps run in the lane"
        return next(self._pieces, None)


def piece(samples: int, *words: WordTime) -> Piece:
    return Piece(sound=np.full(samples, 0.5, dtype=np.float32), words=words)


WORD = WordTime(end_char=2, start_s=0.0, end_s=0.1)


async def speech(synthesizer: LocalSynthesizer, text: str = "Hi.", **options: Any) -> list[SpeechChunk]:
    async with synthesizer.speak(text, SpeechOptions(**options)) as chunks:
        return [chunk async for chunk in chunks]


async def test_the_first_chunk_is_short_and_later_ones_longer(lane: Lane) -> None:
    chunks = await speech(LocalSynthesizer(ScriptedVoice(piece(1000, WORD), piece(300)), lane, name="v"))
    assert [len(chunk.pcm) // 2 for chunk in chunks] == [round(FIRST_CHUNK_S * RATE), 400, 400, 100, 300]
    assert CHUNK_S * RATE == 400
    assert [chunk.words for chunk in chunks] == [(WORD,), (), (), (), ()]


async def test_words_of_a_piece_that_was_all_silence_come_with_the_next(lane: Lane) -> None:
    chunks = await speech(LocalSynthesizer(ScriptedVoice(piece(0, WORD), piece(50)), lane, name="v"))
    assert [(len(chunk.pcm) // 2, chunk.words) for chunk in chunks] == [(50, (WORD,))]


async def test_a_voice_is_chosen_by_name_or_by_language(lane: Lane) -> None:
    voice = ScriptedVoice(piece(10))
    synthesizer = LocalSynthesizer(voice, lane, name="v")
    await speech(synthesizer)
    await speech(synthesizer, language="fr")
    await speech(synthesizer, voice="ann", speed=5.0)
    assert voice.spoken == [("Hi.", "joe", 1.0), ("Hi.", "ann", 1.0), ("Hi.", "ann", 2.0)]
    with pytest.raises(ProviderRejected, match=r"no voice 'eve'; it has joe, ann\."):
        await speech(synthesizer, voice="eve")


async def test_leaving_early_leaves_the_rest_unspoken(lane: Lane) -> None:
    voice = ScriptedVoice(*(piece(10) for _ in range(100)))
    async with LocalSynthesizer(voice, lane, name="v").speak("Hi.", SpeechOptions()) as chunks:
        await anext(aiter(chunks))
    assert voice.steps == 1
    assert sum(lane.depth().values()) == 0
