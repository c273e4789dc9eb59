"""docs/providers.md names every provider, cause and example there is."""

from __future__ import annotations

import re
from pathlib import Path

from antiphon.app.vendors import LANGUAGE_MODELS, OPENAI_MODELS, RECOGNIZERS, SYNTHESIZERS
from antiphon.errors import ProviderError
from antiphon.settings import PROVIDERS
from antiphon.settings.reference import shared_variables
from antiphon.settings.vendors import KNOWN_SERVERS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "providers.md").read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """The table of providers: name → its other cells."""
    table = PAGE.partition("## Who there is")[2].partition("##")[0]
    found = (re.match(r"\| `(\w+)` \|(.*)\|$", line) for line in table.splitlines())
    return {row[1]: [cell.strip() for cell in row[2].split("|")] for row in found if row}


def test_every_provider_is_there_with_what_it_does() -> None:
    assert set(rows()) == set(PROVIDERS)
    for name, (hears, writes, speaks, *_) in rows().items():
        if name in ("local", "scripted"):
            continue
        roles = KNOWN_SERVERS[name].roles if name in KNOWN_SERVERS else "asr, llm, tts"
        assert bool(hears) == (name in RECOGNIZERS and "asr" in roles), name
        assert bool(writes) == (name in LANGUAGE_MODELS and "llm" in roles), name
        assert bool(speaks) == (name in SYNTHESIZERS and "tts" in roles), name


def test_every_usual_model_and_key_is_named() -> None:
    for (provider, _), model in OPENAI_MODELS.items():
        assert f"`{model}`" in rows()[provider][-1]
    for variable in shared_variables().values():
        if variable.endswith("_API_KEY"):
            assert f"`{variable}`" in PAGE


def test_every_cause_is_explained() -> None:
    told = re.search(r"count by: (.*?);", " ".join((ProviderError.__doc__ or "").split()))
    assert told is not None
    for cause in told[1].split(", "):
        assert f"`{cause}`" in PAGE, cause


def test_every_example_is_listed() -> None:
    for example in DOCS.glob("examples/*.env"):
        assert f"(examples/{example.name})" in PAGE
