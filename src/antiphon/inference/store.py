"""The model store: one folder with a folder a model, each file checked against the catalog's hash.

    <root>/asr/whisper-base/model.bin …    a model, complete: it is put there whole, in one rename
    <root>/asr/whisper-base/.checked.json  size and time of each file when its hash was last found right
    <root>/.incoming/                      packages and half-joined files of a pull (``pull.py``)
    <root>/.lock                           held while something is being pulled

Everything here blocks on the disk: call it off the event loop.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from antiphon.errors import ModelError
from antiphon.inference.catalog import KINDS, Catalog, CatalogFile, CatalogModel, Kind, shipped_catalog

_STAMP = ".checked.json"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(/[\w./-]+\.gguf)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A model ready to be loaded."""

    id: str
    """Its catalog id, or the path or Hugging Face id that was asked for."""
    kind: Kind
    folder: Path
    """Where all its files are."""
    main: Path
    """The file that a runtime opens: ``model.bin``, ``….gguf``, ``….onnx``."""

    def file(self, name: str) -> Path:
        """A file of the model by its name; a missing one is an error that names it."""
        path = self.folder / name
        if not path.exists():
            raise ModelError(f"{self.id} has no {name} in {self.folder}.", model_id=self.id)
        return path


class ModelStore:
    """What is under one models folder, and where a model named in the settings lies."""

    def __init__(self, root: Path, catalog: Catalog | None = None, *, baked: Path | None = None) -> None:
        """``baked``: a second folder, which is only read: a model that is right there is used, and not pulled."""
        self.root = root
        self.catalog = catalog or shipped_catalog()
        self._baked = baked

    def folder(self, model: CatalogModel) -> Path:
        """Where a pull puts the model's files."""
        return self.root / model.kind / model.name

    def place(self, model: CatalogModel) -> Path:
        """Where the model's files are, or would be."""
        return self._look(model)[0]

    def problems(self, model: CatalogModel, *, thorough: bool = False) -> list[str]:
        """What is wrong with the model's files, a phrase each; empty when they are right.

        A file whose size and time are as they were when its hash was found right is taken as right, unless
        ``thorough``; any other is hashed (145 MB take about 0.15 s).
        """
        return self._look(model, thorough=thorough)[1]

    def _look(self, model: CatalogModel, *, thorough: bool = False) -> tuple[Path, list[str]]:
        """The folder in which the model's files are right; else the one of a pull, and what is wrong there."""
        if self._baked is not None:
            folder = self._baked / model.kind / model.name
            if not _problems(folder, model, thorough=thorough):
                return folder, []
        folder = self.folder(model)
        return folder, _problems(folder, model, thorough=thorough)

    def note_right(self, model: CatalogModel) -> None:
        """Remember that the model's files were just found right, which spares the next start the hashing."""
        folder = self.folder(model)
        _write_stamps(folder, {file.name: _stamp(folder / file.name) for file in model.files})

    def has(self, model: CatalogModel) -> bool:
        """Whether the model is here and right."""
        return not self.problems(model)

    def verify(self, model: CatalogModel) -> None:
        """Hash every file of the model; raises ``ModelError`` that says what is wrong and what to do."""
        self._require(model, self.problems(model, thorough=True))

    def resolve(self, ref: str, kind: Kind | None = None) -> ModelFiles:
        """The files of the model that ``ref`` names: a catalog id with or without its kind, a local path, or
        a Hugging Face id (recognisers; language models as ``owner/repository/file.gguf``).

        Raises ``ModelError`` when it is unknown, missing, cut short, altered, or of another kind.
        """
        model = self.catalog.get(f"{kind}/{ref}" if kind else ref) or self.catalog.get(ref)
        if model is not None:
            if kind is not None and model.kind != kind:
                raise ModelError(
                    f"{model.id} cannot be used here: a model of kind {kind} is wanted.", model_id=model.id
                )
            folder, problems = self._look(model)
            self._require(model, problems)
            return ModelFiles(id=model.id, kind=model.kind, folder=folder, main=folder / model.main_file)
        path = Path(ref).expanduser()
        if kind is not None and path.exists():
            return local_files(ref, path, kind)
        if kind is not None and _is_hub_id(ref, kind):
            return _hub_files(ref, kind)
        if ref.startswith((".", "/", "~")):
            raise ModelError(f"There is no file or folder {ref}.", model_id=ref)
        self.catalog.find(ref)  # raises, suggesting the nearest name
        raise AssertionError("unreachable: get() and find() know the same names")

    def _require(self, model: CatalogModel, problems: list[str]) -> None:
        if not problems:
            return
        if problems == ["not pulled"]:
            raise ModelError(
                f"{model.id} is not in {self.root}: run `antiphon models pull {model.id}`.", model_id=model.id
            )
        raise ModelError(
            f"{model.id} is damaged: {'; '.join(problems)}. Run `antiphon models pull {model.id}` "
            "to fetch it again.",
            model_id=model.id,
        )


