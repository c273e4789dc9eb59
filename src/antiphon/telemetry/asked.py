"""What providers were asked since the start: one record for each in its role, added to once a call, and told as a dozen
metrics at a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from antiphon.conversation import events
from antiphon.telemetry.labels import Names
from antiphon.telemetry.pricing import MICRO
from antiphon.telemetry.series import Distribution
from antiphon.telemetry.tally import failed

CALL_EDGES_S = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

WHO = ("kind", "provider", "model")


class Asked:
    """One provider in one role. Money is whole micro-dollars."""

    __slots__ = (
        *("who", "outcomes", "causes", "first_s", "whole_s", "audio_s", "input_tokens", "cached_tokens"),
        *("output_tokens", "characters", "cost", "wasted", "unpriced"),
    )

    def __init__(self, kind: str, name: str) -> None:
        """``name``: ``provider:model``."""
        provider, _, model = name.partition(":")
        self.who = kind, provider, model
        self.outcomes: dict[str, int] = {}
        self.causes: dict[str, int] = {}
        """Of those that failed."""
        self.first_s = Distribution(CALL_EDGES_S)
        """From a request to its first result."""
        self.whole_s = Distribution(CALL_EDGES_S)
        self.audio_s = 0.0
        self.input_tokens = self.cached_tokens = self.output_tokens = self.characters = 0
        self.cost = self.wasted = self.unpriced = 0

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values())

    def add(self, call: events.ProviderCall, micro: int | None, codes: Names) -> None:
        """One more request; ``micro`` None: its price is not known."""
        outcome = "failed" if failed(call) else "cancelled" if call.cancelled else "ok"
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if outcome == "failed":
            cause = codes(call.outcome)
            self.causes[cause] = self.causes.get(cause, 0) + 1
        if call.first_ms is not None:
            self.first_s.observe(call.first_ms / 1000)
        if call.total_ms:
            self.whole_s.observe(call.total_ms / 1000)
        if micro is None:
            self.unpriced += 1
        else:
            self.cost += micro
        usage = call.usage
        self.audio_s += usage.audio_s
        self.input_tokens += usage.input_tokens
        self.cached_tokens += usage.cached_tokens
        self.output_tokens += usage.output_tokens
        self.characters += usage.characters


class Usage:
    """What was used since the start, by kind, as the JSON form tells it."""

    def __init__(self, asked: Iterable[Asked] = ()) -> None:
        self.asr_requests = self.llm_requests = self.tts_requests = 0
        self.audio_s = 0.0
        self.input_tokens = self.output_tokens = self.characters = 0
        self.micro = {"asr": 0, "llm": 0, "tts": 0}
        for each in asked:
            self._add(each)

    def _add(self, asked: Asked) -> None:
        kind = asked.who[0]
        self.micro[kind] += asked.cost
        match kind:
            case "asr":
                self.asr_requests += asked.requests
                self.audio_s += asked.audio_s
            case "llm":
                self.llm_requests += asked.requests
                self.input_tokens += asked.input_tokens
                self.output_tokens += asked.output_tokens
            case _:
                self.tts_requests += asked.requests
                self.characters += asked.characters

    def to_json(self) -> dict[str, object]:
        """``usage`` of the JSON form."""
        usd = {kind: micro / MICRO for kind, micro in self.micro.items()}
        return {
            "asr": {
                "requests": self.asr_requests,
                "audio_minutes": round(self.audio_s / 60, 4),
                "cost_usd": usd["asr"],
            },
            "llm": {
                "requests": self.llm_requests,
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "cost_usd": usd["llm"],
            },
            "tts": {"requests": self.tts_requests, "characters": self.characters, "cost_usd": usd["tts"]},
            "total_cost_usd": sum(self.micro.values()) / MICRO,
        }


class AskedCollector(Collector):
    """All providers; names past what a label may hold are one, ``other``."""

    def __init__(self) -> None:
        self._names, self._codes = Names(), Names()
        self._asked: dict[tuple[str, str], Asked] = {}

    @property
    def usage(self) -> Usage:
        """What it comes to."""
        return Usage(self._asked.values())

    def add(self, call: events.ProviderCall, micro: int | None) -> None:
        """One more request; ``micro`` None: its price is not known."""
        self._of(call).add(call, micro, self._codes)

    def waste(self, call: events.ProviderCall, micro: int) -> None:
        """So much of what was counted was thrown away."""
        self._of(call).wasted += micro

    def _of(self, call: events.ProviderCall) -> Asked:
        key = call.kind, self._names(call.provider)
        found = self._asked.get(key)
        if found is None:
            found = self._asked[key] = Asked(*key)
        return found

    def collect(self) -> Iterator[Metric]:
        """At a scrape, in the order of docs/observability.md."""
        yield self._counters("provider_calls", "Requests to providers.", lambda a: a.outcomes, "outcome")
        yield self._counters(
            "provider_errors", "Requests that failed, by cause.", lambda a: a.causes, "cause"
        )
        yield self._histograms(
            "provider_first_result_seconds", "From a request to its first result.", lambda a: a.first_s
        )
        yield self._histograms("provider_call_seconds", "Length of a request.", lambda a: a.whole_s)
        yield self._counters("provider_audio_seconds", "Sound sent to recognisers.", _audio)
        yield self._counters("provider_tokens", "Tokens; `cached` are part of `input`.", _tokens, "direction")
        yield self._counters("provider_characters", "Characters sent to voices.", _characters)
        # A price of nothing is a price: the series is there, at 0.
        yield self._counters("cost_usd", "What was spent, by the price book.", lambda a: {"": a.cost / MICRO})
        yield self._counters(
            "cost_discarded_usd",
            "The part spent on answers thrown away.",
            lambda a: _if_any(a.wasted / MICRO),
        )
        yield self._counters(
            "unpriced_calls", "Requests whose price is not known.", lambda a: _if_any(a.unpriced)
        )

    def describe(self) -> Iterator[Metric]:
        """Nothing: names are not taken twice here."""
        return iter(())

    def _counters(
        self, name: str, text: str, values: Callable[[Asked], Mapping[str, float]], *label: str
    ) -> Metric:
        """``values``: value of the label → count; of the empty one where there is no label."""
        family = CounterMetricFamily("antiphon_" + name, text, labels=(*WHO, *label))
        for asked in self._asked.values():
            for value, count in values(asked).items():
                family.add_metric((*asked.who, value) if label else asked.who, count)
        return family

    def _histograms(self, name: str, text: str, values: Callable[[Asked], Distribution]) -> Metric:
        family = HistogramMetricFamily("antiphon_" + name, text, labels=WHO)
        for asked in self._asked.values():
            found = values(asked)
            if any(found.counts):
                family.add_metric(asked.who, buckets=found.buckets(), sum_value=found.sum)
        return family


def _audio(asked: Asked) -> Mapping[str, float]:
    return {"": asked.audio_s} if asked.who[0] == "asr" else {}


def _tokens(asked: Asked) -> Mapping[str, float]:
    if asked.who[0] != "llm":
        return {}
    return {"input": asked.input_tokens, "cached": asked.cached_tokens, "output": asked.output_tokens}


def _characters(asked: Asked) -> Mapping[str, float]:
    return {"": asked.characters} if asked.who[0] == "tts" else {}


def _if_any(count: float) -> Mapping[str, float]:
    return {"": count} if count else {}
