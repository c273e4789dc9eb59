"""What is learnt from a refusal: about the server, or only about the request."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from antiphon.errors import ProviderRejected
from antiphon.providers.openai.dialect import Dialect

Server = Callable[[set[str]], str]
"""The fields of a request → why it is refused; empty: it is taken."""


def refusal(words: str, cause: str = "invalid_request") -> ProviderRejected:
    return ProviderRejected(words, provider="v:m", cause=cause)


def ask(dialect: Dialect, server: Server) -> list[set[str]]:
    """The fields of each request until one is taken, or until nobody asks again."""
    asked: list[set[str]] = []
    wording = dialect.request()
    while True:
        sent = {field for field in dialect.optional if wording.takes(field)}
        asked.append(sent)
        if not (words := server(sent)):
            wording.taken(sent)
            return asked
        if not wording.refused(refusal(words), sent):
            return asked


def chat() -> Dialect:
    return Dialect(
        "stream_options", "temperature", "max_tokens", callers=["max_tokens"], needed=["max_tokens"]
    )


def hearing() -> Dialect:
    return Dialect("response_format", "prompt", "language", callers=["prompt", "language"])


def says(words: str, *fields: str) -> Server:
    return lambda sent: words if sent & set(fields) else ""


def good(sent: set[str]) -> str:
    return ""


def bad(sent: set[str]) -> str:
    return "Bad request"


ALL = {"stream_options", "temperature", "max_tokens"}


@pytest.mark.parametrize(
    "words",
    [
        "Unsupported parameter: 'language' is not supported with this model.",
        "Unknown parameter: 'language'.",
        "Unrecognized request argument supplied: language",
        "body.language: Extra inputs are not permitted (body.language)",
        "property 'language' is unsupported",
        "unknown field `language`, expected one of `file`, `model`",
        "got an unexpected keyword argument 'language'",
    ],
)
def test_a_field_that_the_server_does_not_know_is_never_sent_again(words: str) -> None:
    dialect = hearing()
    assert len(ask(dialect, says(words, "language"))) == 2
    assert ask(dialect, good) == [{"response_format", "prompt"}]


@pytest.mark.parametrize(
    "words",
    [
        "Invalid language 'xx'. Language parameter must be specified in ISO-639-1 format. (language)",
        "Unsupported language: xx (language)",
        "language 'xx' is not supported",
        "body.language: Input should be 'af', 'am' or 'ar' (body.language)",
        "the prompt is too long for this language",
    ],
)
def test_what_one_caller_wants_is_left_out_for_that_caller_only(words: str) -> None:
    dialect = hearing()
    assert len(ask(dialect, says(words, "language"))) in (2, 3)
    assert ask(dialect, good) == [{"response_format", "prompt", "language"}]


def test_what_is_the_same_for_all_callers_is_learnt_however_it_is_refused() -> None:
    dialect = hearing()
    ask(dialect, says("response_format must be one of [json]", "response_format"))
    assert ask(dialect, good) == [{"prompt", "language"}]


def test_two_at_once_learn_from_each_other() -> None:
    dialect = chat()
    one, other = dialect.request(), dialect.request()
    words = refusal("Unknown parameter: 'temperature'.")
    assert one.refused(words, ALL)
    assert other.refused(words, ALL), "it was sent before the lesson"
    assert not one.takes("temperature")
    assert not other.takes("temperature")
    assert not other.refused(refusal("Bad request"), {"max_tokens"}), "it ends"


def test_two_at_once_that_are_told_nothing_both_find_out() -> None:
    dialect = chat()
    requests = [dialect.request(), dialect.request()]
    assert all(request.refused(refusal("Bad request"), ALL) for request in requests)
    for request in requests:
        request.taken({field for field in ALL if request.takes(field)})
    assert ask(dialect, good) == [{"max_tokens"}]


def test_one_refusal_without_a_reason_teaches_nothing() -> None:
    dialect = chat()
    chance = iter(["Bad request", "", "", "Bad request", ""])
    for _ in range(3):
        ask(dialect, lambda sent: next(chance))
    assert ask(dialect, good) == [ALL]


def test_a_request_that_is_refused_without_the_fields_too_is_given_up() -> None:
    dialect = chat()
    assert ask(dialect, bad) == [ALL, {"max_tokens"}]
    assert ask(dialect, good) == [ALL]


def test_a_reply_is_not_left_without_its_limit_on_a_guess() -> None:
    dialect = chat()
    for _ in range(3):
        ask(dialect, says("Bad request", "stream_options"))
    assert ask(dialect, bad) == [{"max_tokens"}]


def test_a_format_that_has_another_in_its_place_is_not_asked_for_for_ever() -> None:
    """A voice is asked for WAV where it has no PCM: the field is sent all the same."""
    dialect = Dialect("response_format")
    wording = dialect.request()
    words = refusal("response_format must be one of [mp3]")
    assert wording.refused(words, ["response_format"])
    assert not wording.refused(words, ["response_format"])


def test_a_wrong_key_is_no_question_of_fields() -> None:
    assert not chat().request().refused(refusal("temperature", cause="bad_key"), ALL)
