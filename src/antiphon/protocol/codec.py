"""Messages ⇄ JSON text. Reading is strict about what a field is and lenient about what is new: unknown
message types and unknown fields are ignored, so that either side may be newer."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from antiphon.errors import ProtocolError
from antiphon.protocol.client_messages import ClientMessage
from antiphon.protocol.json_text import read_object
from antiphon.protocol.server_messages import ServerMessage

CLIENT_TYPES: dict[str, type[ClientMessage]] = {kind.TYPE: kind for kind in get_args(ClientMessage)}
SERVER_TYPES: dict[str, type[ServerMessage]] = {kind.TYPE: kind for kind in get_args(ServerMessage)}

M = TypeVar("M", bound=ClientMessage | ServerMessage)


def size(frame: str | bytes) -> int:
    """Bytes on the wire."""
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode(errors="replace"))


def encode(message: ClientMessage | ServerMessage, *, seq: int | None = None) -> str:
    """JSON text of a message; server messages carry the connection's ``seq``."""
    head: dict[str, object] = {"type": message.TYPE}
    if seq is not None:
        head["seq"] = seq
    return json.dumps(head | dataclasses.asdict(message), ensure_ascii=False, separators=(",", ":"))


def decode_client(text: str) -> ClientMessage | None:
    """A client's message, or None for a type that this version does not know. Raises ProtocolError."""
    kind = CLIENT_TYPES.get(_type_of(read_object(text)))
    return None if kind is None else _validate(kind, text)


def decode_server(text: str) -> tuple[int, ServerMessage | None]:
    """A server's ``seq`` and message, None for a type that this version does not know. Raises
    ProtocolError."""
    fields = read_object(text)
    seq = fields.get("seq")
    if not isinstance(seq, int) or isinstance(seq, bool) or seq < 0:
        raise ProtocolError("`seq` must be a whole number")
    kind = SERVER_TYPES.get(_type_of(fields))
    return seq, None if kind is None else _validate(kind, text)


def _type_of(fields: dict[str, object]) -> str:
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise ProtocolError('the message must have a "type", a text such as "start"')
    return kind


_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind) for types in (CLIENT_TYPES, SERVER_TYPES) for name, kind in types.items()
}


def _validate(kind: type[M], text: str) -> M:
    try:
        message: M = _ADAPTERS[kind.TYPE].validate_json(text, strict=True)
    except ValidationError as error:
        raise ProtocolError(_explain(kind.TYPE, error)) from None
    return message


def _explain(name: str, error: ValidationError) -> str:
    """Which field, and what it should be. Never the value: it may be speech."""
    fault = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in fault["loc"])
    why = str(fault["msg"])
    return f"`{name}.{path}`: {why}" if path else f"`{name}`: {why}"
