"""Antiphon: a voice assistant server. You speak, it answers in under a second, you can cut it short."""

__version__ = "0.1.0"
