"""Anthropic's Claude."""

from __future__ import annotations

from antiphon.providers.anthropic.chat import DEFAULT_MODEL, Account, AnthropicChat

__all__ = ["DEFAULT_MODEL", "Account", "AnthropicChat"]
