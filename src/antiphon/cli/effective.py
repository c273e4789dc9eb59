"""The settings that a command runs with."""

from __future__ import annotations

import os
from pathlib import Path

from antiphon.settings import LoadedSettings, load_settings


def effective_settings(**overrides: object) -> LoadedSettings:
    """From this process's environment and working folder, under the command's own options (None: not given).
    Raises SettingsError."""
    return load_settings(os.environ, folder=Path.cwd(), overrides=overrides)
