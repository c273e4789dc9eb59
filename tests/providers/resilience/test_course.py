"""Who is asked when, and whose pieces count: decided without a loop, at times that are said."""

from __future__ import annotations

import asyncio
import math

import pytest
from tests.providers.resilience.chains import model

from antiphon.errors import ProviderUnavailable
from antiphon.providers.base import LanguageModel
from antiphon.providers.resilience import Chain, Limits
from antiphon.providers.resilience.course import LAST_HOPE_S, Course
from antiphon.providers.resilience.plan import Step
from antiphon.providers.resilience.request import NOT_YET, Expected, News, Question, Request

CUT = ProviderUnavailable("it broke off", provider="one", cause="cut")
LATE_S = Limits().late_s


class Asked:
    """A course, and what it wants done. An answer is any piece but a blank, its end is ``.``."""

    def __init__(self, *providers: str, expected: Expected | None = None) -> None:
        self.chain: Chain[LanguageModel] = Chain([model(name) for name in providers], kind="llm")
        self.expected = expected or Expected()
        self.question: Question[LanguageModel, str] = Question(
            ask=lambda _: pytest.fail("nothing is sent"),
            answers=lambda piece: piece != " ",
            ends=lambda piece: piece == ".",
            enough=lambda: False,
        )
        self.course = Course(self.chain, self.question, self.expected, self._request)
        self.course.begin(0.0, awaited_since=0.0)

    def _request(self, step: Step[LanguageModel], now: float) -> Request[LanguageModel, str]:
        news: News[LanguageModel, str] = asyncio.Queue()
        return Request(link=step.link, question=self.question, news=news, began=now + step.wait_s)

    def next(self) -> Request[LanguageModel, str]:
        """The request that is to be sent now, the only one."""
        [request] = self.course.started
        self.course.started.clear()
        return request


def names(requests: list[Request[LanguageModel, str]]) -> list[str]:
    return [request.link.adapter.info.provider for request in requests]


def test_the_next_is_asked_beside_a_late_one_and_the_first_to_answer_is_taken() -> None:
    asked = Asked("one", "two")
    course, one = asked.course, asked.next()
    assert course.until(0.0) == LATE_S
    assert not course.reached(LATE_S)
    two = asked.next()
    assert names(course.running) == ["one", "two"]
    assert not course.came(two, " "), "the first asked may show what it has"
    assert course.came(one, " ")
    assert course.came(two, "Well")
    assert (course.chosen, names(course.dropped)) == (two, ["one"])


def test_what_breaks_off_is_gone_on_with_and_the_answer_ends_with_its_request() -> None:
    asked = Asked("one", "two")
    course, one = asked.course, asked.next()
    assert course.came(one, "Well")
    course.taken(0.4)
    assert course.until(0.4) == 0.4 + Limits().gap_s
    assert not course.ended(one, CUT, 1.0)
    again = asked.next()
    assert (again.link, again.began, course.chosen) == (one.link, 1.0 + Limits().retry_wait_s, None)
    assert course.came(again, ", yes")
    assert course.ended(again, None, 2.0)


def test_the_chosen_one_that_falls_silent_is_dropped_for_the_next() -> None:
    asked = Asked("one", "two")
    course, one = asked.course, asked.next()
    course.came(one, "Well")
    course.taken(0.4)
    assert not course.reached(course.until(0.4))
    assert (names(course.dropped), names(course.running)) == (["one"], ["two"])


def test_when_all_are_late_and_nobody_is_left_there_is_one_second_more() -> None:
    asked = Asked("one")
    course, now = asked.course, 0.0
    while course.started:
        course.started.clear()
        now = course.until(now)
        course.reached(now)
    assert course.until(now) == now + LAST_HOPE_S
    with pytest.raises(ProviderUnavailable, match="one:language-model fell silent"):
        course.reached(now + LAST_HOPE_S)


def test_nobody_is_late_before_an_answer_can_be_expected() -> None:
    asked = Asked("one", "two", expected=Expected(NOT_YET))
    assert asked.course.until(0.0) == math.inf
    asked.course.expect(60.0)
    assert asked.course.until(60.0) == 60.0 + LATE_S
