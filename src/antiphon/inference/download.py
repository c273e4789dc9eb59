"""Packages as data: one wheel or tarball fetched by the ordinary client as set up on this machine.

``pip download --no-deps`` and ``npm pack`` are run as subprocesses, so their configuration (mirror, proxy,
certificates) holds, and nothing is installed, built or imported. Cancelling a fetch ends its process.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from antiphon.inference.catalog import Package

POLL_S = 0.2
"""Seconds between looks at how much of a package has arrived."""
STALL_S = 180.0
"""Seconds without a byte more after which a fetch is given up. The clients have shorter time-outs of their
own; this catches a client that hangs."""
_ERROR_TAIL = 64 * 1024
"""Bytes kept of what a client prints; its last lines hold the reason."""

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+")
_NO_NETWORK = re.compile(
    r"name resolution|Name or service not known|NewConnectionError|Connection refused|ConnectTimeout|"
    r"Network is unreachable|Read timed out|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ProxyError|"
    r"Max retries exceeded",
    re.IGNORECASE,
)
_BROKEN = re.compile(
    r"Connection broken|IncompleteRead|Connection reset|ECONNRESET|RemoteDisconnected|\b50[234]\b",
    re.IGNORECASE,
)
_DISK_FULL = re.compile(r"No space left on device|ENOSPC|Disk quota exceeded", re.IGNORECASE)


class PackageError(Exception):
    """A package did not arrive. ``reason`` is a sentence for people, without addresses."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        """Whether one more try may help: the connection broke, or what came was not whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageClients:
    """How to call pip and npm on this machine. An empty command means that there is none."""

    pip: tuple[str, ...]
    npm: tuple[str, ...]
    environ: Mapping[str, str]
    """Environment of the subprocesses."""

    @classmethod
    def of_this_machine(cls) -> PackageClients:
        npm = shutil.which("npm")
        return cls(pip=find_pip(), npm=(npm,) if npm else (), environ=dict(os.environ))

    async def fetch(self, package: Package, folder: Path, arrived: Callable[[int], None]) -> Path:
        """Download ``package`` into ``folder`` (which exists) and return the file. ``arrived`` is told the
        bytes so far. Raises ``PackageError``. Safe to cancel: the client ends, ``folder`` may hold leftovers.
        """
        target, work = folder / "package", folder / "work"
        for path in (target, work):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        command = self._command(package, target)
        # The client's own temporary files go below `work`: /tmp may be small, and their size is the progress.
        environ = {
            **self.environ,
            "TMPDIR": str(work),
            "PIP_NO_INPUT": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONWARNINGS": "ignore",
            "npm_config_cache": str(work / "npm"),
            "npm_config_update_notifier": "false",
        }
        code, output = await _run(command, work, environ, package.size, arrived)
        if code != 0:
            raise _package_error(package, output)
        files = sorted(target.iterdir())
        if len(files) != 1:
            raise PackageError(f"{package.pin} came as {len(files)} files instead of one")
        return files[0]

    def _command(self, package: Package, target: Path) -> list[str]:
        if package.registry == "npm":
            if not self.npm:
                raise PackageError(
                    f"{package.pin} is an npm package and npm was not found: install Node.js (with npm)"
                )
            return [*self.npm, "pack", package.pin, "--ignore-scripts", "--pack-destination", str(target)]
        if not self.pip:
            raise PackageError(
                "this Python has no pip: run `python3 -m ensurepip`, or install your system's python3-pip"
            )
        options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-cache-dir"]
        return [
            *self.pip,
            "download",
            *options,
            "--progress-bar=off",
            "--dest",
            str(target),
            package.pin,
        ]


def find_pip() -> tuple[str, ...]:
    """The command that runs pip: this Python's own, the one bundled with it (run in place, not installed), or
    one on the path; empty if there is none."""
    if importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    bundled = importlib.util.find_spec("ensurepip")
    if bundled is not None and bundled.origin is not None:
        folders = (Path(bundled.origin).parent / "_bundled", Path("/usr/share/python-wheels"))
        for wheel in (wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))):
            return (sys.executable, str(wheel / "pip"))
    on_path = shutil.which("pip3") or shutil.which("pip")
    return (on_path,) if on_path else ()


async def _run(
    command: Sequence[str],
    work: Path,
    environ: Mapping[str, str],
    size: int,
    arrived: Callable[[int], None],
) -> tuple[int, str]:
    """Run a client to its end → exit status and the last of its output."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=work,
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C reaches us, and we end the client, not the terminal both
        )
    except OSError as error:
        raise PackageError(f"{command[0]} could not be started: {error.strerror}") from error
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_tail(process))
            watching = group.create_task(_watch(process, work, size, arrived))
            await reading
            code = await process.wait()
            watching.cancel()
        if not watching.cancelled():
            raise PackageError(f"nothing more of it arrived for {STALL_S:.0f} seconds", again=True)
        return code, reading.result()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _tail(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    kept = b""
    while chunk := await process.stdout.read(8192):
        kept = (kept + chunk)[-_ERROR_TAIL:]
    return kept.decode(errors="replace")


async def _watch(
    process: asyncio.subprocess.Process, work: Path, size: int, arrived: Callable[[int], None]
) -> None:
    """Tell ``arrived`` how much lies in ``work``; end the client when nothing more comes."""
    loop = asyncio.get_running_loop()
    seen, since = -1, loop.time()
    while True:
        bytes_now = min(size, folder_bytes(work))
        if bytes_now > seen:
            seen, since = bytes_now, loop.time()
            arrived(bytes_now)
        elif loop.time() - since > STALL_S:
            process.terminate()
            return
        await asyncio.sleep(POLL_S)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below ``folder``; what vanishes while looking counts nothing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(root, name)).st_size
    return total


def _package_error(package: Package, output: str) -> PackageError:
    if _DISK_FULL.search(output):
        return PackageError("the disk is full")
    client = "pip" if package.registry == "pypi" else "npm"
    if _NO_NETWORK.search(output):
        address = "PIP_INDEX_URL" if client == "pip" else "npm_config_registry"
        return PackageError(
            f"{client} could not reach its package index. Check the network and {client}'s settings "
            f"(`{client} config list`; {address} names another index), then run the same command again: what has "
            "arrived is kept"
        )
    hint = ""
    if "from versions: none" in output:  # what pip says of an index it could not reach, and of a wrong one
        hint = " (is the network up, and does pip's index carry it?)"
    return PackageError(
        f"{client} could not fetch {package.pin}: {useful_line(output).rstrip('.')}{hint}",
        again=bool(_BROKEN.search(output)),
    )


def useful_line(output: str) -> str:
    """The line of a client's output that says what went wrong, without addresses."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|error|npm (ERR!|error))\b", line)]
    # npm's first error lines are bare codes ("npm error code E404"); the next one says it in words.
    worded = [line for line in errors if not re.match(r"npm \S+ (code|errno|syscall|A complete log)\b", line)]
    line = (worded or errors or lines or ["it gave no reason"])[0]
    line = re.sub(r"^(ERROR:|error:|npm (ERR!|error))\s*", "", line)
    return _URL.sub("", line).replace(" from  ", " ").strip()[:300]
