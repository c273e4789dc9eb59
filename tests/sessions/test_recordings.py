"""Flight recordings on disk."""

from __future__ import annotations

import json
from pathlib import Path

from antiphon.sessions.recordings import save_flight


def test_what_was_said_is_kept_as_it_was(tmp_path: Path) -> None:
    """Half of a surrogate pair, too: a vendor's JSON may cut an emoji in two."""
    flight = {"said": ["Grüße, 你好", "\ud83d", "\\ud83d"]}
    path = save_flight(tmp_path / "flights", "abc", flight)
    assert "你好" in path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == flight
