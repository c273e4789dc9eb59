"""The plain course of a conversation."""

from __future__ import annotations

from antiphon.conversation import events
from tests.conversations.scenario import talk


async def test_a_question_is_answered() -> None:
    async with talk({"capital of France": "It is Paris."}) as conversation:
        conversation.user.says("what is the capital of France", from_=0.5, to=2.0)
        await conversation.until(5.0)
        assert conversation.turns() == ["what is the capital of France"]
        assert conversation.heard() == "It is Paris."
        assert conversation.history() == ["user: what is the capital of France", "assistant: It is Paris."]
        for at, e in conversation.events:
            if not isinstance(e, events.ReplyAudio): print(round(at,3), e)
        print(conversation.sounds_from())
