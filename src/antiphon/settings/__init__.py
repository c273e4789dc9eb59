"""Every setting, with its unit, default and environment name, and where its value came from.

A setting is read from the command line, the environment (``ANTIPHON_PORT``), a ``.env`` file, a TOML file
(``port = 8000``), or its default; the first that has it wins.
"""

from antiphon.settings.definitions import Settings
from antiphon.settings.providers import LATER_PROVIDERS, PROVIDERS, ProviderChoice
from antiphon.settings.sources import LoadedSettings, load_settings

__all__ = ["LATER_PROVIDERS", "PROVIDERS", "LoadedSettings", "ProviderChoice", "Settings", "load_settings"]
