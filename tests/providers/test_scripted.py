"""The scripted providers do what their settings say, when they say it."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from antiphon.audio.coded_speech import coded_text, noise_sound, silence, speech_sound
from antiphon.errors import ProviderRejected, ProviderUnavailable
from antiphon.providers.base import (
    Finished,
    LanguageModel,
    LanguageOptions,
    Message,
    Recognizer,
    SpeechChunk,
    SpeechOptions,
    Synthesizer,
    Text,
    ToolCall,
    Transcript,
    TurnModel,
    VoiceDetector,
)
from antiphon.providers.scripted import (
    Fault,
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedTurnModel,
    ScriptedVoiceDetector,
    by_phrase,
    tokens,
)


def now() -> float:
    return round(asyncio.get_running_loop().time(), 6)


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


async def recognize(recognizer: ScriptedRecognizer, pcm: bytes) -> tuple[list[Transcript], float]:
    """What comes of sound sent all at once, and when the last of it came."""
    async with recognizer.open() as stream:
        await stream.send(pcm)
        await stream.finish()
        return [transcript async for transcript in stream], now()


async def write(model: ScriptedLanguageModel, messages: Sequence[Message]) -> list[tuple[float, object]]:
    async with model.reply(messages, LanguageOptions()) as deltas:
        return [(now(), delta) async for delta in deltas]


def written(deltas: list[tuple[float, object]]) -> str:
    return "".join(delta.text for _, delta in deltas if isinstance(delta, Text))


async def speak(voice: ScriptedSynthesizer, text: str) -> list[tuple[float, SpeechChunk]]:
    async with voice.speak(text, SpeechOptions()) as chunks:
        return [(now(), chunk) async for chunk in chunks]


def test_they_are_providers() -> None:
    recognizer: Recognizer = ScriptedRecognizer()
    model: LanguageModel = ScriptedLanguageModel()
    voice: Synthesizer = ScriptedSynthesizer()
    detector: VoiceDetector = ScriptedVoiceDetector()
    turns: TurnModel = ScriptedTurnModel()
    assert {p.info.provider for p in (recognizer, model, voice, detector, turns)} == {"scripted"}


# ---- recogniser -------------------------------------------------------------------------------------------


async def test_a_batch_recogniser_hears_the_words_after_its_latency() -> None:
    transcripts, at = await recognize(ScriptedRecognizer(latency_s=0.3), speech_sound("set a timer", 1.0))
    assert [(t.text, t.final) for t in transcripts] == [("set a timer", True)]
    assert transcripts[0].usage.audio_s == 1.0
    assert at == 0.3


async def test_a_streaming_recogniser_says_words_while_they_are_spoken() -> None:
    recognizer = ScriptedRecognizer(latency_s=0.3, streaming=True)
    sound = speech_sound("set a timer", 1.2) + silence(0.4)
    heard: list[tuple[float, str, bool]] = []

    async with recognizer.open() as stream, asyncio.TaskGroup() as group:

        async def listen() -> None:
            heard.extend([(now(), transcript.text, transcript.final) async for transcript in stream])

        group.create_task(listen())
        for at in range(0, len(sound), 640):
            await asyncio.sleep(0.02)
            await stream.send(sound[at : at + 640])
        await stream.finish()

    assert [text for _, text, _ in heard] == ["set", "set a", "set a timer", "set a timer"]
    assert heard[-2][0] < 1.5  # understood 0.3 s after it was half spoken
    assert heard[-1] == (1.6, "set a timer", True)  # 1.2 + 0.3 has passed, so at finish()


async def test_recognition_errors_and_recordings() -> None:
    mishears = ScriptedRecognizer(hears=lambda text: text.replace("timer", "tima"))
    assert (await recognize(mishears, speech_sound("set a timer")))[0][0].text == "set a tima"
    recording = noise_sound(1.0)
    assert (await recognize(ScriptedRecognizer(fallback="hello"), recording))[0][0].text == "hello"
    assert (await recognize(ScriptedRecognizer(fallback="hello"), silence(1.0)))[0][0].text == ""


# ---- language model ---------------------------------------------------------------------------------------


async def test_tokens_come_at_their_rate() -> None:
    model = ScriptedLanguageModel(["One two three."], first_token_s=0.3, tokens_per_s=50)
    deltas = await write(model, user("count"))
    assert [at for at, _ in deltas] == [0.3, 0.32, 0.34, 0.36, 0.36]
    assert written(deltas) == "One two three."
    assert isinstance(finished := deltas[-1][1], Finished)
    assert (finished.reason, finished.usage.output_tokens) == ("stop", 4)
    assert model.calls[0].ended == "done"


async def test_a_discarded_reply_uses_none_up() -> None:
    model = ScriptedLanguageModel(["First.", "Second."])
    async with model.reply(user("hello"), LanguageOptions()):
        pass
    assert written(await write(model, user("hello"))) == "First."
    later = [*user("hello"), Message(role="assistant", content="First."), *user("and?")]
    assert written(await write(model, later)) == "Second."
    assert [call.ended for call in model.calls] == ["cancelled", "done", "done"]


async def test_replies_by_phrase_and_tool_calls() -> None:
    call = ToolCall(id="1", name="weather", arguments="{}")
    model = ScriptedLanguageModel(
        by_phrase({"capital of France": "Paris.", "weather": ["Let me see.", call]})
    )
    assert written(await write(model, user("What is the capital of France?"))) == "Paris."
    deltas = [delta for _, delta in await write(model, user("How is the weather?"))]
    assert call in deltas
    assert isinstance(deltas[-1], Finished)
    assert deltas[-1].reason == "tool_calls"


async def test_a_reply_stops_at_its_token_limit() -> None:
    model = ScriptedLanguageModel(["one two three four"])
    async with model.reply(user("count"), LanguageOptions(max_tokens=2)) as deltas:
        seen = [delta async for delta in deltas]
    assert [delta.text for delta in seen if isinstance(delta, Text)] == ["one", " two"]
    assert isinstance(seen[-1], Finished)
    assert seen[-1].reason == "length"


async def test_the_cached_part_of_the_prompt_is_counted() -> None:
    model = ScriptedLanguageModel(["Yes."])
    options = LanguageOptions(cache_key="session")
    await model.prefill(user("is it going to rain"), options)
    async with model.reply(user("is it going to rain tomorrow"), options) as deltas:
        (usage,) = [delta.usage async for delta in deltas if isinstance(delta, Finished)]
    assert (usage.input_tokens, usage.cached_tokens) == (6, 5)
    assert model.prefills[0][0].content == "is it going to rain"


@pytest.mark.parametrize(
    "text", ["Sure, it's 3.14 today.", "Hi\n\n- one\n- two\n", "héllo  wörld ", "你好。"]
)
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text


# ---- voice ------------------------------------------------------------------------------------------------


async def test_the_voice_says_the_words_in_time() -> None:
    voice = ScriptedSynthesizer(first_chunk_s=0.2, real_time_factor=0.5, letter_s=0.1, chunk_s=0.5)
    chunks = await speak(voice, "hello there")
    assert [at for at, _ in chunks] == [0.2, 0.45, 0.7]
    sound = b"".join(chunk.pcm for _, chunk in chunks)
    assert len(sound) == 2 * round(1.1 * 24_000)
    assert coded_text(sound, rate=24_000) == "hello there"
    words = [word for _, chunk in chunks for word in chunk.words]
    assert [(w.end_char, round(w.start_s, 3), round(w.end_s, 3)) for w in words] == [
        (5, 0.0, 0.5),
        (11, 0.6, 1.1),
    ]


async def test_a_voice_for_people_hums() -> None:
    chunks = await speak(ScriptedSynthesizer(sound="hum"), "hello there")
    sound = b"".join(chunk.pcm for _, chunk in chunks)
    assert coded_text(sound, rate=24_000) == ""
    assert len(sound) == 2 * round(0.06 * 11 * 24_000)


# ---- the ear ----------------------------------------------------------------------------------------------


async def test_the_detector_goes_by_loudness() -> None:
    ear = ScriptedVoiceDetector().open()
    frame = 2 * 512
    assert await ear.detect(silence(0.032) + speech_sound("hello", 0.3)[:frame]) == (0.0, 1.0)
    assert await ear.detect(noise_sound(0.032)) == (1.0,)
    assert await ear.detect(noise_sound(0.032, level=60)) == (0.0,)
    with pytest.raises(ValueError):
        await ear.detect(silence(0.02))


async def test_the_turn_model_judges_by_the_words() -> None:
    model = ScriptedTurnModel(latency_s=0.04)
    assert await model.end_of_turn(speech_sound("what time is it")) == 0.95
    assert await model.end_of_turn(speech_sound("my number is…")) == 0.05
    assert now() == 0.08
    sure = ScriptedTurnModel(lambda text: 1.0 if text else 0.0)
    assert await sure.end_of_turn(silence(0.3)) == 0.0


# ---- faults -----------------------------------------------------------------------------------------------


async def all_of(kind: str, fault: Fault | None) -> int:
    """Pieces that come from one call with a fault."""
    faults = [fault]
    match kind:
        case "asr":
            found, _ = await recognize(ScriptedRecognizer(faults=faults), speech_sound("hello"))
            return sum(bool(transcript.text) for transcript in found)
        case "llm":
            return len(
                written(await write(ScriptedLanguageModel(["Hello there."], faults=faults), user("x")))
            )
        case "tts":
            return len(await speak(ScriptedSynthesizer(faults=faults), "hello there"))
        case _:
            return round(await ScriptedTurnModel(faults=faults).end_of_turn(b"") * 100)


@pytest.mark.parametrize("kind", ["asr", "llm", "tts", "turn"])
async def test_a_failing_call_raises(kind: str) -> None:
    with pytest.raises(ProviderUnavailable):
        await all_of(kind, "fail")
    with pytest.raises(ProviderRejected):
        await all_of(kind, "reject")


@pytest.mark.parametrize("kind", ["asr", "llm", "tts"])
async def test_a_cut_call_breaks_off_and_an_empty_one_gives_nothing(kind: str) -> None:
    with pytest.raises(ProviderUnavailable):
        await all_of(kind, "cut")
    assert await all_of(kind, "empty") == 0
    assert await all_of(kind, None) > 0


@pytest.mark.parametrize("kind", ["asr", "llm", "tts", "turn"])
async def test_a_stalled_call_never_answers(kind: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await all_of(kind, "stall")


async def test_faults_are_taken_in_order_and_ends_are_kept() -> None:
    voice = ScriptedSynthesizer(faults=[None, "fail"])
    await speak(voice, "one")
    with pytest.raises(ProviderUnavailable):
        await speak(voice, "two")
    voice.faults.add("empty")
    assert await speak(voice, "three") == []
    async with voice.speak("four", SpeechOptions()) as chunks:
        await first(chunks)
    assert [(call.given, call.ended) for call in voice.calls] == [
        ("one", "done"),
        ("two", "failed"),
        ("three", "done"),
        ("four", "cancelled"),
    ]


async def test_a_call_left_early_is_cancelled() -> None:
    voice = ScriptedSynthesizer()
    async with voice.speak("a long answer to a short question", SpeechOptions()) as chunks:
        await first(chunks)
    assert voice.calls.ended("cancelled")[0].audio_s == pytest.approx(0.2)


async def first(chunks: AsyncIterator[SpeechChunk]) -> SpeechChunk:
    return await anext(chunks)
