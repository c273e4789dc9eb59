"""Reading settings: command line, environment, ``.env``, TOML file, defaults; the first that has one wins."""

from __future__ import annotations

import difflib
import io
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError

from antiphon.errors import SettingsError
from antiphon.settings.definitions import Settings
from antiphon.settings.keys import HIDDEN, looks_like_key, without_password
from antiphon.settings.providers import ProviderChoice
from antiphon.settings.reference import (
    allowed_values,
    environment_name,
    is_secret,
    key_setting,
    may_be_secret,
    shared_variables,
)
from antiphon.settings.secret_files import with_secret_files

PREFIX = "ANTIPHON_"

CONFIG_VARIABLE = "ANTIPHON_CONFIG"
"""Names the TOML file; without it ``antiphon.toml`` in the working folder is read when it is there."""

COMMANDS_OWN = ("ANTIPHON_CALL_", "ANTIPHON_LOAD_", "ANTIPHON_VERIFY_")
"""Beginnings of variables that are options of commands, such as a password to call with, and no settings."""

SECRET_WHOLE = 16
"""Characters of a secret that no model is called by: some write ``ollama`` for a key where none is needed."""

CONFIG_FILE = "antiphon.toml"
DOTENV_FILE = ".env"

SECRET_LEAST = 6
"""Characters of a secret that are looked for in other settings' values: a shorter one is in many words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """The effective settings and where each came from."""

    settings: Settings
    sources: Mapping[str, str]
    """Field name → ``command line``, ``environment``, a file's name, or ``default``."""


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    values: Mapping[str, object]
    """Field name (unchecked) → raw value."""
    spelling: Mapping[str, str]
    """Field name → how this source spells it, for messages."""


def load_settings(
    environ: Mapping[str, str], *, folder: Path = Path(), overrides: Mapping[str, object] | None = None
) -> LoadedSettings:
    """Read and check all settings. ``folder`` is where ``.env`` and ``antiphon.toml`` are looked for;
    ``overrides`` are command-line options by field name, None for those not given.

    Raises SettingsError naming the setting, its value and what is allowed.
    """
    environ = with_secret_files(environ)
    dotenv = with_secret_files(_read_dotenv(folder / DOTENV_FILE))
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    config = environ.get(CONFIG_VARIABLE) or dotenv.get(CONFIG_VARIABLE) or ""
    sources = (
        _Source("command line", given, {name: "--" + name.replace("_", "-") for name in given}),
        _from_variables("environment", environ),
        _from_variables(DOTENV_FILE, dotenv),
        _from_toml(Path(config).expanduser() if config else folder / CONFIG_FILE, required=bool(config)),
        _from_shared("environment", environ),
        _from_shared(DOTENV_FILE, dotenv),
    )
    secrets = _secrets(sources)
    for source in sources:
        _refuse_unknown(source, secrets)
    return _check(sources, secrets)


def _read_dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text)).items()}


def _from_variables(name: str, variables: Mapping[str, str]) -> _Source:
    """An empty variable counts as not set: container tools pass empty ones for what was left out."""
    values: dict[str, object] = {}
    spelling: dict[str, str] = {}
    for variable, value in variables.items():
        if variable.upper().startswith(COMMANDS_OWN):
            continue
        if variable.upper().startswith(PREFIX) and variable.upper() != CONFIG_VARIABLE and value != "":
            field = variable[len(PREFIX) :].lower()
            values[field] = value
            spelling[field] = variable
    return _Source(name, values, spelling)


def _from_shared(name: str, variables: Mapping[str, str]) -> _Source:
    """The variables of others that are read when ours are set nowhere: ``OPENAI_API_KEY``."""
    spelling = {field: variable for field, variable in shared_variables().items() if variables.get(variable)}
    return _Source(name, {field: variables[variable] for field, variable in spelling.items()}, spelling)


def _from_toml(path: Path, *, required: bool) -> _Source:
    if not path.exists():
        if required:
            raise SettingsError(f"{CONFIG_VARIABLE}={path}: there is no such file")
        return _Source(path.name, {}, {})
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    return _Source(path.name, values, {name: name for name in values})


