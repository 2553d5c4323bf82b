"""What every place for the ACL manifest does: says what it is now, and when it has changed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.metadata.adapters.acl_configmap import open_manifest
from services.metadata.adapters.acl_file import FileManifest
from services.metadata.config import AclConfigMap
from services.metadata.ports import AclManifest
from svc_core.adapters.files import write_private
from svc_core.errors import ConfigError
from svc_core.wire.acl_yaml import MAX_BYTES
from tests.fakes.kube_emulator.emulator import open_emulator
from tests.fakes.kube_emulator.objects import Place

PLACE = Place("configmaps", "metadata", "services-acl")


@dataclass
class Editable:
    """A manifest and the person who edits it."""

    manifest: AclManifest
    write: Callable[[str], object]
    remove: Callable[[], object]


async def until(following: AsyncGenerator[bytes | None, None], wanted: bytes | None) -> None:
    """Wait until the manifest is ``wanted``; anything may be said before that."""
    while await anext(following) != wanted:
        pass


@pytest.fixture
def in_file(tmp_path: Path) -> Editable:
    path = tmp_path / "acl.yaml"
    return Editable(
        FileManifest(path), lambda text: write_private(path, text.encode()), path.unlink
    )


@pytest.fixture
async def in_config_map(tmp_path: Path) -> AsyncIterator[Editable]:
    async with open_emulator(tmp_path) as emulator:
        settings = AclConfigMap(namespace=PLACE.namespace, key="k", api=emulator.access())

        def write(text: str) -> None:
            value = {"metadata": {"name": PLACE.name}, "data": {"k": text}}
            emulator.add(PLACE.resource, PLACE.namespace, value)

        async with open_manifest(settings) as manifest:
            yield Editable(manifest, write, lambda: emulator.store.remove(PLACE))


@pytest.fixture(params=["in_file", "in_config_map"])
def editable(request: pytest.FixtureRequest) -> Editable:
    """A manifest somewhere; there is none yet."""
    found: Editable = request.getfixturevalue(request.param)
    return found


async def test_it_is_followed_through_its_life(editable: Editable) -> None:
    edits: list[Callable[[], object]] = [
        lambda: editable.write("1"),
        lambda: editable.write("2"),
        editable.remove,
    ]
    async with asyncio.timeout(20):
        following = editable.manifest.follow()
        seen = [await anext(following)]
        for edit in edits:
            edit()
            # The same may be said twice; what counts is that the change is said.
            while (said := await anext(following)) == seen[-1]:
                pass
            seen.append(said)
        await following.aclose()

    assert seen == [None, b"1", b"2", None]


async def test_it_can_be_read_again_after_somebody_stopped_following(editable: Editable) -> None:
    editable.write("1")
    for _ in range(2):
        following = editable.manifest.follow()
        assert await anext(following) == b"1"
        await following.aclose()


async def test_a_file_that_cannot_be_read_is_an_error_and_not_an_absence(tmp_path: Path) -> None:
    path = tmp_path / "acl.yaml"
    path.write_text("1")
    async with asyncio.timeout(20):
        following = FileManifest(path).follow()
        await anext(following)
        path.unlink()
        path.mkdir()

        with pytest.raises(ConfigError, match=r"acl\.yaml: cannot be read: Is a directory"):
            await until(following, b"2")


async def test_a_file_of_any_size_costs_no_more_than_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "acl.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    following = FileManifest(path).follow()
    raw = await anext(following)
    await following.aclose()

    assert raw is not None
    assert len(raw) == MAX_BYTES + 1


async def test_a_directory_that_is_missing_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    following = FileManifest(tmp_path / "nowhere" / "acl.yaml").follow()

    assert await anext(following) is None
    with pytest.raises(ConfigError, match="nowhere: cannot be watched"):
        await anext(following)


async def test_a_directory_that_comes_back_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "live" / "acl.yaml"
    path.parent.mkdir()
    path.write_bytes(b"1")
    async with asyncio.timeout(20):
        following = FileManifest(path).follow()
        for _ in range(2):  # once at the beginning, once by the watch
            assert await anext(following) == b"1"
        path.parent.rename(tmp_path / "away")
        await until(following, None)
        path.parent.mkdir()
        path.write_bytes(b"2")
        await until(following, b"2")
        await following.aclose()
