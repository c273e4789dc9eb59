"""The commands of the guide's "Backups", as they stand there: what they keep, they give back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.docker import ROOT, Stack, run, stack

KINDS = {"asr", "llm", "tts"}


def commands() -> list[str]:
    """The guide's, block by block: backup and restore of one server, then those of replicas."""
    guide = (ROOT / "docs" / "deploy" / "backups.md").read_text()
    section = guide.partition("\n## Backups\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return ["\n".join(line.removeprefix("$ ") for line in block.splitlines()) for block in blocks]


def follow(made: Stack, script: str) -> None:
    """In the deployment's folder, as somebody who reads the guide."""
    run("bash", "-euc", script, cwd=made.folder, env=made.environ())


def totals(made: Stack) -> dict[str, Any]:
    said = made.compose("exec", "-T", "assistant", "antiphon", "ledger", "totals", "--json").stdout
    found: dict[str, Any] = json.loads(said)
    return found


def settled(made: Stack) -> dict[str, Any]:
    """Once the last batch is in the ledger, two seconds after the last call; asking takes one."""
    before = None
    for _ in range(20):
        found = totals(made)
        if found == before and {line["kind"] for line in found["lines"]} == KINDS:
            return found
        before = found
    raise AssertionError(f"the call's entries do not come: {before}")


def test_a_backup_is_no_part_of_the_repository() -> None:
    kept = re.findall(r"docker compose cp \S+ (\S+)", "\n".join(commands()))
    assert len(kept) == 2
    for name in kept:
        run("git", "check-ignore", f"deploy/{name}", cwd=ROOT)


def calls(found: dict[str, Any]) -> int:
    return sum(line["calls"] for line in found["lines"])


@pytest.mark.parametrize(
    ("overlays", "volume", "place"),
    [((), "data", 0), (("compose.scale.yaml",), "valkey", 2)],
    ids=["one server", "replicas"],
)
def test_a_ledger_that_was_lost_is_restored(
    tmp_path: Path, overlays: tuple[str, ...], volume: str, place: int
) -> None:
    backup, restore = commands()[place : place + 2]
    with stack(tmp_path, *overlays, REPLICAS="1") as made:
        made.verify()
        before = settled(made)
        follow(made, backup)
        made.compose("down", "--timeout", "5")
        run("docker", "volume", "rm", f"{made.project}_{volume}")
        made.compose("up", "--detach", "--wait")
        assert totals(made)["lines"] == []
        follow(made, restore)
        assert totals(made) == before
        made.verify()
        # And it goes on from there.
        assert calls(settled(made)) > calls(before)
