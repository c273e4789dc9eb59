"""Logs: one JSON object a line, or lines for people in a terminal; every library's in the same form.

What is logged are names, numbers and codes. Speech, text and keys never are: ``drop_private`` removes the
fields that could hold them, should a call ever pass one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

PRIVATE = frozenset(
    {"text", "transcript", "reply", "heard_text", "instructions", "prompt", "pcm", "audio", "token",
    "ticket", "key",
     "api_key", "authorization", "cookie", "password", "query"}
)  # fmt: skip
"""Names of fields that hold what was said, or keys."""

QUIET = (
    *("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "asyncio"),
    *("httpx", "httpcore", "httpx2", "httpcore2", "h2", "hpack"),
)
"""Libraries whose everyday lines say nothing new; uvicorn's would repeat addresses with their query, hpack's every
header, keys among them."""

EventDict = MutableMapping[str, Any]


def configure_logs(
    *, level: str = "info", form: Literal["auto", "json", "pretty"] = "auto", stream: TextIO | None = None
) -> None:
    """Set up logging for the whole process. ``auto`` is pretty in a terminal and JSON elsewhere. Logs go
    to standard error, so that standard output stays for results."""
    out = stream if stream is not None else sys.stderr
    pretty = form == "pretty" or (form == "auto" and out.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
        drop_private,
    ]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(pretty, out)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger named after its module; bind ``session_id`` and the like to it."""
    bound: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return bound


def drop_private(_: Any, __: str, event: EventDict) -> EventDict:
    """Take out fields that could hold speech or keys."""
    for name in PRIVATE & event.keys():
        del event[name]
    return event


def _rendering(pretty: bool, out: TextIO) -> list[structlog.typing.Processor]:
    if pretty:
        # By itself it prints the local variables of every frame where `rich` is installed: what was said, and keys.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=0, exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
