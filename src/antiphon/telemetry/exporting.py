"""Where spans go: to a collector, by OTLP over HTTP, in batches, from a thread of their own.

A collector that is down loses spans and nothing else: the queue is bounded, and what does not fit is dropped.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from antiphon import __version__
from antiphon.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

QUEUE = 4_096
"""Spans that wait: some 300 turns, 2 MB. A collector that is away for longer than a busy minute misses some."""

EXPORT_TIMEOUT_S = 5.0
LAST_EXPORT_S = 3.0
"""How long the last spans may take when the server stops."""


@asynccontextmanager
async def open_tracer(endpoint: str, *, sample: float = 1.0) -> AsyncIterator[Tracer]:
    """A tracer whose spans go to ``endpoint`` (the collector's base address, such as ``http://127.0.0.1:4318``).
    ``sample``: the share of sessions that is traced, 0-1. Raises SettingsError when OpenTelemetry is missing."""
    exporter = _exporter(endpoint)
    provider = tracer_provider(exporter, sample=sample)
    try:
        yield provider.get_tracer("antiphon", __version__)
    finally:
        # In a thread that nobody waits for any longer than this: a collector that hangs must not hold up the end.
        ending = threading.Thread(target=provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, LAST_EXPORT_S)


def tracer_provider(exporter: SpanExporter, *, sample: float = 1.0) -> TracerProvider:
    """OpenTelemetry's, as we use it; not made the process's own, so that two servers do not mix."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

    resource = Resource.create({"service.name": "antiphon", "service.version": __version__})
    provider = TracerProvider(resource=resource, sampler=TraceIdRatioBased(sample), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE))
    return provider


def _exporter(endpoint: str) -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise SettingsError(
            "ANTIPHON_TRACES is set, but OpenTelemetry is not installed. Install it with "
            "`pip install 'antiphon[traces]'`, or unset ANTIPHON_TRACES."
        ) from error
    return OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=EXPORT_TIMEOUT_S)
