"""What every place for the ACL manifest does: says what it is now, and when it has changed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.metadata.adapters.acl_configmap import open_manifest
from services.metadata.adapters.acl_file import FileManifest
from services.metadata.config import AclConfigMap
from services.metadata.ports import AclManifest
from svc_core.adapters.files import write_private
from tests.fakes.kube_emulator.emulator import open_emulator
from tests.fakes.kube_emulator.objects import Place

PLACE = Place("configmaps", "metadata", "services-acl")


@dataclass
class Editable:
    """A manifest and the person who edits it."""

    manifest: AclManifest
    write: Callable[[str], object]
    remove: Callable[[], object]


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
