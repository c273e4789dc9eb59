"""What is asked of Anthropic, and what its events make, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.errors import ProviderEmpty, ProviderError, ProviderUnavailable
from antiphon.providers.anthropic.request import BEGINNING, request, turns
from antiphon.providers.anthropic.stream import MessageStream
from antiphon.providers.base import Finished, LanguageOptions, Message, Text, Tool, ToolCall, Usage
from antiphon.providers.vendor_errors import Names

NAMES = Names(
    provider="anthropic:claude-haiku-4-5",
    key_setting="ANTIPHON_ANTHROPIC_API_KEY",
    url_setting="ANTIPHON_ANTHROPIC_BASE_URL",
    model_setting="ANTIPHON_LLM",
)


def system(text: str) -> Message:
    return Message(role="system", content=text)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str, *calls: ToolCall) -> Message:
    return Message(role="assistant", content=text, tool_calls=calls)


def said(taken: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(turn["role"], [block.get("text", block["type"]) for block in turn["content"]]) for turn in taken]


def marked(body: dict[str, Any]) -> list[str]:
    blocks = [*body["system"], *(block for turn in body["messages"] for block in turn["content"])]
    return [block["text"] for block in blocks if "cache_control" in block]


def test_the_system_prompt_stands_apart_and_the_beginning_is_kept_in_the_cache() -> None:
    first = [system("Be brief."), user("Hello."), assistant("Hi."), user("Who are you?")]
    body = request("claude-haiku-4-5", first, LanguageOptions())
    assert said(body["messages"]) == [
        ("user", ["Hello."]),
        ("assistant", ["Hi."]),
        ("user", ["Who are you?"]),
    ]
    assert marked(body) == ["Be brief.", "Hi.", "Who are you?"]
    # The next request begins with all that was marked.
    then = request("claude-haiku-4-5", [*first, assistant("A friend."), user("Whose?")], LanguageOptions())
    assert said(then["messages"])[:3] == said(body["messages"])


def test_turns_alternate_begin_with_the_user_and_are_never_empty() -> None:
    assert said(turns([assistant("Welcome!"), user("Thanks.")])) == [
        ("user", [BEGINNING]),
        ("assistant", ["Welcome!"]),
        ("user", ["Thanks."]),
    ]
    assert said(turns([user("One."), user("Two."), assistant("  "), user("Three.")])) == [
        ("user", ["One.", "Two.", "Three."])
    ]
    assert turns([user("Go on."), assistant("I was saying —  ")])[-1]["role"] == "user"
    assert said(turns([])) == [("user", [BEGINNING])]


def test_tools_are_passed_on_and_their_answers_are_the_users() -> None:
    call = ToolCall(id="t1", name="weather", arguments='{"city": "Lyon"}')
    conversation = [
        user("Weather?"),
        assistant("", call),
        Message(role="tool", content="Rain", tool_call_id="t1"),
    ]
    tool = Tool(name="weather", description="The weather.", parameters={"type": "object"})
    body = request("claude-haiku-4-5", conversation, LanguageOptions(tools=(tool,)))
    assert body["tools"] == [
        {"name": "weather", "description": "The weather.", "input_schema": {"type": "object"}}
    ]
    use, result = body["messages"][1]["content"][0], body["messages"][2]["content"][0]
    assert (use["type"], use["id"], use["input"]) == ("tool_use", "t1", {"city": "Lyon"})
    assert (result["type"], result["tool_use_id"], result["content"]) == ("tool_result", "t1", "Rain")


def test_temperature_is_at_most_one_and_left_out_where_it_is_refused() -> None:
    assert request("m", [user("Hi.")], LanguageOptions(temperature=1.8))["temperature"] == 1.0
    assert "temperature" not in request("m", [user("Hi.")], LanguageOptions(), temperature=False)


def events(*pieces: dict[str, Any]) -> list[str]:
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3_000,
        "output_tokens": 1,
    }
    start = {"type": "message_start", "message": {"model": "claude-haiku-4-5-20251001", "usage": usage}}
    return [json.dumps(event) for event in (start, {"type": "ping"}, *pieces)]


def delta(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def stop(reason: str, tokens: int) -> list[dict[str, Any]]:
    return [
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": tokens}},
        {"type": "message_stop"},
    ]


def read(*data: str) -> list[object]:
    stream = MessageStream(NAMES)
    return [given for given in map(stream.take, data) if given is not None]


def test_text_and_what_it_cost() -> None:
    assert read(*events(delta("Hel"), delta("lo."), *stop("end_turn", 4))) == [
        Text(text="Hel"),
        Text(text="lo."),
        Finished(
            reason="stop",
            usage=Usage(input_tokens=3_210, cached_tokens=3_000, cache_write_tokens=200, output_tokens=4),
            model="claude-haiku-4-5-20251001",
        ),
    ]


def test_a_tool_call_is_joined_and_thinking_is_not_spoken() -> None:
    block = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
    pieces = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": part},
            }
            for part in ('{"ci', 'ty": "Lyon"}')
        ),
        {"type": "content_block_stop", "index": 1},
    ]
    given = read(*events(*pieces, *stop("tool_use", 9)))
    assert given[0] == ToolCall(id="t1", name="weather", arguments='{"city": "Lyon"}')
    assert isinstance(given[1], Finished)
    assert given[1].reason == "tool_calls"


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("overloaded_error", "overloaded"), ("rate_limit_error", "rate_limit"), ("api_error", "overloaded")],
)
def test_an_error_in_the_middle_of_an_answer(kind: str, cause: str) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "Overloaded"}}
    with pytest.raises(ProviderUnavailable) as raised:
        read(*events(delta("Hel"), error))
    assert raised.value.cause == cause


def test_an_answer_without_words_is_empty_unless_it_was_refused() -> None:
    with pytest.raises(ProviderEmpty):
        read(*events(*stop("end_turn", 1)))
    (finished,) = read(*events(*stop("refusal", 1)))
    assert isinstance(finished, Finished)
    assert finished.reason == "filtered"


NO_DELTA = '{"type": "content_block_delta", "index": []}'


@pytest.mark.parametrize("data", ["{", "[]", '"text"', "{}", '{"type": "content_block_delta"}', NO_DELTA])
def test_nonsense_is_malformed(data: str) -> None:
    with pytest.raises(ProviderError) as raised:
        read(data)
    assert raised.value.cause == "malformed"
