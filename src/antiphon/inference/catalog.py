"""The catalog: which embedded models there are, which packages carry them, what their files must hash to.

The data is ``catalog.toml``; this is its typed reader and the search by name.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from antiphon.errors import ModelError

Kind = Literal["vad", "turn", "asr", "llm", "tts"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Registry = Literal["pypi", "npm"]

SCHEMA = 1
"""Layout of ``catalog.toml`` that this reader understands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package to download as data: pinned, without its dependencies, never installed or imported."""

    registry: Registry
    name: str
    version: str
    size: int
    """Bytes of the wheel or tarball."""
    sha256: str
    """Of the wheel or tarball, lower-case hex: tells whether one already on disk is whole."""

    @property
    def pin(self) -> str:
        """As its client wants it: ``name==1.0`` or ``name@1.0``."""
        return f"{self.name}{'==' if self.registry == 'pypi' else '@'}{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One member of a package: all of a file, or a piece of it."""

    package: str
    """Name of one of the model's packages."""
    member: str
    """Path inside the wheel or tarball."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogFile:
    """A file of a model, joined from its parts in order."""

    name: str
    """Path inside the model's folder, ``/`` between its parts."""
    size: int
    """Bytes, joined."""
    sha256: str
    """Of the joined file, lower-case hex."""
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogModel:
    """A model that can be pulled."""

    id: str
    """``kind/name``, as in ``asr/whisper-base``."""
    title: str
    languages: tuple[str, ...]
    """ISO 639-1; ``*`` for dozens; empty where language does not matter."""
    licence: str
    """SPDX id of the weights."""
    source: str
    """Where the model comes from: its authors' page."""
    packages: tuple[Package, ...]
    files: tuple[CatalogFile, ...]

    @property
    def kind(self) -> Kind:
        kind = self.id.partition("/")[0]
        return next(known for known in KINDS if known == kind)

    @property
    def name(self) -> str:
        """The id without its kind."""
        return self.id.partition("/")[2]

    @property
    def fetch_bytes(self) -> int:
        """Bytes of all its packages."""
        return sum(package.size for package in self.packages)

    @property
    def disk_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)

    @property
    def main_file(self) -> str:
        """The file that a runtime opens: the largest."""
        return max(self.files, key=lambda file: file.size).name


class Catalog:
    """All models by id, and the search by what people type."""

    def __init__(self, models: tuple[CatalogModel, ...]) -> None:
        self.models = models
        self._by_id = {model.id: model for model in models}

    def get(self, ref: str) -> CatalogModel | None:
        """The model called ``ref``: its id, or its name where only one kind has that name."""
        if ref in self._by_id:
            return self._by_id[ref]
        named = [model for model in self.models if model.name == ref]
        return named[0] if len(named) == 1 else None

    def find(self, ref: str) -> CatalogModel:
        """As ``get``, but an unknown name is an error that suggests the nearest one."""
        model = self.get(ref)
        if model is None:
            raise ModelError(f"There is no model {ref!r}.{self._suggestion(ref)}", model_id=ref)
        return model

    def _suggestion(self, ref: str) -> str:
        names = {name: model.id for model in self.models for name in (model.id, model.name)}
        near = [name for name in names if len(ref) > 2 and ref.lower() in name.lower()]
        near = near or difflib.get_close_matches(ref, names, n=1, cutoff=0.5)
        if near:
            return f" Did you mean {names[near[0]]}? `antiphon models list` shows all of them."
        return " `antiphon models list` shows what there is."


@cache
def shipped_catalog() -> Catalog:
    """The catalog that comes with this version."""
    text = resources.files("antiphon.inference").joinpath("catalog.toml").read_text(encoding="utf-8")
    return parse_catalog(text)


def parse_catalog(text: str) -> Catalog:
    """TOML → catalog. Raises ``ValueError`` naming the model whose entry does not hold together."""
    document = tomllib.loads(text)
    if document.get("schema") != SCHEMA:
        raise ValueError(f"catalog schema is {document.get('schema')!r}, expected {SCHEMA}")
    models = tuple(_model(entry) for entry in document["model"])
    ids = [model.id for model in models]
    if len(set(ids)) != len(ids):
        raise ValueError("a model id appears twice in the catalog")
    return Catalog(models)


def _model(entry: Mapping[str, Any]) -> CatalogModel:
    model = CatalogModel(
        id=entry["id"],
        title=entry["title"],
        languages=tuple(entry["languages"]),
        licence=entry["licence"],
        source=entry["source"],
        packages=tuple(Package(**package) for package in entry["packages"]),
        files=tuple(_file(file) for file in entry["files"]),
    )
    _check(model)
    return model


def _file(entry: Mapping[str, Any]) -> CatalogFile:
    parts = []
    for part in entry["parts"]:
        package, _, member = part.partition(":")
        parts.append(Part(package=package, member=member))
    return CatalogFile(name=entry["name"], size=entry["size"], sha256=entry["sha256"], parts=tuple(parts))


def _check(model: CatalogModel) -> None:
    kind, _, name = model.id.partition("/")
    if kind not in KINDS or not name or "/" in name:
        raise ValueError(f"{model.id!r} is not kind/name with one of {', '.join(KINDS)}")
    packages = {package.name for package in model.packages}
    for file in model.files:
        if file.name.startswith("/") or ".." in file.name.split("/"):
            raise ValueError(f"{model.id}: {file.name!r} leaves the model's folder")
        for part in file.parts:
            if part.package not in packages or not part.member:
                raise ValueError(f"{model.id}: {file.name} names {part.package!r}, which is not its package")