def hash_file(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _problems(folder: Path, model: CatalogModel, *, thorough: bool) -> list[str]:
    if not folder.is_dir():
        return ["not pulled"]
    stamps = {} if thorough else _read_stamps(folder)
    found: list[str] = []
    checked: dict[str, list[int]] = {}
    for file in model.files:
        path = folder / file.name
        problem = _problem(path, file, stamps.get(file.name))
        if problem:
            found.append(problem)
        else:
            checked[file.name] = _stamp(path)
    if checked != stamps:
        _write_stamps(folder, checked)
    return found


def _problem(path: Path, file: CatalogFile, stamp: list[int] | None) -> str | None:
    try:
        size = path.stat().st_size
        if size != file.size:
            what = "is cut short" if size < file.size else "is too long"
            return f"{file.name} {what} ({size:,} bytes instead of {file.size:,})"
        if stamp == _stamp(path) or hash_file(path) == file.sha256:
            return None
    except FileNotFoundError:
        return f"{file.name} is missing"
    except OSError as error:
        return f"{file.name} cannot be read ({error.strerror})"
    return f"{file.name} was altered (its SHA-256 is not the catalog's)"


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _read_stamps(folder: Path) -> dict[str, list[int]]:
    try:
        stamps = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _write_stamps(folder: Path, stamps: dict[str, list[int]]) -> None:
    # The folder may be mounted read-only: then each start hashes again, which is only slower.
    with contextlib.suppress(OSError):
        new = folder / f"{_STAMP}.{os.getpid()}"
        new.write_text(json.dumps(stamps), encoding="utf-8")
        new.replace(folder / _STAMP)


def local_files(ref: str, path: Path, kind: Kind) -> ModelFiles:
    """A model given as a path: a recogniser's folder (CTranslate2), a ``.gguf`` file, an ``.onnx`` file.
    Raises ``ModelError`` when it does not look like one."""
    if kind == "asr":
        return _recognizer_folder(ref, path)
    if not path.is_file():
        raise ModelError(f"{ref} is a folder; a model of kind {kind} is one file.", model_id=ref)
    with path.open("rb") as stream:
        magic = stream.read(4)
    if kind == "llm" and magic != b"GGUF":
        raise ModelError(f"{ref} is not a GGUF file, the form that the language runtime takes.", model_id=ref)
    if kind != "llm" and path.suffix != ".onnx":
        raise ModelError(f"{ref} is not an .onnx file, the form that the runtime takes.", model_id=ref)
    return ModelFiles(id=ref, kind=kind, folder=path.parent, main=path)


def _recognizer_folder(ref: str, path: Path) -> ModelFiles:
    wanted = ("model.bin", "config.json", "tokenizer.json")
    missing = [name for name in wanted if not (path / name).is_file()]
    if missing:
        raise ModelError(
            f"{ref} is no Whisper model in CTranslate2's form: it has no {', '.join(missing)}.", model_id=ref
        )
    return ModelFiles(id=ref, kind="asr", folder=path, main=path / "model.bin")


def _is_hub_id(ref: str, kind: Kind) -> bool:
    if not _HUB_ID.fullmatch(ref) or ref.partition("/")[0] in KINDS:
        return False
    return (kind == "asr" and ref.count("/") == 1) or (kind == "llm" and ref.endswith(".gguf"))


def _hub_files(ref: str, kind: Kind) -> ModelFiles:
    """Fetch from Hugging Face with its own client and cache, where that is installed."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ModelError(
            f"{ref} looks like a Hugging Face id, which needs the package huggingface_hub.", model_id=ref
        ) from error
    try:
        if kind == "llm":
            owner, repository, name = ref.split("/", 2)
            path = Path(huggingface_hub.hf_hub_download(f"{owner}/{repository}", name))
        else:
            wanted = [
                "model.bin",
                "config.json",
                "tokenizer.json",
                "vocabulary.*",
                "preprocessor_config.json",
            ]
            path = Path(huggingface_hub.snapshot_download(ref, allow_patterns=wanted))
    except (OSError, ValueError) as error:  # its network, cache and naming errors all derive from these
        raise ModelError(
            f"{ref} could not be fetched from Hugging Face ({type(error).__name__}). Check its name and the "
            "network, or download it elsewhere and give its path.",
            model_id=ref,
        ) from error
    return local_files(ref, path, kind)
