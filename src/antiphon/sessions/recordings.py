"""Flight recordings on disk, for ``antiphon replay``: only where the operator named a folder for them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def save_flight(folder: Path, session_id: str, flight: Mapping[str, Any]) -> Path:
    """Write one session's recording, readable by this user only: it holds what was said. Blocks on the
    disk; call it in a thread. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{session_id}.json"
    # Written beside and moved in place: a recording that is there is whole.
    partial = folder / f".{session_id}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    # Half of a surrogate pair, which a vendor's JSON may have, has no UTF-8; this writes it as JSON does: \ud83d.
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(flight, file, ensure_ascii=False)
    partial.replace(path)
    return path
