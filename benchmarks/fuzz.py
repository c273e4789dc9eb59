"""Frames of both kinds, made by a fuzzer that watches which code they reach, for a set time.

    .venv/bin/python benchmarks/fuzz.py --seconds 60

Each input is a connection: a list of text and binary messages with times between them. Anything but a message or an
error of ours is a finding, and so is a close code that there is not; the input is kept and the status is 1. Needs
atheris (libFuzzer for Python), which the development environment has.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["antiphon.protocol"]):
    from antiphon.errors import ClientError
    from antiphon.protocol.client_messages import Start
    from antiphon.protocol.connection import ServerConnection

CLOSES = {1007, 1008, 1009}
MOST_FRAMES = 24
MEMORY_MB = 1024

SEEDS = (
    b'{"type":"start"}',
    b'{"type":"start","input_rate":48000,"output_rate":8000,"language":"auto","speed":1.5,"mode":"push_to_talk"}',
    b'{"type":"start","resume":{"session_id":"a","token":"b","last_seq":3}}',
    b'{"type":"text","text":"hello"}',
    b'{"type":"played","reply_id":"r1","ms":12.5}',
    b'{"type":"ping"}',
    b'{"type":"bye"}',
    b'{"type":"commit","unknown":[{"a":[1e999,-0,"\\ud800"]}]}',
)


def connection(data: bytes) -> None:
    """One connection's life."""
    given = atheris.FuzzedDataProvider(data)
    opened = ServerConnection(max_message_bytes=4096, messages_per_s=10.0, bytes_per_s=20_000.0)
    if given.ConsumeBool():
        opened.accept_start(Start(), now=0.0)
    now = 0.0
    for _ in range(MOST_FRAMES):
        if not given.remaining_bytes() or opened.closing is not None:
            break
        now += given.ConsumeIntInRange(0, 2000) / 1000
        one(opened, given, now)
    if opened.closing is not None and opened.closing.code not in CLOSES:
        raise AssertionError(f"closed with {opened.closing.code}")


def one(opened: ServerConnection, given: atheris.FuzzedDataProvider, now: float) -> None:
    """One message."""
    text, size = given.ConsumeBool(), given.ConsumeIntInRange(0, 5000)
    try:
        if text:
            frame = given.ConsumeBytes(size).decode(errors="replace")
            opened.check_pace(frame, now=now)
            message = opened.receive_text(frame)
            if isinstance(message, Start) and opened.started is None:
                opened.accept_start(message, now=now)
        else:
            sound = given.ConsumeBytes(size)
            opened.check_pace(sound, now=now)
            opened.receive_sound(sound, now=now)
    except ClientError as error:
        if not error.message:
            raise AssertionError("an error that says nothing") from error


def fuzz(arguments: list[str]) -> None:
    """The fuzzer itself; it ends the process."""
    atheris.Setup([sys.argv[0], *arguments], connection)
    atheris.Fuzz()


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"), help="where findings are kept")
    chosen = parser.parse_args()
    chosen.findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS):
            head = bytes([1, 0, 0, 1]) + (5000).to_bytes(2, "little")
            (Path(corpus) / f"seed{number}").write_bytes(seed + head)
            (Path(corpus) / f"plain{number}").write_bytes(seed)
        command = [sys.executable, __file__, "--inner", corpus]
        options = [
            f"-max_total_time={chosen.seconds}",
            f"-rss_limit_mb={MEMORY_MB}",
            "-max_len=8192",
            "-timeout=5",
            "-print_final_stats=1",
            f"-artifact_prefix={chosen.findings}/",
        ]
        done = subprocess.run([*command, *options], capture_output=True, text=True)
    said = done.stdout + done.stderr
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", said))
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said)
    print(f"fuzzed for {chosen.seconds} s: {stats.get('number_of_executed_units', '?')} connections")
    if covered:
        print(
            f"  reached {covered[-1][0]} places in antiphon.protocol; {covered[-1][2]} inputs that reached new ones"
        )
    print(f"  peak memory {stats.get('peak_rss_mb', '?')} MB")
    print("  findings: " + ("none" if done.returncode == 0 else f"see {chosen.findings}\n" + said[-3000:]))
    raise SystemExit(1 if done.returncode else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inner"]:
        fuzz(sys.argv[2:])
    else:
        main()
