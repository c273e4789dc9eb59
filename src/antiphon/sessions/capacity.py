"""How many conversations a machine holds: arithmetic on what one of them was measured to cost."""

from __future__ import annotations

from dataclasses import dataclass

CORES_SHARE = 0.6
"""Of the processor that conversations may fill: turns come in bursts, and a queue at 80 % is four times one at 50 %."""

MEMORY_SHARE = 0.7
"""Of the free memory: the rest is the allocator's, and the next hour's."""

SPARE_BYTES = 128 * 2**20
"""Kept free whatever the share."""

MOST = 1000
"""One event loop carries no more, whatever the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationCost:
    """What one conversation needs, on average over its time."""

    cores: float
    """Processor seconds a second."""
    memory_bytes: int


def capacity(*, cores: float, memory_bytes: int, cost: ConversationCost) -> int:
    """Conversations at once, at least 1."""
    by_cores = cores * CORES_SHARE / cost.cores
    by_memory = min(memory_bytes * MEMORY_SHARE, memory_bytes - SPARE_BYTES) / cost.memory_bytes
    return max(1, min(MOST, int(by_cores + 1e-6), int(by_memory + 1e-6)))
