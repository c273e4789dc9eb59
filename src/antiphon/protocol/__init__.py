"""The wire messages of antiphon.v1, as bytes and as dataclasses. Pure: no clock, no socket."""

SUBPROTOCOL = "antiphon.v1"
"""What a client offers, and the server selects, as the WebSocket sub-protocol."""
