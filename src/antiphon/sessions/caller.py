"""Who is on the line, as far as the server knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One caller. Holds no secret; ``address`` never goes into a metric."""

    address: str = ""
    """IP address, the proxies that are trusted taken off."""
    origin: str = ""
    key: str = ""
    """Name of the API key or user to bill; empty when anybody may talk."""
