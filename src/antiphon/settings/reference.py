"""What a setting is called, what it allows, and the page about all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from antiphon.settings.access import ALLOWED
from antiphon.settings.definitions import Settings
from antiphon.settings.keys import BEGINNINGS, HIDDEN, begins_like_key, is_key, without_password


def environment_name(field: str) -> str:
    """``port`` → ``ANTIPHON_PORT``."""
    return "ANTIPHON_" + field.upper()


def unit_of(field: str) -> str:
    """``ms``, ``s``, ``bytes``, …; empty for names and switches."""
    return str(_extra(field)["unit"])


def shared_variables() -> dict[str, str]:
    """Settings that are read from a variable of others too: field → its name."""
    return {field: str(also) for field in Settings.model_fields if (also := _extra(field).get("also"))}


def group_of(field: str) -> str:
    """The heading under which the setting is listed."""
    return str(_extra(field)["group"])


def help_of(field: str) -> str:
    """The setting's line of help."""
    return Settings.model_fields[field].description or ""


def is_secret(field: str, model: type[Settings] = Settings) -> bool:
    """Whether the setting holds a key or token, which is never shown."""
    return any(part is SecretStr for part in _parts(model.model_fields[field].annotation))


def may_be_secret(name: str) -> bool:
    """Whether a name that is no setting looks like it holds a key: then its value is not repeated either."""
    return re.search(r"key|token|secret|passw|credential", name, re.IGNORECASE) is not None


def shown_values(settings: Settings) -> dict[str, str]:
    """Every setting's value as text, secrets hidden."""
    values = settings.model_dump(mode="json")
    return {name: _shown_value(name, values[name], type(settings)) for name in type(settings).model_fields}


def _shown_value(name: str, value: object, model: type[Settings]) -> str:
    if value is None:
        return ""
    if is_secret(name, model):
        return HIDDEN if value else ""
    return str(value).lower() if isinstance(value, bool) else without_password(str(value))


def key_setting(field: str, value: str) -> str:
    """Where a key belongs that was given as ``field``: the key's of the same server, else that of its beginning, else
    that of the provider before it."""
    vendor = field.removesuffix("_base_url") if field.endswith("_base_url") else ""
    known = BEGINNINGS.get(begins_like_key(value), "")
    named = (part.strip().partition(":") for part in value.split(","))
    provider = next((provider for provider, _, model in named if is_key(model.strip())), "")
    for name in (f"{vendor}_api_key", f"{known}_api_key", f"{provider}_api_key"):
        if name in Settings.model_fields:
            return environment_name(name)
    return "the setting for its owner's key, such as ANTIPHON_OPENAI_API_KEY"


def allowed_values(field: str) -> str:
    """What the setting may be, in words: ``one of quick, balanced``, ``a whole number from 1 to 65535``."""
    info = Settings.model_fields[field]
    parts = tuple(_parts(info.annotation))
    if field in ALLOWED:
        return ALLOWED[field]
    if get_origin(info.annotation) is Literal:
        return "one of " + ", ".join(str(value) for value in get_args(info.annotation))
    if bool in parts:
        return "true or false"
    if int in parts:
        return "a whole number" + _range(info)
    if float in parts:
        return "a number" + _range(info)
    special = {
        "prices": "a file",
        "time_zone": "a time zone",
        "alert_webhook": "an address with http:// or https://",
        "language": "auto or an ISO 639-1 code such as en",
        "store": "memory or valkey://host:port",
        "allowed_origins": "web origins",
    }
    if field in special:
        return special[field]
    if field.removeprefix("budget_") in ("asr", "llm", "tts"):
        return "provider:model, with commas between fallbacks"
    if field.endswith("_base_url"):
        return "an address with http:// or https://"
    if SecretStr in parts:
        return "a key"
    return "a folder" if field in ("models", "data", "recordings") else "text" + _length(info)


def _extra(field: str) -> Mapping[str, Any]:
    extra = Settings.model_fields[field].json_schema_extra
    assert isinstance(extra, dict)
    return extra


def _parts(annotation: object) -> Iterator[object]:
    """The plain types an annotation is made of."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _parts(part)
    else:
        yield annotation if origin is None else origin


def _range(info: FieldInfo) -> str:
    low, high = "", ""
    if (least := _limit(info, "ge")) is not None:
        low = f" from {least}"
    if (above := _limit(info, "gt")) is not None:
        low = f" above {above}"
    if (most := _limit(info, "le")) is not None:
        high = f" to {most}"
    return low + high


def _length(info: FieldInfo) -> str:
    most = _limit(info, "max_length")
    return (" that is not empty" if _limit(info, "min_length") else "") + (
        f" of at most {most} characters" if most else ""
    )


def _limit(info: FieldInfo, name: str) -> float | None:
    """A constraint of the field, as pydantic keeps it."""
    return next((getattr(limit, name) for limit in info.metadata if hasattr(limit, name)), None)


def settings_page() -> str:
    """``docs/settings.md``."""
    lines = [_PAGE_HEAD]
    for group in dict.fromkeys(group_of(field) for field in Settings.model_fields):
        lines += [
            f"\n## {group}\n",
            "| setting | environment | default | unit | allowed | what it does |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(field) for field in Settings.model_fields if group_of(field) == group]
    return "\n".join(lines) + "\n"


def _row(field: str) -> str:
    default = _default_text(field)
    cells = (
        f"`{field}`",
        " or ".join(f"`{name}`" for name in (environment_name(field), _extra(field).get("also")) if name),
        f"`{default}`" if default else "",
        unit_of(field),
        allowed_values(field),
        help_of(field),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default_text(field: str) -> str:
    default = Settings.model_fields[field].default
    if default is None or default == ():
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


_PAGE_HEAD = """# Settings

<!-- Written by scripts/settings_page.py from src/antiphon/settings/definitions.py; do not edit. -->

A setting is read from, in this order, the first that has it winning:

1. the command line, for the few that have an option there (`antiphon serve --port 9000`),
2. the environment (`ANTIPHON_PORT=9000`; an empty variable counts as not set),
3. a file `.env` in the working folder, lines as in the environment,
4. a TOML file: `antiphon.toml` in the working folder, or the one that `ANTIPHON_CONFIG` names, with the
   setting's own name (`port = 9000`, `allowed_origins = ["https://talk.example.org"]`),
5. its default.

A name that is not a setting, or a value that is not possible, stops the start with a message that says which,
where it was found, and what is allowed. `antiphon settings` shows the effective settings and where each came
from; keys and tokens are never shown.

Some variables that others use too (`OPENAI_API_KEY`) are read when Antiphon's own is set nowhere.

Providers are written `provider:model`, with fallbacks after commas: `openai:gpt-4o-mini,local`. Whoever is named first
is asked first. Providers are `local` (embedded models; without a model, the profile's; `local:` also takes the path of
a model on this machine), the vendors and servers of [providers](providers.md), and `scripted` (answers from a script,
for tests)."""
