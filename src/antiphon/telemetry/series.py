"""Counters and histograms: plain numbers, counted in the event loop, and made into Prometheus' families at a scrape.

Those of ``prometheus_client`` take a lock and look for exemplars at every step, which takes ten times as long; a turn
has a hundred such steps.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

Bucket = tuple[str, float] | tuple[str, float, Exemplar]
"""Upper edge, how many, one of them."""


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, by: float = 1.0) -> None:
        """So much more."""
        self.value += by


class Distribution:
    """How many values there were up to each edge."""

    __slots__ = ("_edges", "counts", "exemplars", "sum")

    def __init__(self, edges: Sequence[float]) -> None:
        """``edges``: upper ones, which belong to what is below them."""
        self._edges = edges
        self.counts = [0] * (len(edges) + 1)
        """Up to each edge and beyond the one before; the last: beyond them all."""
        self.exemplars: list[Exemplar | None] = [None] * len(self.counts)
        """The newest value in each whose trace is known."""
        self.sum = 0.0

    def observe(self, value: float, trace_id: str = "") -> None:
        """One more value; ``trace_id``, hex, leads to where it comes from."""
        at = bisect_left(self._edges, value)
        self.counts[at] += 1
        self.sum += value
        if trace_id:
            self.exemplars[at] = Exemplar({"trace_id": trace_id}, value, time.time())

    def buckets(self) -> list[Bucket]:
        """As a family wants them: how many up to each edge, all below it included."""
        names = [*(str(edge) for edge in self._edges), "+Inf"]
        counted = zip(names, accumulate(self.counts), self.exemplars, strict=True)
        return [(name, count) if found is None else (name, count, found) for name, count, found in counted]


S = TypeVar("S")


class Series(Generic[S]):
    """The series of one metric by the values of its labels; a new one is made. Whoever asks bounds how many there are
    (``labels.Names``)."""

    def __init__(self, make: Callable[[], S]) -> None:
        self._make = make
        self.known: dict[tuple[str, ...], S] = {}

    def __call__(self, *values: str) -> S:
        found = self.known.get(values)
        if found is None:
            found = self.known[values] = self._make()
        return found


class _Family(Protocol):
    def collect(self) -> Metric: ...


class Counters(Series[Count]):
    """A metric that counts."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        """``name`` without ``_total``."""
        super().__init__(Count)
        self._about = name, text, labels

    def collect(self) -> Metric:
        """As Prometheus wants it."""
        name, text, labels = self._about
        family = CounterMetricFamily(name, text, labels=labels)
        for values, count in self.known.items():
            family.add_metric(values, count.value)
        return family


class Histograms(Series[Distribution]):
    """A metric that tells how values are spread."""

    def __init__(self, name: str, text: str, edges: Sequence[float], *labels: str) -> None:
        super().__init__(lambda: Distribution(edges))
        self._about = name, text, labels

    def collect(self) -> Metric:
        """As Prometheus wants it."""
        name, text, labels = self._about
        family = HistogramMetricFamily(name, text, labels=labels)
        for values, found in self.known.items():
            family.add_metric(values, buckets=found.buckets(), sum_value=found.sum)
        return family


class SeriesCollector(Collector):
    """All metrics of one registry, in the order in which they were defined."""

    def __init__(self, prefix: str) -> None:
        """``prefix`` of every name."""
        self._prefix = prefix
        self._families: list[_Family] = []

    def counters(self, name: str, text: str, *labels: str) -> Counters:
        """Several series, by their labels."""
        family = Counters(self._prefix + name, text, *labels)
        self._families.append(family)
        return family

    def counter(self, name: str, text: str) -> Count:
        """One series, there from the start."""
        return self.counters(name, text)()

    def histograms(self, name: str, text: str, edges: Sequence[float], *labels: str) -> Histograms:
        """Several series, by their labels."""
        family = Histograms(self._prefix + name, text, edges, *labels)
        self._families.append(family)
        return family

    def histogram(self, name: str, text: str, edges: Sequence[float]) -> Distribution:
        """One series, there from the start."""
        return self.histograms(name, text, edges)()

    def collect(self) -> Iterator[Metric]:
        """At a scrape."""
        for family in self._families:
            yield family.collect()

    def describe(self) -> Iterator[Metric]:
        """Nothing: names are not taken twice here."""
        return iter(())
