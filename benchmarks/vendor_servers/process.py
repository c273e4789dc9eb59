"""The vendors' servers as a process of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def vendor(host: str = "127.0.0.1") -> Iterator[dict[str, str]]:
    """A vendor at ``host``, an address of this machine, spoken to over the network as OpenAI is; the settings of who
    asks it."""
    serving = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.vendor_servers", "--host", host, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout is not None
    try:
        yield {
            **{f"ANTIPHON_{part}": "openai" for part in ("ASR", "LLM", "TTS")},
            "ANTIPHON_EAR": "scripted",
            "OPENAI_BASE_URL": serving.stdout.readline().strip(),
            "OPENAI_API_KEY": "sk-benchmark",
            "ANTIPHON_SPEECH_CACHE_MB": "0",  # it always says the same: nobody is to remember it
        }
    finally:
        serving.terminate()
        serving.wait()
