"""Checks on what the settings of access and limits hold: ways in, networks, keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, SerializerFunctionWrapHandler
from pydantic.functional_serializers import WrapSerializer

AccessMode = Literal["open", "password", "bearer", "jwt"]

Network = IPv4Network | IPv6Network

KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
HASHED = re.compile(r"sha256:([0-9a-f]{64})")

JWT_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Those whose public key cannot sign. With HS256 whoever may read the key set could write tokens."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")

LEAST_PASSWORD = 8
LEAST_TOKEN = 16
"""Characters: a password is guessed at ten attempts a minute and address, a token at whatever a leak allows."""


def split_list(value: object) -> object:
    """Commas in the environment, a list in TOML."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


def _check_modes(modes: tuple[AccessMode, ...]) -> tuple[AccessMode, ...]:
    if not modes:
        raise ValueError(f"it must name {', '.join(get_args(AccessMode))}, or several but `open` with commas")
    if "open" in modes and len(modes) > 1:
        raise ValueError("`open` lets everybody in, so it stands alone")
    return tuple(dict.fromkeys(modes))


def _read_network(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value == "*":
        raise ValueError(
            "* would believe everybody; name the addresses of your proxies, as 10.0.0.5 or 10.0.0.0/24"
        )
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"{value!r} is not an address or network; write 10.0.0.5 or 10.0.0.0/24") from None
    if network.prefixlen == 0:
        raise ValueError(f"{value} would believe everybody; name the addresses of your proxies")
    return network


def _check_algorithm(name: str) -> str:
    if name not in JWT_ALGORITHMS:
        raise ValueError(f"{name!r} is not among {', '.join(JWT_ALGORITHMS)}")
    return name


def _check_key_set(address: str) -> str:
    """Whoever can change the keys on their way can let anybody in."""
    if not address:
        return address
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is no address; write https://login.example.org/…") from None
    if parts.scheme == "http" and host in LOOPBACK:
        return address
    if parts.scheme != "https" or not host:
        raise ValueError(
            "it must begin with https://, or whoever is on the way could put keys of their own in (http:// will do on"
            " this machine)"
        )
    return address


def _at_least(length: int) -> AfterValidator:
    def check(secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < length:
            raise ValueError(f"it must have at least {length} characters")
        return secret

    return AfterValidator(check)


def _check_keys(secret: SecretStr) -> SecretStr:
    read_api_keys(secret.get_secret_value())
    return secret


def read_api_keys(text: str) -> Mapping[str, str]:
    """``shop=KEY, bot=sha256:HEX`` → name → key as written. ValueError names the key's name, never the key."""
    keys: dict[str, str] = {}
    for number, part in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        name, separator, key = (piece.strip() for piece in part.partition("="))
        if not separator or not KEY_NAME.fullmatch(name):
            raise ValueError(f"entry {number} is not name=key (a name has letters, digits, dots, dashes)")
        if name in keys:
            raise ValueError(f"the name {name!r} is there twice")
        if key.startswith("sha256:"):
            if not HASHED.fullmatch(key):
                raise ValueError(f"the hash of {name!r} is not sha256: and 64 hexadecimal digits")
        elif len(key) < LEAST_TOKEN:
            raise ValueError(f"the key of {name!r} must have at least {LEAST_TOKEN} characters")
        keys[name] = key
    return keys


def _as_text(value: Any, handler: SerializerFunctionWrapHandler) -> str:
    return ",".join(str(part) for part in value)


AccessModes = Annotated[
    tuple[AccessMode, ...],
    BeforeValidator(split_list),
    AfterValidator(_check_modes),
    WrapSerializer(_as_text),
]
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_read_network)], ...],
    BeforeValidator(split_list),
    WrapSerializer(_as_text),
]
Algorithms = Annotated[
    tuple[Annotated[str, AfterValidator(_check_algorithm)], ...],
    BeforeValidator(split_list),
    WrapSerializer(_as_text),
]
KeySetUrl = Annotated[str, AfterValidator(_check_key_set)]
Password = Annotated[SecretStr, _at_least(LEAST_PASSWORD)]
Token = Annotated[SecretStr, _at_least(LEAST_TOKEN)]
ApiKeys = Annotated[SecretStr, AfterValidator(_check_keys)]
Sessions = Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"]
PerAddress = Annotated[int, Field(ge=0, le=100_000)] | Literal["auto"]
BytesPerAddress = Annotated[int, Field(ge=0, le=1_000_000_000)] | Literal["auto"]

ALLOWED: Mapping[str, str] = {
    "access": "open, or password, bearer, jwt with commas",
    "api_keys": "name=key or name=sha256:HASH, with commas",
    "trusted_proxies": "addresses and networks (CIDR), with commas",
    "jwt_algorithms": "of " + ", ".join(JWT_ALGORITHMS),
    "jwt_jwks_url": "an address with https://",
    "max_sessions": "a whole number from 1 to 10000, or auto",
    "address_sessions": "a whole number from 0 to 100000, or auto",
    "address_connects_per_minute": "a whole number from 0 to 100000, or auto",
    "address_messages_per_s": "a whole number from 0 to 100000, or auto",
    "address_bytes_per_s": "a whole number from 0 to 1000000000, or auto",
}
"""What is allowed, in words, where the type does not say it."""
