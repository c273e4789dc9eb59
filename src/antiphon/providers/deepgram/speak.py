"""Deepgram's Aura voices over HTTP: a clause is a request, its sound streams back as plain PCM."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from antiphon.errors import ProviderRejected
from antiphon.providers.base import ProviderInfo, SpeechChunk, SpeechOptions
from antiphon.providers.deepgram.account import Account
from antiphon.providers.http import Answer, HttpPool
from antiphon.providers.refused_voices import RefusedVoices
from antiphon.providers.sound_reader import SoundReader
from antiphon.providers.vendor_errors import empty, malformed, rejected

DEFAULT_MODEL = "aura-2"
RATE = 24_000

VOICES = {
    "en": (
        *(
            "thalia",
            "andromeda",
            "helena",
            "apollo",
            "arcas",
            "aries",
            "asteria",
            "athena",
            "atlas",
            "aurora",
        ),
        *(
            "callista",
            "cora",
            "cordelia",
            "delia",
            "draco",
            "electra",
            "harmonia",
            "hera",
            "hermes",
            "hyperion",
        ),
        *("iris", "janus", "juno", "jupiter", "luna", "mars", "minerva", "neptune", "odysseus", "ophelia"),
        *("orion", "orpheus", "pandora", "phoebe", "pluto", "saturn", "selene", "theia", "vesta", "zeus"),
    ),
    "es": (
        "celeste",
        "estrella",
        "nestor",
        "sirio",
        "carina",
        "alvaro",
        "diana",
        "aquila",
        "selena",
        "javier",
    ),
}
"""Aura 2's voices by language, the default first. In the vendor's interface a voice is a model of its own:
``aura-2-thalia-en``."""

SLOWEST, FASTEST = 0.7, 1.5
"""The pace that the vendor allows; what is asked beyond is cut to it."""

LONGEST_CLAUSE_S = 300.0
"""Sound for one clause: a sentence is 15 s. A vendor that sends more does not know where to end."""


class DeepgramVoice:
    """A Synthesizer. It tells no word times."""

    def __init__(
        self, account: Account, pool: HttpPool, *, model: str = DEFAULT_MODEL, voice: str = ""
    ) -> None:
        """``model`` is ``aura-2``, or a whole voice as ``aura-2-thalia-en``; ``voice`` is the operator's."""
        self._family, self._fixed = _family(model)
        self._default = (voice or self._fixed).lower()
        self._names = account.names(model, "ANTIPHON_TTS and ANTIPHON_VOICE")
        self._refused = RefusedVoices()
        self._vendor = pool.vendor(
            self._names,
            base_url=account.root,
            headers=account.headers,
            patience=account.patience,
            warm_path="/projects",
        )
        stock = (*VOICES["en"], *VOICES["es"])
        chosen = (self._default,) if self._default else ()
        self._info = ProviderInfo(
            provider="deepgram",
            model=model,
            sample_rate=RATE,
            languages=tuple(VOICES),
            voices=(*chosen, *(name for name in stock if name not in chosen)),
        )

    @property
    def info(self) -> ProviderInfo:
        return self._info

    async def warm(self) -> None:
        """Open the connection that the first reply will need. Raises ProviderError."""
        await self._vendor.warm()

    @asynccontextmanager
    async def speak(self, text: str, options: SpeechOptions) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        """Safe to cancel at any point."""
        *chosen, usual = self._models(options)
        model = self._refused.first_else(*chosen, usual)
        params = {
            "model": model,
            "encoding": "linear16",
            "container": "none",
            "sample_rate": str(RATE),
        }
        if options.speed != 1.0:
            params["speed"] = f"{min(max(options.speed, SLOWEST), FASTEST):g}"
        async with AsyncExitStack() as stack:
            stack.enter_context(self._refused.noticing(model))
            try:
                asking = self._vendor.ask("POST", "/speak", json={"text": text}, params=params)
                answer = await stack.enter_async_context(asking)
            except ProviderRejected as error:
                if error.cause != "unknown_model" or model == usual:
                    raise
                # To the vendor a voice is a model; what was chosen here is the voice.
                raise rejected(
                    self._names, "unknown_voice", f"has no voice {model}; check {self._names.voice_setting}"
                ) from None
            yield await stack.enter_async_context(aclosing(self._sound(answer)))

    def _models(self, options: SpeechOptions) -> tuple[str, ...]:
        """Those who may speak, as ``aura-2-thalia-en``: the voice asked for, the operator's, the language's first."""
        usual = VOICES.get(options.language, VOICES["en"])[0]
        asked = options.voice.lower()
        if not self._default and asked == self._info.voices[0]:
            asked = ""  # it is the first of the list, and not of the language
        return tuple(self._model(voice) for voice in (asked, self._default, usual) if voice)

    def _model(self, voice: str) -> str:
        if "-" in voice:
            return voice  # as the vendor writes it
        language = next((language for language, names in VOICES.items() if voice in names), "en")
        return f"{self._family}-{voice}-{language}"

    async def _sound(self, answer: Answer) -> AsyncGenerator[SpeechChunk, None]:
        answer.refuse_page()
        reader = SoundReader(self._names, rate=RATE, content_type=answer.headers.get("content-type", ""))
        async with aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                if pcm := reader.push(piece):
                    yield SpeechChunk(pcm=pcm)
                if reader.samples > LONGEST_CLAUSE_S * RATE:
                    raise malformed(self._names, f"more than {LONGEST_CLAUSE_S:g} s of sound for one clause")
        if rest := reader.end():
            yield SpeechChunk(pcm=rest)
        if not reader.samples:
            raise empty(self._names, "sent no sound")


def _family(model: str) -> tuple[str, str]:
    """``aura-2-thalia-en`` → its family and itself; ``aura-2`` has no voice of its own."""
    parts = model.split("-")
    return (model, "") if len(parts) <= 2 else ("-".join(parts[:-2]), model)
