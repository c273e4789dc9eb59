"""Sound that is kept: for whom, how much of it, and what it is there for."""

from __future__ import annotations

import asyncio

import pytest
from tests.providers.resilience.chains import Speech, speak, voice, voices

from antiphon.audio.coded_speech import coded_text
from antiphon.errors import ProviderUnavailable
from antiphon.providers.base import SpeechChunk, SpeechOptions
from antiphon.providers.metering import counting
from antiphon.providers.scripted import ScriptedSynthesizer
from antiphon.providers.speech_cache import (
    AGAIN_S,
    LONGEST_TEXT,
    WANTED,
    CachingSynthesizer,
    SpeechCache,
    Utterance,
)

SORRY = "Sorry, not now."
EN = SpeechOptions(language="en")


def stock(language: str) -> tuple[str, ...]:
    return {"de": ("Jetzt nicht.",)}.get(language, (SORRY,))


def caching(*links: ScriptedSynthesizer, size: int = 1_000_000, remember: bool = True) -> CachingSynthesizer:
    return CachingSynthesizer(
        voices(*links), cache=SpeechCache(max_bytes=size), stock=stock, remember=remember
    )


async def say(tts: CachingSynthesizer, text: str, options: SpeechOptions = EN) -> Speech:
    speech = Speech(24_000)
    with counting(speech.attempts.append):
        async with tts.speak(text, options) as chunks:
            async for chunk in chunks:
                speech.pcm += chunk.pcm
                speech.words.extend(chunk.words)
    return speech


async def test_what_is_said_a_third_time_comes_from_memory_with_its_words() -> None:
    one = voice()
    tts = caching(one)
    said = [await say(tts, "One moment.") for _ in range(3)]
    assert [speech.attempts[0].cached for speech in said] == [False, False, True]
    assert len(one.calls) == 2
    assert said[2].pcm == said[0].pcm
    assert said[2].words == said[0].words
    assert said[2].attempts[0].usage.characters == 0


@pytest.mark.parametrize(
    "other",
    [
        SpeechOptions(language="en", voice="scripted"),
        SpeechOptions(language="de"),
        SpeechOptions(language="en", speed=1.5),
    ],
)
async def test_another_voice_language_or_pace_is_another_sound(other: SpeechOptions) -> None:
    tts = caching(voice())
    for _ in range(2):
        await say(tts, "One moment.")
    assert not (await say(tts, "One moment.", other)).attempts[0].cached


