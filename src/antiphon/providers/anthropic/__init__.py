"""Anthropic's Claude."""

from __future__ import annotations

from antiphon.providers.anthropic.chat import Account, AnthropicChat

__all__ = ["Account", "AnthropicChat"]
