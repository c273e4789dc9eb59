"""What a caller asked for, laid over what the operator set."""

from __future__ import annotations

from dataclasses import replace

from antiphon.conversation.config import ConversationConfig
from antiphon.protocol.client_messages import Start
from antiphon.sessions.offer import Assistant


def conversation_config(start: Start, assistant: Assistant) -> ConversationConfig:
    """How this caller's conversation is held. Raises ClientError for a voice or language that is not on
    offer."""
    defaults = assistant.defaults
    return replace(
        defaults,
        input_rate=start.input_rate,
        output_rate=start.output_rate,
        language=assistant.offer.check_language(start.language or defaults.language),
        voice=assistant.offer.check_voice(start.voice or defaults.voice),
        speed=defaults.speed if start.speed is None else start.speed,
        instructions=start.instructions.strip(),
        mode=start.mode,
    )
