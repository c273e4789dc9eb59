"""Which profile a machine serves well, containers included."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.inference.profiles import (
    BALANCED_MEMORY,
    GIB,
    available_cores,
    available_memory,
    cgroup_cores,
    cgroup_memory_left,
    choose_profile,
)


@pytest.mark.parametrize(
    ("memory", "cores", "profile", "because"),
    [
        (8 * GIB, 2, "balanced", "8.0 GiB of memory free and 2 cores"),
        (BALANCED_MEMORY, 2, "balanced", "2.5 GiB"),
        (BALANCED_MEMORY - 1, 8, "fast", "needs 2.5 GiB free"),
        (64 * GIB, 1, "fast", "needs 2 cores"),
        (512 * 1024**2, 1, "fast", "0.5 GiB of memory free and 1 core:"),
    ],
)
def test_the_profile_follows_memory_and_cores(memory: int, cores: int, profile: str, because: str) -> None:
    chosen, reason = choose_profile(memory, cores)
    assert chosen == profile
    assert because in reason


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_no_container_no_limit(tmp_path: Path) -> None:
    assert cgroup_memory_left(tmp_path) is None
    assert cgroup_cores(tmp_path) is None


def test_a_container_without_limits(tmp_path: Path) -> None:
    for name, text in {"memory.max": "max\n", "memory.current": "5\n", "cpu.max": "max 100000\n"}.items():
        (tmp_path / name).write_text(text)
    assert cgroup_memory_left(tmp_path) is None
    assert cgroup_cores(tmp_path) is None


def test_a_container_limit_counts_and_the_droppable_pages_do_not(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\nactive_file 100\n")
    assert cgroup_memory_left(tmp_path) == 400


def test_the_older_layout_is_read_too(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "memory__memory.limit_in_bytes": "1000",
            "memory__memory.usage_in_bytes": "900",
            "memory__memory.stat": "total_inactive_file 50\n",
            "cpu__cpu.cfs_quota_us": "150000",
            "cpu__cpu.cfs_period_us": "100000",
        },
    )
    assert cgroup_memory_left(tmp_path) == 150
    assert cgroup_cores(tmp_path) == 2
    write(tmp_path, **{"memory__memory.limit_in_bytes": str(2**63 - 4096), "cpu__cpu.cfs_quota_us": "-1"})
    assert cgroup_memory_left(tmp_path) is None
    assert cgroup_cores(tmp_path) is None


@pytest.mark.parametrize(("quota", "cores"), [("50000", 1), ("100000", 1), ("200000", 2), ("250000", 2)])
def test_a_quota_is_whole_cores_at_least_one(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    assert cgroup_cores(tmp_path) == cores


def test_this_machine_has_something() -> None:
    assert available_cores() >= 1
    assert available_memory() > 0
