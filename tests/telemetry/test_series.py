"""Counters and histograms: what they count, and the families that Prometheus is told."""

from __future__ import annotations

import pytest

from antiphon.telemetry.series import Count, SeriesCollector

EDGES = (0.1, 0.5, 1.0)


def samples(series: SeriesCollector) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in series.collect()
        for sample in family.samples
    }


def test_a_metric_without_labels_is_there_from_the_start_and_others_when_they_happen() -> None:
    series = SeriesCollector("a_")
    turns, errors = series.counter("turns", "…"), series.counters("errors", "…", "code")
    assert samples(series) == {("a_turns_total", ()): 0.0}
    turns.inc()
    errors("busy").inc(2.5)
    errors("busy").inc()
    assert samples(series) == {("a_turns_total", ()): 1.0, ("a_errors_total", ("busy",)): 3.5}
    assert isinstance(errors("busy"), Count)
    assert errors("busy") is errors("busy")


def test_an_edge_belongs_to_what_is_below_it() -> None:
    series = SeriesCollector("")
    length = series.histogram("s", "…", EDGES)
    for value in (0.05, 0.1, 0.100001, 0.5, 1.0, 7.0):
        length.observe(value)
    found = samples(series)
    assert [found["s_bucket", (edge,)] for edge in ("0.1", "0.5", "1.0", "+Inf")] == [2, 4, 5, 6]
    assert found["s_count", ()] == 6
    assert found["s_sum", ()] == pytest.approx(8.750001)


def test_the_newest_of_each_bucket_leads_to_its_trace() -> None:
    series = SeriesCollector("")
    stage = series.histograms("s", "…", EDGES, "stage")
    stage("llm").observe(0.2, "aa")
    stage("llm").observe(0.3, "bb")
    stage("llm").observe(0.4)
    [family] = series.collect()
    leads = {sample.labels["le"]: sample.exemplar for sample in family.samples if "le" in sample.labels}
    assert leads["0.5"] is not None
    assert (leads["0.5"].labels, leads["0.5"].value) == ({"trace_id": "bb"}, 0.3)
    assert [leads[edge] for edge in ("0.1", "1.0", "+Inf")] == [None, None, None]
