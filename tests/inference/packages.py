"""Small packages for the store's tests: real wheels and an npm stand-in, in a local folder that pip reads."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from antiphon.inference.catalog import Catalog, CatalogFile, CatalogModel, Package, Part
from antiphon.inference.download import PackageClients, find_pip


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def build_wheel(folder: Path, name: str, members: Mapping[str, bytes], version: str = "1.0.0") -> Path:
    """A wheel that pip accepts, holding ``members``; it depends on a package that does not exist."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": b'raise RuntimeError("a model package was imported")\n',
        **{f"{module}/{member}": data for member, data in members.items()},
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            "Requires-Python: >=3.99\nRequires-Dist: not-a-package-anywhere\n"
        ).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{_record_hash(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, data in files.items():
            wheel.writestr(member, data)
    return path


def _record_hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def package_of(wheel: Path, name: str) -> Package:
    data = wheel.read_bytes()
    return Package(registry="pypi", name=name, version="1.0.0", size=len(data), sha256=sha256(data))


def two_part_model(index: Path, model_id: str = "llm/tiny", content: bytes | None = None) -> CatalogModel:
    """A model of one big file in two packages, and a small file beside it; its wheels lie in ``index``."""
    name = model_id.partition("/")[2]
    body = content if content is not None else os.urandom(200_000)
    half = len(body) // 2
    pieces = {f"{name}-part1": body[:half], f"{name}-part2": body[half:]}
    settings = b'{"layers": 2}'
    packages = []
    for package, piece in pieces.items():
        wheel = build_wheel(index, package, {"data/part.bin": piece, "data/config.json": settings})
        packages.append(package_of(wheel, package))
    first, second = pieces
    module = first.replace("-", "_"), second.replace("-", "_")
    return CatalogModel(
        id=model_id,
        title="A model for tests",
        languages=("en",),
        licence="MIT",
        source="here",
        packages=tuple(packages),
        files=(
            CatalogFile(
                name="model.gguf",
                size=len(body),
                sha256=sha256(body),
                parts=(
                    Part(package=first, member=f"{module[0]}/data/part.bin"),
                    Part(package=second, member=f"{module[1]}/data/part.bin"),
                ),
            ),
            CatalogFile(
                name="sub/config.json",
                size=len(settings),
                sha256=sha256(settings),
                parts=(Part(package=first, member=f"{module[0]}/data/config.json"),),
            ),
        ),
    )


def catalog_of(*models: CatalogModel) -> Catalog:
    return Catalog(models)


def local_clients(index: Path, **environ: str) -> PackageClients:
    """pip as it really is, reading ``index`` only: no network, none of this machine's configuration."""
    return PackageClients(
        pip=find_pip(),
        npm=(sys.executable, "-m", "this_npm_is_not_there"),
        environ={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(index),
            **environ,
        },
    )


def npm_stand_in(script: Path, tarball: Path, pin: str) -> tuple[str, ...]:
    """A command that answers ``npm pack PIN … --pack-destination FOLDER`` with ``tarball``."""
    script.write_text(
        "import shutil, sys\n"
        f"assert sys.argv[1:3] == ['pack', {pin!r}] and '--ignore-scripts' in sys.argv, sys.argv\n"
        "folder = sys.argv[sys.argv.index('--pack-destination') + 1]\n"
        f"print(shutil.copy({str(tarball)!r}, folder))\n",
        encoding="utf-8",
    )
    return (sys.executable, str(script))
