"""An instance has one name and one key for as long as it has its disk."""

import stat
from pathlib import Path

import pytest

from svc_core.adapters.instance_state import open_instance_state
from svc_core.domain.identity import GATEKEEPER
from svc_core.errors import ConfigError
from tests.builders import seeded_entropy


def test_name_and_key_are_made_once(tmp_path: Path) -> None:
    entropy = seeded_entropy()
    first = open_instance_state(tmp_path / "state", GATEKEEPER, "", entropy)
    again = open_instance_state(tmp_path / "state", GATEKEEPER, "", entropy)

    assert first.instance == again.instance
    assert first.instance.startswith("gatekeeper-")
    assert first.signer.public == again.signer.public
    assert first.kem.public == again.kem.public


@pytest.mark.parametrize("file", ["identity.seed", "kem.seed"])
def test_a_seed_is_private(tmp_path: Path, file: str) -> None:
    open_instance_state(tmp_path / "state", GATEKEEPER, "", seeded_entropy())

    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / file).stat().st_mode) == 0o600


def test_a_state_from_before_there_were_kem_keys_gets_one(tmp_path: Path) -> None:
    before = open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy())
    (tmp_path / "kem.seed").unlink()

    after = open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy(b"later"))

    assert (after.instance, after.signer.public) == (before.instance, before.signer.public)
    assert after.kem.public != before.kem.public


async def test_the_newest_bundle_is_remembered_over_restarts(tmp_path: Path) -> None:
    first = open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy())
    assert await first.newest_bundle.fetch() == 0

    await first.newest_bundle.store(88_361_280_000_007)

    again = open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy())
    assert await again.newest_bundle.fetch() == 88_361_280_000_007
    assert stat.S_IMODE((tmp_path / "bundle.version").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"seven", b"-7", b"\xd9\xa7"])
async def test_a_damaged_memory_is_refused_by_its_place(tmp_path: Path, content: bytes) -> None:
    state = open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy())
    (tmp_path / "bundle.version").write_bytes(content)

    with pytest.raises(ConfigError, match=r"bundle\.version"):
        await state.newest_bundle.fetch()


async def test_a_memory_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    state = open_instance_state(tmp_path / "state", GATEKEEPER, "", seeded_entropy())
    (tmp_path / "state").rename(tmp_path / "elsewhere")

    with pytest.raises(ConfigError, match="cannot write"):
        await state.newest_bundle.store(7)


def test_a_configured_name_wins_and_is_not_kept(tmp_path: Path) -> None:
    named = open_instance_state(tmp_path / "state", GATEKEEPER, "blue", seeded_entropy())

    assert named.instance == "blue"
    assert not (tmp_path / "state" / "instance").exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("identity.seed", b"short"),
        ("kem.seed", b"short"),
        ("instance", b"Not A Name"),
        ("instance", b"\xff\xfe"),
    ],
)
def test_a_damaged_state_is_refused_by_its_place(tmp_path: Path, file: str, content: bytes) -> None:
    open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy())
    (tmp_path / file).write_bytes(content)

    with pytest.raises(ConfigError, match="damaged state"):
        open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy())


def test_a_state_that_cannot_be_made_is_refused_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ConfigError, match="cannot use the state directory"):
        open_instance_state(tmp_path / "file" / "state", GATEKEEPER, "", seeded_entropy())
