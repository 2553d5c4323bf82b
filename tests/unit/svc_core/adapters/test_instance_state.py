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


def test_the_seed_is_private(tmp_path: Path) -> None:
    open_instance_state(tmp_path / "state", GATEKEEPER, "", seeded_entropy())

    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "identity.seed").stat().st_mode) == 0o600


def test_a_configured_name_wins_and_is_not_kept(tmp_path: Path) -> None:
    named = open_instance_state(tmp_path / "state", GATEKEEPER, "blue", seeded_entropy())

    assert named.instance == "blue"
    assert not (tmp_path / "state" / "instance").exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [("identity.seed", b"short"), ("instance", b"Not A Name"), ("instance", b"\xff\xfe")],
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
