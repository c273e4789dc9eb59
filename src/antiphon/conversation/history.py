"""What the language model is told of the conversation: what was said, and what of the replies was heard.

Bounded, and kind to prompt caches: the oldest turns are dropped in blocks, so that between two drops every
prompt begins with all of the one before it. The system prompt is always kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from antiphon.providers.base import Message, ToolCall

KEPT_AFTER_DROP = 0.6
"""Share of the budget that a drop leaves: with 0.6 a cached prefix serves many turns before the next drop,
and most of the conversation is still there."""

LONGEST_ENTRY = 0.5
"""Share of the budget that one entry may take; the middle of a longer one is left out."""

MESSAGE_TOKENS = 4
"""What roles and separators cost per message, as OpenAI counts them."""

DROPPED_NOTE = "(Earlier parts of this conversation are no longer shown.)"
INTERRUPTED = " —"
"""After what was heard of a reply that was cut short: how written dialogue marks it, harmless if a model
repeats it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was said. What ``History.entries`` gives can be stored and given back to ``History``."""

    role: Literal["user", "assistant", "tool"]
    text: str
    turn_id: str = ""
    """The user's turn it belongs to."""
    interrupted: bool = False
    """Assistant only: ``text`` is what was heard before the user cut it short."""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


class History:
    """One conversation's memory."""

    def __init__(
        self, *, system_prompt: str, max_tokens: int, entries: Iterable[Entry] = (), dropped: bool = False
    ) -> None:
        """``max_tokens`` (approximate) is for all entries; the system prompt comes on top. ``entries`` and
        ``dropped`` continue an earlier conversation."""
        self.system_prompt = system_prompt
        self.max_tokens = max_tokens
        self._entries = [self._fitted(entry) for entry in entries]
        self._dropped = dropped
        self._drop_oldest()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What is remembered, oldest first."""
        return tuple(self._entries)

    @property
    def dropped(self) -> bool:
        """Whether anything was forgotten."""
        return self._dropped

    @property
    def tokens(self) -> int:
        """Approximate size of all entries."""
        return sum(_size(entry) for entry in self._entries)

    def add_user(self, turn_id: str, text: str) -> None:
        """The user's turn is over."""
        self._add(Entry(role="user", text=text, turn_id=turn_id))

    def add_assistant(
        self, heard: str, *, interrupted: bool = False, tool_calls: tuple[ToolCall, ...] = ()
    ) -> None:
        """What the user heard of the reply; nothing heard leaves nothing."""
        if heard.strip() or tool_calls:
            turn_id = self._entries[-1].turn_id if self._entries else ""
            entry = Entry(role="assistant", text=heard.strip(), turn_id=turn_id, interrupted=interrupted)
            self._add(replace(entry, tool_calls=tool_calls))

    def add_tool(self, call_id: str, result: str) -> None:
        """What a tool answered."""
        turn_id = self._entries[-1].turn_id if self._entries else ""
        self._add(Entry(role="tool", text=result, turn_id=turn_id, tool_call_id=call_id))

    def reopen(self, turn_id: str) -> None:
        """The user goes on with a turn that was taken as over: forget it, it will be added again as a
        whole."""
        self._entries = [entry for entry in self._entries if entry.turn_id != turn_id]

    def messages(self, *, with_user: str | None = None) -> tuple[Message, ...]:
        """The prompt, ``with_user`` being a turn that is still being spoken or not yet added.

        Neighbouring user messages (their replies were never heard) are joined: some models insist on
        alternation.
        """
        entries = list(self._entries)
        if with_user is not None:
            entries.append(self._fitted(Entry(role="user", text=with_user)))
        system = f"{self.system_prompt}\n\n{DROPPED_NOTE}" if self._dropped else self.system_prompt
        messages = [Message(role="system", content=system)]
        for entry in entries:
            if entry.role == "user" and messages[-1].role == "user":
                messages[-1] = replace(messages[-1], content=f"{messages[-1].content}\n{entry.text}")
            else:
                messages.append(_message(entry))
        return tuple(messages)

    def _add(self, entry: Entry) -> None:
        self._entries.append(self._fitted(entry))
        self._drop_oldest()

    def _fitted(self, entry: Entry) -> Entry:
        """The entry with the middle of an overlong text left out."""
        allowed = int(self.max_tokens * LONGEST_ENTRY)
        size = count_tokens(entry.text)
        if size <= allowed:
            return entry
        half = max(len(entry.text) * allowed // size // 2, 1)
        return replace(entry, text=f"{entry.text[:half]} … {entry.text[-half:]}")

    def _drop_oldest(self) -> None:
        """Past the budget, forget whole turns until ``KEPT_AFTER_DROP`` of it is left; the newest turn
        stays."""
        if self.tokens <= self.max_tokens:
            return
        starts = [i for i, entry in enumerate(self._entries) if i and entry.role == "user"]
        for start in starts:
            if sum(_size(entry) for entry in self._entries[start:]) <= self.max_tokens * KEPT_AFTER_DROP:
                break
        else:
            start = starts[-1] if starts else 0
        if start:
            del self._entries[:start]
            self._dropped = True


def _message(entry: Entry) -> Message:
    text = entry.text + INTERRUPTED if entry.interrupted else entry.text
    return Message(
        role=entry.role, content=text, tool_calls=entry.tool_calls, tool_call_id=entry.tool_call_id
    )


def _size(entry: Entry) -> int:
    calls = sum(count_tokens(call.name + call.arguments) for call in entry.tool_calls)
    return count_tokens(entry.text) + calls + MESSAGE_TOKENS


def count_tokens(text: str) -> int:
    """About how many tokens a model sees: four Latin letters, two accented ones, or one of another script
    each."""
    plain = sum(char < "\u0080" for char in text)
    accented = sum("\u0080" <= char < "\u0300" for char in text)
    return -(-plain // 4) + -(-accented // 2) + len(text) - plain - accented
