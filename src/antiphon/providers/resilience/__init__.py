"""Chains of providers that answer although one of them does not: retries, breakers, stalls, hedges, fallbacks.

``ResilientRecognizer``, ``ResilientLanguageModel`` and ``ResilientSynthesizer`` are providers like any other, and
report every request they make (``providers.metering``). What happens when: docs/resilience.md.
"""

from __future__ import annotations

from antiphon.providers.resilience.board import HealthBoard
from antiphon.providers.resilience.language_model import ResilientLanguageModel
from antiphon.providers.resilience.limits import BreakerRules, Limits
from antiphon.providers.resilience.link import Chain, Link
from antiphon.providers.resilience.probing import probe_while_open
from antiphon.providers.resilience.recognizer import ResilientRecognizer
from antiphon.providers.resilience.synthesizer import ResilientSynthesizer

__all__ = [
    "BreakerRules",
    "Chain",
    "HealthBoard",
    "Limits",
    "Link",
    "ResilientLanguageModel",
    "ResilientRecognizer",
    "ResilientSynthesizer",
    "probe_while_open",
]
