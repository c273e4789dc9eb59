"""``max_sessions = auto``: what one conversation costs decides how many there may be."""

from __future__ import annotations

import pytest
from tests.server.house import scripted_assistant

from antiphon.app.capacity import measured_capacity
from antiphon.sessions.capacity import MOST, ConversationCost, capacity

GIGABYTE = 2**30


@pytest.mark.parametrize(
    ("cores", "memory", "cost_cores", "sessions"),
    [
        (2, 4 * GIGABYTE, 0.05, 24),  # the processor is the limit
        (64, GIGABYTE, 0.001, 238),  # memory is
        (1, GIGABYTE // 4, 5.0, 1),  # somebody has to be able to try it
        (64, 512 * GIGABYTE, 0.0001, MOST),
        (2, GIGABYTE // 16, 0.01, 1),
    ],
)
def test_the_scarcer_of_processor_and_memory_decides(
    cores: float, memory: int, cost_cores: float, sessions: int
) -> None:
    cost = ConversationCost(cores=cost_cores, memory_bytes=3 * 2**20)
    assert capacity(cores=cores, memory_bytes=memory, cost=cost) == sessions


async def test_scripted_providers_cost_only_what_the_engine_does() -> None:
    found = await measured_capacity(scripted_assistant().providers)
    assert 10 <= found <= MOST
