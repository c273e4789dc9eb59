"""The page: its files from ``antiphon.web``, read once, sent with their type, a tag to ask again by, and
the headers that keep strangers' code out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from antiphon.errors import SettingsError

CONTENT_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
"""What is served; any other file in the folder is not (types for the checker, notes)."""

START = "index.html"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page."""

    content: bytes
    content_type: str
    tag: str
    """ETag: of the content, so that every start of the server with the same files gives the same."""


def read_page(own: Path | None = None) -> dict[str, Asset]:
    """All files of the page by their path below ``/assets/``; ``index.html`` among them. Those of the operator's own
    folder take the place of ours. Raises SettingsError when it cannot be read."""
    assets = dict(_walk(files("antiphon") / "web", ""))
    if own is not None:
        try:
            assets |= _walk(own, "")
        except OSError as error:
            raise SettingsError(
                f"ANTIPHON_PAGE={str(own)!r} cannot be read: {error.strerror}. It must be a folder of files that the"
                " user of the server may read."
            ) from error
    return assets


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif suffix in CONTENT_TYPES:
            content = entry.read_bytes()
            tag = '"' + hashlib.sha256(content).hexdigest()[:20] + '"'
            found.append((prefix + entry.name, Asset(content, CONTENT_TYPES[suffix], tag)))
    return found


class Page:
    """Answers for ``/`` and ``/assets/…``."""

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = assets

    async def start(self, request: Request) -> Response:
        """``/``"""
        return self.answer(request, START)

    async def asset(self, request: Request) -> Response:
        """``/assets/{path}``"""
        return self.answer(request, str(request.path_params["path"]))

    def answer(self, request: Request, path: str) -> Response:
        """The file at ``path`` below the page's folder, or that there is none."""
        asset = self._assets.get(path)
        if asset is None:
            return PlainTextResponse("There is no such file.\n", status_code=404)
        # Always asked again by tag: a new version of the server must not meet scripts of an old one.
        headers = {"ETag": asset.tag, "Cache-Control": "no-cache"}
        if asset.tag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.content_type, headers=headers)
