"""What a caller can choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from antiphon.conversation.allowance import Allowance
from antiphon.conversation.config import ConversationConfig, Providers
from antiphon.conversation.events import ProviderCall
from antiphon.errors import ClientError, RefusedError
from antiphon.providers.health import ProviderState

UNBILLED = frozenset({"local", "scripted"})
"""Providers that send no bill."""


def nobody_refused(caller_key: str) -> RefusedError | None:
    """Without budgets everybody may talk."""
    return None


def nothing_known() -> tuple[ProviderState, ...]:
    """Providers that nobody keeps watch over."""
    return ()


def free(call: ProviderCall) -> int | None:
    """The price without a price book: nothing for providers that send no bill, unknown for others."""
    return 0 if call.cached or call.provider.partition(":")[0] in UNBILLED else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice to answer with."""

    id: str
    name: str
    language: str
    """ISO 639-1, empty when it speaks any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Voices and languages on offer. Empty means that any name is passed through."""

    voices: tuple[Voice, ...] = ()
    default_voice: str = ""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes to choose from, without ``auto``."""
    any_language: bool = True
    """Whether codes that are not listed are passed through: the recogniser knows dozens."""

    def check_voice(self, voice: str) -> str:
        """The voice asked for, or the default one. Raises ClientError naming those there are."""
        known = tuple(choice.id for choice in self.voices)
        if voice and known and voice not in known:
            raise ClientError(f"there is no voice {voice!r}; choose one of {_some(known)}")
        return voice or self.default_voice

    def check_language(self, language: str) -> str:
        """The language asked for. Raises ClientError naming those there are."""
        if language == "auto" or language in self.languages:
            return language
        if self.any_language and language.isascii() and language.isalpha() and len(language) in (2, 3):
            return language
        known = ("auto", *self.languages, *(("or another ISO 639-1 code",) if self.any_language else ()))
        raise ClientError(f"the language {language!r} is not known; choose one of {_some(known)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistant:
    """All that a conversation needs, loaded and warm."""

    providers: Providers
    offer: Offer = field(default_factory=Offer)
    defaults: ConversationConfig = field(default_factory=ConversationConfig)
    """The operator's choices; a caller's wishes are laid over them."""
    health: Callable[[], Sequence[ProviderState]] = nothing_known
    """How each provider does."""
    depths: Callable[[], Mapping[str, int]] = dict
    """Queue of an embedded model → jobs waiting in it."""
    allowance: Allowance | None = None
    """Asked before money is spent on a turn; None: spend freely."""
    price: Callable[[ProviderCall], int | None] = free
    """What a call cost, in millionths of a US dollar; None when nobody knows."""
    unaffordable: Callable[[str], RefusedError | None] = nobody_refused
    """Why a caller with this API key cannot be paid for; None when one can."""


def _some(names: tuple[str, ...]) -> str:
    """At most a dozen names."""
    return ", ".join(names[:12]) + (f" … ({len(names)} in all)" if len(names) > 12 else "")