def _secrets(sources: tuple[_Source, ...]) -> frozenset[str]:
    """All that was given for keys and passwords, anywhere."""
    return frozenset(
        str(value)
        for source in sources
        for name, value in source.values.items()
        if len(str(value)) >= SECRET_LEAST and _is_secret(name)
    )


def _is_secret(name: str) -> bool:
    return is_secret(name) if name in Settings.model_fields else may_be_secret(name)


def _holds_key(value: object, secrets: frozenset[str]) -> bool:
    """Whether a value must not be repeated: one looks like a key, or has one of ours in it."""
    text = str(value)
    return looks_like_key(text) or any(secret in text for secret in secrets)


def _refuse_unknown(source: _Source, secrets: frozenset[str]) -> None:
    for name, value in source.values.items():
        if name in Settings.model_fields:
            continue
        nearest = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0.6)
        spelled = source.spelling[name]
        in_variables = spelled.upper().startswith(PREFIX)
        guess = (environment_name(nearest[0]) if in_variables else nearest[0]) if nearest else ""
        hint = f"; did you mean {guess}?" if guess else "."
        meant_secret = bool(nearest) and is_secret(nearest[0])
        told = not (
            may_be_secret(name) or meant_secret or isinstance(value, dict) or _holds_key(value, secrets)
        )
        shown = f" (its value: {_shown(value)})" if told else ""
        raise SettingsError(
            f"{spelled} {_place(source)} is not a setting{shown}{hint} `antiphon settings` lists them all."
        )


def _place(source: _Source) -> str:
    places = {"environment": "in the environment", "command line": "on the command line"}
    return places.get(source.name, f"in the file {source.name}")


def _check(sources: tuple[_Source, ...], secrets: frozenset[str]) -> LoadedSettings:
    values: dict[str, object] = {}
    origin: dict[str, _Source] = {}
    for source in sources:
        for name, value in source.values.items():
            if name not in values:
                values[name] = value
                origin[name] = source
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, values, origin, secrets)) from None
    _refuse_keys_as_models(settings, origin, secrets)
    return LoadedSettings(
        settings=settings,
        sources={name: origin[name].name if name in origin else "default" for name in Settings.model_fields},
    )


def _refuse_keys_as_models(
    settings: Settings, origin: Mapping[str, _Source], secrets: frozenset[str]
) -> None:
    """A model's name is shown and logged everywhere."""
    whole = [secret for secret in secrets if len(secret) >= SECRET_WHOLE]
    for kind in ("asr", "llm", "tts"):
        choices: tuple[ProviderChoice, ...] = getattr(settings, kind)
        for choice in choices:
            if any(secret in choice.model for secret in whole):
                source = origin[kind]
                raise SettingsError(
                    f"{source.spelling[kind]}={HIDDEN} {_place(source)} is not possible: what stands behind "
                    f"{choice.provider}: is a key that another setting holds, and no model's name."
                )


def _explain(
    error: ValidationError,
    values: Mapping[str, object],
    origin: Mapping[str, _Source],
    secrets: frozenset[str],
) -> str:
    """The first fault, as name, value, place, and what is allowed. No key is in it: where the value holds one, it is
    neither shown nor spoken of."""
    fault = error.errors(include_url=False)[0]
    name = str(fault["loc"][0])
    source, value = origin[name], values[name]
    why = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] != "value_error":
        why = "it must be " + allowed_values(name)
    shown = HIDDEN if is_secret(name) else _shown(value)
    if not is_secret(name) and _holds_key(value, secrets):
        shown = HIDDEN
        why = f"what was given looks like a key, which belongs in {key_setting(name, str(value))}"
    return f"{source.spelling[name]}={shown} {_place(source)} is not possible: {why}."


def _shown(value: object) -> str:
    """The value as written, shortened, and without what an address must not have in it."""
    text = str(value)
    if "://" not in text and "@" in text:  # as in user:password@host
        text = "…@" + text.rpartition("@")[2]
    text = without_password(text)
    return repr(text if len(text) <= 80 else text[:79] + "…")