async def test_long_sentences_are_not_kept() -> None:
    tts = caching(voice())
    text = "word " * (LONGEST_TEXT // 5 + 1)
    assert not any([(await say(tts, text)).attempts[0].cached for _ in range(4)])


async def test_what_happens_to_be_said_twice_is_kept_only_if_that_is_wanted() -> None:
    tts = caching(voice(), remember=False)
    assert not any([(await say(tts, "One moment.")).attempts[0].cached for _ in range(4)])
    assert [(await say(tts, SORRY)).attempts[0].cached for _ in range(2)] == [False, True]


async def test_an_apology_is_there_when_the_voice_is_not() -> None:
    one = voice()
    tts = caching(one)
    async with asyncio.TaskGroup() as group:
        preparing = group.create_task(tts.prepare())
        await say(tts, "Hello.")
        await asyncio.sleep(10.0)
        preparing.cancel()
    for _ in range(10):
        one.faults.add("fail")
    speech = await say(tts, SORRY)
    assert speech.said() == SORRY
    assert speech.attempts[0].cached
    with pytest.raises(ProviderUnavailable):
        await say(tts, "Anything else.")


async def test_nothing_that_is_said_pushes_the_apology_out() -> None:
    one = voice()
    tts = caching(one, size=200_000)
    async with asyncio.TaskGroup() as group:
        preparing = group.create_task(tts.prepare())
        await say(tts, "Hello.")
        await asyncio.sleep(10.0)
        preparing.cancel()
    for number in range(40):
        for _ in range(2):
            await say(tts, f"Number {number}.")
    assert (await say(tts, "Number 39.")).attempts[0].cached
    assert not (await say(tts, "Number 0.")).attempts[0].cached, "there is not room for all"
    assert (await say(tts, SORRY)).attempts[0].cached


async def test_where_there_is_not_room_for_all_voices_the_one_not_used_for_longest_is_voiced_again() -> None:
    names = ("first", "second", "third")
    one = voice(voices=names)
    tts = caching(one, size=5 * len((await speak(voices(voice()), SORRY)).pcm) // 2)
    first, second, third = (SpeechOptions(language="en", voice=name) for name in names)

    async def apology_kept(options: SpeechOptions) -> bool:
        calls = len(one.calls)
        await say(tts, SORRY, options)
        return len(one.calls) == calls

    async with asyncio.TaskGroup() as group:
        preparing = group.create_task(tts.prepare())
        for options in (first, second, first, third):
            await say(tts, "Hello.", options)
            await asyncio.sleep(20.0)
        voiced = len(one.calls)
        await say(tts, "Hello.", second)
        await asyncio.sleep(20.0)
        assert len(one.calls) == voiced + 1, "its apology made room a moment ago: not again and again"
        assert await apology_kept(first)
        assert await apology_kept(third)
        await asyncio.sleep(AGAIN_S)
        await say(tts, "Hello.", second)
        await asyncio.sleep(20.0)
        preparing.cancel()
    assert await apology_kept(second)
    assert await apology_kept(third)
    assert not await apology_kept(first)


async def test_on_a_server_where_somebody_always_speaks_apologies_are_voiced_all_the_same() -> None:
    one = voice()
    tts = caching(one)
    async with asyncio.TaskGroup() as group:
        preparing = group.create_task(tts.prepare())
        for number in range(20):
            await say(tts, f"Number {number}.")
            await asyncio.sleep(1.0)
        preparing.cancel()
    assert SORRY in [call.given for call in one.calls]


async def test_however_many_voices_are_asked_for_at_once_each_has_its_apology() -> None:
    names = tuple(f"voice{number}" for number in range(WANTED + 8))
    one = voice(voices=names)
    tts = caching(one, size=4_000_000)
    chosen = [SpeechOptions(language="en", voice=name) for name in names]
    async with asyncio.TaskGroup() as group:
        for options in chosen:
            tts.want(options)
        preparing = group.create_task(tts.prepare())
        await asyncio.sleep(60.0)
        for options in chosen:
            tts.want(options)  # as the next clause of each does
        await asyncio.sleep(60.0)
        preparing.cancel()
    assert len(one.calls) == len(names)
    assert all([(await say(tts, SORRY, options)).attempts[0].cached for options in chosen])


async def test_apologies_are_no_part_of_the_reply_that_made_them_wanted() -> None:
    one = voice()
    tts = caching(one)
    async with asyncio.TaskGroup() as group:
        preparing = group.create_task(tts.prepare())
        await say(tts, "Hello.", SpeechOptions(language="en", context_id="s1:r1"))
        await asyncio.sleep(10.0)
        preparing.cancel()
    assert [(call.given, call.context) for call in one.calls] == [("Hello.", "s1:r1"), (SORRY, "")]


async def test_an_apology_in_another_voice_is_better_than_none() -> None:
    one = voice()
    tts = caching(one)
    await say(tts, SORRY)
    for _ in range(10):
        one.faults.add("fail")
    speech = await say(tts, SORRY, SpeechOptions(language="en", voice="scripted"))
    assert coded_text(speech.pcm, rate=24_000) == SORRY
    *tried, last = speech.attempts
    assert last.cached
    assert tried
    assert not any(attempt.cached for attempt in tried)


async def test_a_fallbacks_sound_is_not_taken_for_the_chosen_voices() -> None:
    one, two = voice(faults=["reject"] * 3), voice("two")
    tts = caching(one, two)
    for _ in range(3):
        await say(tts, "One moment.")
    assert (await say(tts, "One moment.")).outcomes() == [("one", "ok")]


async def test_half_a_sentence_is_not_kept() -> None:
    tts = caching(voice())
    await say(tts, "One moment.")
    async with tts.speak("One moment.", EN) as chunks:
        await anext(chunks)
    assert not (await say(tts, "One moment.")).attempts[0].cached


def named(text: str) -> Utterance:
    """It, in the one voice there is."""
    return Utterance(provider="p", voice="", language="en", speed=1.0, text=text)


def test_memory_is_bounded_and_what_was_used_last_stays() -> None:
    cache = SpeechCache(max_bytes=1000)

    chunk = SpeechChunk(pcm=bytes(400))
    cache.put(named("one"), [chunk])
    cache.put(named("two"), [chunk])
    assert cache.get(named("one")) is not None
    cache.put(named("three"), [chunk])
    assert cache.get(named("two")) is None
    assert (len(cache), cache.size) == (2, 800)
    cache.put(named("large"), [SpeechChunk(pcm=bytes(2000))])
    cache.put(named("one"), [chunk, chunk])
    assert (len(cache), cache.size) == (1, 800)


def test_other_texts_have_what_the_stock_leaves() -> None:
    cache = SpeechCache(max_bytes=1000)

    chunk = SpeechChunk(pcm=bytes(400))
    cache.put(named("other"), [chunk])
    for text in ("one", "two"):
        cache.put(named(text), [chunk], in_stock=True)
    assert (cache.get(named("other")), cache.size) == (None, 800)
    cache.put(named("other"), [chunk])
    assert (cache.get(named("other")), cache.size) == (None, 800)
    cache.put(named("other"), [SpeechChunk(pcm=bytes(200))])
    cache.put(named("three"), [chunk], in_stock=True)
    kept = [text for text in ("one", "two", "three", "other") if cache.get(named(text))]
    assert (kept, cache.size) == (["two", "three"], 800)
