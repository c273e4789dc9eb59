"""The ways in that settings ask for, and the limits on addresses."""

from __future__ import annotations

from typing import Literal

from antiphon.errors import SettingsError
from antiphon.server.credentials import ApiKeys, Password, Way
from antiphon.server.web_tokens import TokenRules, WebTokens
from antiphon.sessions.address_limits import LimitPolicy
from antiphon.settings import Settings
from antiphon.settings.access import read_api_keys

NEEDS = {
    "password": ("password",),
    "bearer": ("api_keys",),
    "jwt": ("jwt_jwks_url", "jwt_issuer", "jwt_audience"),
}
"""What each way in cannot do without."""


def ways_in(settings: Settings) -> tuple[Way, ...]:
    """As ``ANTIPHON_ACCESS`` says. Raises SettingsError naming what is missing."""
    for mode in settings.access:
        for name in NEEDS.get(mode, ()):
            value = getattr(settings, name)
            if not (value if isinstance(value, str) else value.get_secret_value()):
                raise SettingsError(
                    f"ANTIPHON_ACCESS={mode} needs ANTIPHON_{name.upper()}, which is not set."
                )
    ways: list[Way] = []
    for mode in settings.access:
        match mode:
            case "password":
                ways.append(Password(settings.password.get_secret_value()))
            case "bearer":
                ways.append(ApiKeys(read_api_keys(settings.api_keys.get_secret_value())))
            case "jwt":
                ways.append(WebTokens(_token_rules(settings)))
            case "open":
                pass
    return tuple(ways)


def _token_rules(settings: Settings) -> TokenRules:
    return TokenRules(
        jwks_url=settings.jwt_jwks_url,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        algorithms=settings.jwt_algorithms,
        name_claim=settings.jwt_name_claim,
    )


def address_policy(settings: Settings) -> LimitPolicy:
    """How much one address may have."""

    def number(chosen: int | Literal["auto"]) -> int | None:
        return None if chosen == "auto" else chosen

    return LimitPolicy(
        sessions=number(settings.address_sessions),
        connects_per_minute=number(settings.address_connects_per_minute),
        messages_per_s=number(settings.address_messages_per_s),
        bytes_per_s=number(settings.address_bytes_per_s),
        each_messages_per_s=settings.messages_per_s,
        each_bytes_per_s=settings.bytes_per_s,
    )
