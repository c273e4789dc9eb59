"""What the language model is told of the conversation."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from antiphon.conversation.history import (
    DROPPED_NOTE,
    KEPT_AFTER_DROP,
    Entry,
    History,
    count_tokens,
)
from antiphon.providers.base import Message, ToolCall


def said(messages: tuple[Message, ...]) -> list[str]:
    return [f"{message.role}: {message.content}" for message in messages]


def history(max_tokens: int = 1_000) -> History:
    return History(system_prompt="Be brief.", max_tokens=max_tokens)


def test_a_conversation_is_told_in_order() -> None:
    memory = history()
    memory.add_user("t1", "What is the capital of France?")
    memory.add_assistant("Paris.")
    assert said(memory.messages(with_user="And of Spain?")) == [
        "system: Be brief.",
        "user: What is the capital of France?",
        "assistant: Paris.",
        "user: And of Spain?",
    ]
    assert len(memory.messages()) == 3  # a turn under way is not kept


def test_only_what_was_heard_is_kept_and_marked() -> None:
    memory = history()
    memory.add_user("t1", "Tell me a story.")
    memory.add_assistant("Once upon a ", interrupted=True)
    assert said(memory.messages())[-1] == "assistant: Once upon a —"
    assert memory.entries[-1].interrupted


def test_a_reply_nobody_heard_leaves_nothing_and_the_turns_join() -> None:
    memory = history()
    memory.add_user("t1", "Tell me a story.")
    memory.add_assistant("  ", interrupted=True)
    assert said(memory.messages(with_user="No, a joke.")) == [
        "system: Be brief.",
        "user: Tell me a story.\nNo, a joke.",
    ]


def test_a_reopened_turn_is_told_once() -> None:
    memory = history()
    memory.add_user("t1", "Hello.")
    memory.add_assistant("Hi.")
    memory.add_user("t2", "My number is four")
    memory.add_assistant("Thanks", interrupted=True)
    memory.reopen("t2")
    memory.add_user("t2", "My number is four seven two.")
    assert said(memory.messages())[2:] == ["assistant: Hi.", "user: My number is four seven two."]


def test_tools_belong_to_their_turn() -> None:
    memory = history()
    call = ToolCall(id="1", name="weather", arguments="{}")
    memory.add_user("t1", "How is the weather?")
    memory.add_assistant("", tool_calls=(call,))
    memory.add_tool("1", "sunny")
    memory.add_assistant("It is sunny.")
    assert [m.role for m in memory.messages()] == ["system", "user", "assistant", "tool", "assistant"]
    assert memory.messages()[2].tool_calls == (call,)
    memory.reopen("t1")
    assert memory.entries == ()


def test_the_oldest_turns_are_dropped_in_blocks() -> None:
    memory = history(max_tokens=400)
    changes, before = 0, memory.messages()
    for turn in range(60):
        memory.add_user(f"t{turn}", f"question number {turn} about things")
        memory.add_assistant("an answer of some length to that question")
        now = memory.messages()
        changes += now[: len(before)] != before
        before = now
        assert memory.tokens <= 400
        assert now[0].role == "system"
        assert now[1].role == "user"
    assert memory.dropped
    assert said(memory.messages())[0] == f"system: Be brief.\n\n{DROPPED_NOTE}"
    assert changes <= 60 / ((1 - KEPT_AFTER_DROP) * 400 / 30)  # the prefix holds between two drops


def test_an_overlong_entry_keeps_its_beginning_and_end() -> None:
    memory = history(max_tokens=100)
    memory.add_user("t1", "begin " + "blah " * 1_000 + "end")
    assert memory.tokens <= 100
    text = memory.messages()[1].content
    assert text.startswith("begin")
    assert text.endswith("end")


def test_a_stored_conversation_goes_on() -> None:
    memory = history(max_tokens=60)
    for turn in range(10):
        memory.add_user(f"t{turn}", "a question")
        memory.add_assistant("an answer")
    again = History(system_prompt="Be brief.", max_tokens=60, entries=memory.entries, dropped=memory.dropped)
    assert again.messages() == memory.messages()


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant", "reopen"]), st.text(max_size=80)), max_size=30),
    st.integers(20, 300),
)
def test_always_bounded_and_well_formed(steps: list[tuple[str, str]], max_tokens: int) -> None:
    memory = history(max_tokens)
    turn = 0
    for kind, text in steps:
        match kind:
            case "user":
                turn += 1
                memory.add_user(f"t{turn}", text)
            case "assistant":
                memory.add_assistant(text, interrupted=len(text) % 2 == 0)
            case _:
                memory.reopen(f"t{turn}")
        newest = max((i for i, entry in enumerate(memory.entries) if entry.role == "user"), default=0)
        assert memory.tokens <= max_tokens or newest == 0
        messages = memory.messages(with_user="hello")
        assert messages[0].content.startswith("Be brief.")
        assert not any(a.role == b.role == "user" for a, b in pairwise(messages))


def test_entries_are_plain_data() -> None:
    assert Entry(role="user", text="x") == Entry(role="user", text="x", turn_id="", interrupted=False)


def test_tokens_are_about_right() -> None:
    assert count_tokens("The quick brown fox jumps over the lazy dog.") == 11
    assert count_tokens("我可以帮你") == 5
    assert count_tokens("") == 0
