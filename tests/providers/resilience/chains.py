"""Chains of scripted providers, and what came out of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from antiphon.audio.coded_speech import coded_text, word_sound
from antiphon.providers.base import (
    SPEECH_RATE,
    Finished,
    LanguageOptions,
    Message,
    SpeechOptions,
    Text,
    Transcript,
    WordTime,
)
from antiphon.providers.metering import Attempt, counting
from antiphon.providers.resilience import (
    Chain,
    Limits,
    ResilientLanguageModel,
    ResilientRecognizer,
    ResilientSynthesizer,
)
from antiphon.providers.scripted import ScriptedLanguageModel, ScriptedRecognizer, ScriptedSynthesizer

STORY = "Once upon a time there was a king who had three daughters."


def tells(messages: Sequence[Message]) -> str:
    """A model that tells its story from the beginning, also when it is asked to go on."""
    return STORY


def model(provider: str = "one", **wishes: object) -> ScriptedLanguageModel:
    return ScriptedLanguageModel(tells, provider=provider, **wishes)  # type: ignore[arg-type]


def models(*links: ScriptedLanguageModel, limits: Limits | None = None) -> ResilientLanguageModel:
    return ResilientLanguageModel(Chain(links, kind="llm", limits=limits))


class Answer:
    """What a caller got, and what was reported."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.first_s: float | None = None
        self.seconds = 0.0

    def outcomes(self) -> list[tuple[str, str]]:
        return [(attempt.provider.partition(":")[0], attempt.outcome) for attempt in self.attempts]


class Reply(Answer):
    text = ""
    finished: Finished | None = None


async def ask(llm: ResilientLanguageModel, reply: Reply | None = None) -> Reply:
    reply = reply or Reply()
    loop = asyncio.get_running_loop()
    began = loop.time()
    messages = [Message(role="user", content="Tell me a story.")]
    try:
        with counting(reply.attempts.append):
            async with llm.reply(messages, LanguageOptions()) as deltas:
                async for delta in deltas:
                    if isinstance(delta, Text):
                        reply.first_s = reply.first_s or loop.time() - began
                        reply.text += delta.text
                    elif isinstance(delta, Finished):
                        reply.finished = delta
    finally:
        reply.seconds = loop.time() - began
    return reply


class Speech(Answer):
    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.pcm = b""
        self.words: list[WordTime] = []

    def said(self) -> str:
        return coded_text(self.pcm, rate=self.rate)


def voice(provider: str = "one", **wishes: object) -> ScriptedSynthesizer:
    return ScriptedSynthesizer(provider=provider, **wishes)  # type: ignore[arg-type]


def voices(*links: ScriptedSynthesizer, limits: Limits | None = None) -> ResilientSynthesizer:
    return ResilientSynthesizer(Chain(links, kind="tts", limits=limits))


async def speak(tts: ResilientSynthesizer, text: str = STORY, options: SpeechOptions | None = None) -> Speech:
    speech = Speech(tts.info.sample_rate)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with counting(speech.attempts.append):
        async with tts.speak(text, options or SpeechOptions()) as chunks:
            async for chunk in chunks:
                speech.first_s = speech.first_s or loop.time() - began
                speech.pcm += chunk.pcm
                speech.words.extend(chunk.words)
    speech.seconds = loop.time() - began
    return speech


class Hearing(Answer):
    def __init__(self) -> None:
        super().__init__()
        self.transcripts: list[Transcript] = []

    def heard(self) -> str:
        return self.transcripts[-1].text


def ear(provider: str = "one", **wishes: object) -> ScriptedRecognizer:
    return ScriptedRecognizer(provider=provider, **wishes)  # type: ignore[arg-type]


def ears(*links: ScriptedRecognizer, limits: Limits | None = None) -> ResilientRecognizer:
    return ResilientRecognizer(Chain(links, kind="asr", limits=limits))


def spoken(text: str, seconds: float = 0.3) -> list[bytes]:
    """Each word's sound."""
    samples = round(seconds * SPEECH_RATE)
    return [word_sound(word, samples, number=n, rate=SPEECH_RATE) for n, word in enumerate(text.split())]


async def hear(asr: ResilientRecognizer, text: str = "what is the time", every_s: float = 0.3) -> Hearing:
    """The words are sent as they are spoken."""
    hearing = Hearing()
    loop = asyncio.get_running_loop()
    with counting(hearing.attempts.append):
        async with asr.open() as stream, asyncio.TaskGroup() as group:

            async def send() -> float:
                for pcm in spoken(text):
                    await asyncio.sleep(every_s)
                    await stream.send(pcm)
                await stream.finish()
                return loop.time()

            sending = group.create_task(send())
            async for transcript in stream:
                hearing.transcripts.append(transcript)
            hearing.seconds = loop.time() - await sending
    return hearing
