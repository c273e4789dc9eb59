"""The store: what is here, what is right, and what a model's name in the settings leads to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.inference.packages import catalog_of, two_part_model

from antiphon.errors import ModelError
from antiphon.inference.catalog import CatalogModel
from antiphon.inference.pull import plan_pull
from antiphon.inference.store import ModelStore

BODY = b"GGUF" + bytes(1000)


@pytest.fixture
def model(tmp_path: Path) -> CatalogModel:
    (tmp_path / "index").mkdir()
    return two_part_model(tmp_path / "index", content=BODY)


@pytest.fixture
def store(tmp_path: Path, model: CatalogModel) -> ModelStore:
    """A store in which ``model`` is right."""
    store = ModelStore(tmp_path / "models", catalog_of(model))
    folder = store.folder(model)
    (folder / "sub").mkdir(parents=True)
    (folder / "model.gguf").write_bytes(BODY)
    (folder / "sub" / "config.json").write_bytes(b'{"layers": 2}')
    return store


def altered(store: ModelStore, model: CatalogModel, *, keep_time: bool) -> Path:
    """Change a byte of the model's file; ``keep_time`` as a careful forger or a failing disk would."""
    path = store.folder(model) / "model.gguf"
    before = path.stat()
    path.write_bytes(BODY[:-1] + b"x")
    moment = before.st_mtime_ns if keep_time else before.st_mtime_ns + 1
    os.utime(path, ns=(before.st_atime_ns, moment))
    return path


def test_a_model_is_found_by_id_or_name(store: ModelStore) -> None:
    assert store.resolve("llm/tiny").main == store.root / "llm" / "tiny" / "model.gguf"
    assert store.resolve("tiny") == store.resolve("tiny", "llm") == store.resolve("llm/tiny", "llm")


def test_a_model_of_another_kind_is_refused(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="llm/tiny cannot be used here: a model of kind asr is wanted"):
        store.resolve("tiny", "asr")


def test_a_model_that_is_not_here_says_how_to_get_it(tmp_path: Path, model: CatalogModel) -> None:
    with pytest.raises(ModelError, match="run `antiphon models pull llm/tiny`"):
        ModelStore(tmp_path / "empty", catalog_of(model)).resolve("tiny")


def test_a_model_that_is_baked_in_is_used_whatever_the_folder_of_pulls_holds(
    store: ModelStore, model: CatalogModel, tmp_path: Path
) -> None:
    """As in an image whose volume is empty, or holds what an earlier version fetched."""
    pulled = tmp_path / "volume"
    both = ModelStore(pulled, catalog_of(model), baked=store.root)
    assert plan_pull(both, ["tiny"]).models == ()
    (pulled / "llm" / "tiny").mkdir(parents=True)
    assert both.problems(model) == []
    assert both.resolve("tiny").folder == both.place(model) == store.root / "llm" / "tiny"


def test_a_baked_model_that_is_not_right_is_pulled_beside(
    store: ModelStore, model: CatalogModel, tmp_path: Path
) -> None:
    altered(store, model, keep_time=False)
    both = ModelStore(tmp_path / "volume", catalog_of(model), baked=store.root)
    assert plan_pull(both, ["tiny"]).models == (model,)
    assert both.place(model) == both.folder(model) == tmp_path / "volume" / "llm" / "tiny"


def test_a_file_cut_short_is_named(store: ModelStore, model: CatalogModel) -> None:
    (store.folder(model) / "model.gguf").write_bytes(BODY[:-4])
    with pytest.raises(
        ModelError, match=r"llm/tiny is damaged: model.gguf is cut short \(1,000 bytes instead"
    ):
        store.resolve("tiny")


def test_a_missing_file_is_named(store: ModelStore, model: CatalogModel) -> None:
    (store.folder(model) / "sub" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"sub/config.json is missing\. Run `antiphon models pull llm/tiny`"):
        store.resolve("tiny")


def test_an_altered_file_is_noticed_when_the_model_is_loaded(store: ModelStore, model: CatalogModel) -> None:
    store.resolve("tiny")
    altered(store, model, keep_time=False)
    with pytest.raises(ModelError, match=r"model\.gguf was altered"):
        store.resolve("tiny")


def test_verify_hashes_even_what_looks_untouched(store: ModelStore, model: CatalogModel) -> None:
    store.resolve("tiny")
    altered(store, model, keep_time=True)
    store.resolve("tiny")  # the quick look is fooled
    with pytest.raises(ModelError, match=r"model\.gguf was altered"):
        store.verify(model)
    with pytest.raises(ModelError, match=r"model\.gguf was altered"):
        store.resolve("tiny")  # and what was found is remembered


def test_an_unknown_name_suggests(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="Did you mean llm/tiny"):
        store.resolve("tinny", "llm")
    with pytest.raises(ModelError, match="There is no file or folder"):
        store.resolve("./nowhere.gguf", "llm")


def test_a_local_gguf_can_be_given(store: ModelStore, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(BODY)
    assert store.resolve(str(path), "llm").main == path
    path.write_bytes(b"<html>not found")
    with pytest.raises(ModelError, match="not a GGUF file"):
        store.resolve(str(path), "llm")


def test_a_local_recogniser_folder_can_be_given(store: ModelStore, tmp_path: Path) -> None:
    folder = tmp_path / "whisper"
    folder.mkdir()
    for name in ("model.bin", "config.json"):
        (folder / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        store.resolve(str(folder), "asr")
    (folder / "tokenizer.json").write_bytes(b"x")
    assert store.resolve(str(folder), "asr").main == folder / "model.bin"
