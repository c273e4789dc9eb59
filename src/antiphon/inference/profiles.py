"""Profiles: which embedded models work together, and which profile a machine serves well.

``fast`` answers soonest; ``balanced`` follows instructions and needs the memory and two cores for it. The
figures are in docs/models.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ProfileName = Literal["fast", "balanced"]

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The models that serve a conversation together, as catalog ids."""

    name: ProfileName
    vad: str = "vad/silero-6"
    turn: str = "turn/smart-turn-3.2"
    asr: str
    llm: str
    tts: str

    @property
    def models(self) -> tuple[str, ...]:
        """All of them, in the order in which they are worth having first."""
        return (self.vad, self.turn, self.asr, self.tts, self.llm)


PROFILES: Mapping[ProfileName, Profile] = {
    "fast": Profile(name="fast", asr="asr/whisper-base", llm="llm/smollm2-135m", tts="tts/piper-en_US-joe"),
    "balanced": Profile(
        name="balanced", asr="asr/whisper-base", llm="llm/qwen2.5-coder-1.5b", tts="tts/piper-en_US-joe"
    ),
}

BALANCED_MEMORY = int(2.5 * GIB)
"""Bytes that ``balanced`` needs free: 1.1 GB of language model, 0.3 GB of its context, 0.7 GB for the other
models and the server, and room for the page cache that keeps the weights from being read twice."""
BALANCED_CORES = 2
"""With one core the language model writes about 8 tokens a second, and nothing else runs beside it."""


def choose_profile(memory_bytes: int, cores: int) -> tuple[ProfileName, str]:
    """The better profile that this much free memory and this many cores serve well, and why, for people."""
    have = f"{memory_bytes / GIB:.1f} GiB of memory free and {cores} core{'s' if cores != 1 else ''}"
    if memory_bytes < BALANCED_MEMORY:
        return "fast", f"{have}: `balanced` needs {BALANCED_MEMORY / GIB:.1f} GiB free"
    if cores < BALANCED_CORES:
        return "fast", f"{have}: `balanced` needs {BALANCED_CORES} cores"
    return "balanced", have


def available_cores() -> int:
    """Cores that this process may use: its affinity and its container's quota, at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_cores(Path("/sys/fs/cgroup"))
    return max(1, min(allowed, quota) if quota else allowed)


def available_memory() -> int:
    """Bytes free for this process: the machine's available memory, or what its container has left if less."""
    free = _meminfo_available(Path("/proc/meminfo"))
    left = cgroup_memory_left(Path("/sys/fs/cgroup"))
    return free if left is None else min(free, left)


def cgroup_cores(root: Path) -> int | None:
    """Whole cores of the container's CPU quota (version 2 ``cpu.max`` or version 1 ``cpu.cfs_*``), rounded to
    the nearest and at least 1; None without a quota."""
    if (text := _read(root / "cpu.max")) is not None:
        quota, _, period = text.partition(" ")
    else:
        quota = _read(root / "cpu" / "cpu.cfs_quota_us") or "-1"
        period = _read(root / "cpu" / "cpu.cfs_period_us") or "100000"
    if quota in ("max", "-1"):
        return None
    return max(1, round(int(quota) / int(period)))


def cgroup_memory_left(root: Path) -> int | None:
    """Bytes left under the container's memory limit (version 2 or 1); None without a limit. File pages that
    the kernel can drop are not counted as used."""
    for limit_file, used_file, stat_file in (
        (root / "memory.max", root / "memory.current", root / "memory.stat"),
        (
            root / "memory" / "memory.limit_in_bytes",
            root / "memory" / "memory.usage_in_bytes",
            root / "memory" / "memory.stat",
        ),
    ):
        limit, used = _read(limit_file), _read(used_file)
        if limit is None or used is None:
            continue
        if limit == "max" or int(limit) >= 1 << 60:  # version 1 writes "no limit" as a number near 2^63
            return None
        droppable = _stat_field(stat_file, "inactive_file") or _stat_field(stat_file, "total_inactive_file")
        return max(0, int(limit) - int(used) + droppable)
    return None


def _meminfo_available(path: Path) -> int:
    for line in (_read(path) or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    # Not Linux: half of the physical memory is a fair guess for a machine that someone is working at.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _stat_field(path: Path, name: str) -> int:
    for line in (_read(path) or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None
