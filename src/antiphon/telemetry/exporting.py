"""Where spans go: to a collector, by OTLP over HTTP, in batches, from a thread of their own.

A collector that is down loses spans and nothing else: the queue is bounded, and what does not fit is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from antiphon import __version__
from antiphon.errors import SettingsError
from antiphon.telemetry.logs import logger

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

QUEUE = 4_096
"""Spans that wait: some 300 turns, 2 MB. A collector that is away for longer than a busy minute misses some."""

EXPORT_TIMEOUT_S = 5.0
LAST_EXPORT_S = 3.0
"""How long the last spans may take when the server stops."""

log = logger(__name__)


@asynccontextmanager
async def open_tracer(endpoint: str, *, sample: float = 1.0) -> AsyncIterator[Tracer]:
    """A tracer whose spans go to ``endpoint`` (the collector's base address, such as ``http://127.0.0.1:4318``).
    ``sample``: the share of sessions that is traced, 0-1. Raises SettingsError when OpenTelemetry is missing."""
    exporter = told_once(_exporter(endpoint))
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


def told_once(exporter: SpanExporter) -> SpanExporter:
    """The same, but that it fails is said once, and once that it works again; the library says so three times every
    five seconds."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)

    class ToldOnce(SpanExporter):
        lost = 0
        """Spans since it last worked."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = exporter.export(spans)
            if result is SpanExportResult.SUCCESS:
                if self.lost:
                    log.info("traces are taken again", spans_lost=self.lost)
                self.lost = 0
            else:
                if not self.lost:
                    log.warning("the collector takes no traces", setting="ANTIPHON_TRACES")
                self.lost += len(spans)
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return exporter.force_flush(timeout_millis)

    return ToldOnce()


def _exporter(endpoint: str) -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise SettingsError(
            "ANTIPHON_TRACES is set, but OpenTelemetry is not installed. Install it with "
            "`pip install 'antiphon[traces]'`, or unset ANTIPHON_TRACES."
        ) from error
    return OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=EXPORT_TIMEOUT_S)
