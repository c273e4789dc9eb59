"""Secrets that come in files, as Docker and Kubernetes mount them: ``NAME_FILE`` names the file that holds ``NAME``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from antiphon.errors import SettingsError
from antiphon.settings.keys import looks_like_key
from antiphon.settings.reference import may_be_secret

ENDING = "_FILE"
OURS = ("ANTIPHON_", "OPENAI_", "ELEVENLABS_", "DEEPGRAM_", "ANTHROPIC_")
"""Variables of these families are settings of this server; other programs' ``…_FILE`` are left alone."""

LONGEST = 64 * 1024
"""Bytes. No key is larger; a file that is was named by mistake."""


def with_secret_files(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, each ``NAME_FILE`` that names a secret replaced by ``NAME`` and what the file holds, without the
    newline at its end. Raises SettingsError when it cannot be read, or when both are set."""
    read = dict(variables)
    for variable, value in variables.items():
        name = variable.upper().removesuffix(ENDING)
        if name == variable.upper() or not name.startswith(OURS) or not may_be_secret(name):
            continue
        del read[variable]
        if not value:
            continue
        if variables.get(name):
            raise SettingsError(f"{name} and {variable} are both set; keep one of them.")
        if "/" not in value and looks_like_key(value):
            raise SettingsError(
                f"{variable} looks like a key; it names a file that holds one. Set {name} instead."
            )
        read[name] = _content(variable, Path(value))
    return read


def _content(variable: str, path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{variable}={path}: the file cannot be read ({error.strerror}). It must hold the secret and be readable"
            " by the user that the server runs as."
        ) from error
    if len(content) > LONGEST:
        raise SettingsError(f"{variable}={path} is {len(content)} bytes long: that is not a key.")
    try:
        return content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}={path} is not text: is it the right file?") from None
