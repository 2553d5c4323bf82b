"""An instance has one name and one key for as long as it has its disk."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from svc_core.adapters import instance_state
from svc_core.adapters.files import write_private
from svc_core.adapters.instance_state import InstanceState, KeyAge, open_instance_state
from svc_core.domain.identity import GATEKEEPER
from svc_core.errors import ConfigError
from tests.builders import NOW, seeded_entropy

ANY_AGE = KeyAge(NOW)


def test_name_and_key_are_made_once(tmp_path: Path) -> None:
    entropy = seeded_entropy()
    first = open_instance_state(tmp_path / "state", GATEKEEPER, "", entropy, ANY_AGE)
    again = open_instance_state(tmp_path / "state", GATEKEEPER, "", entropy, ANY_AGE)

    assert first.instance == again.instance
    assert first.instance.startswith("gatekeeper-")
    assert first.signer.public == again.signer.public
    assert first.kem.public == again.kem.public


@pytest.mark.parametrize("file", ["identity.seed", "kem.seed"])
def test_a_seed_is_private(tmp_path: Path, file: str) -> None:
    open_instance_state(tmp_path / "state", GATEKEEPER, "", seeded_entropy(), ANY_AGE)

    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / file).stat().st_mode) == 0o600


def test_a_state_from_before_there_were_kem_keys_gets_one(tmp_path: Path) -> None:
    before = open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy(), ANY_AGE)
    (tmp_path / "kem.seed").unlink()

    after = open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy(b"later"), ANY_AGE)

    assert (after.instance, after.signer.public) == (before.instance, before.signer.public)
    assert after.kem.public != before.kem.public


async def test_the_newest_bundle_is_remembered_over_restarts(tmp_path: Path) -> None:
    first = open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy(), ANY_AGE)
    assert await first.newest_bundle.fetch() == 0

    await first.newest_bundle.store(88_361_280_000_007)

    again = open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy(), ANY_AGE)
    assert await again.newest_bundle.fetch() == 88_361_280_000_007
    assert stat.S_IMODE((tmp_path / "bundle.version").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"seven", b"-7", b"\xd9\xa7"])
async def test_a_damaged_memory_is_refused_by_its_place(tmp_path: Path, content: bytes) -> None:
    state = open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy(), ANY_AGE)
    (tmp_path / "bundle.version").write_bytes(content)

    with pytest.raises(ConfigError, match=r"bundle\.version"):
        await state.newest_bundle.fetch()


async def test_a_memory_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    state = open_instance_state(tmp_path / "state", GATEKEEPER, "", seeded_entropy(), ANY_AGE)
    (tmp_path / "state").rename(tmp_path / "elsewhere")

    with pytest.raises(ConfigError, match="cannot write"):
        await state.newest_bundle.store(7)


def test_a_configured_name_wins_and_is_not_kept(tmp_path: Path) -> None:
    named = open_instance_state(tmp_path / "state", GATEKEEPER, "blue", seeded_entropy(), ANY_AGE)

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
    open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy(), ANY_AGE)
    (tmp_path / file).write_bytes(content)

    with pytest.raises(ConfigError, match="damaged state"):
        open_instance_state(tmp_path, GATEKEEPER, "", seeded_entropy(), ANY_AGE)


def test_a_state_that_cannot_be_made_is_refused_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ConfigError, match="cannot use the state directory"):
        open_instance_state(tmp_path / "file" / "state", GATEKEEPER, "", seeded_entropy(), ANY_AGE)


# --- keys that are too old --------------------------------------------------------------------

MONTH = timedelta(days=30)
FILES = ("instance", "identity.seed", "kem.seed")


def at(after: timedelta, *, most: timedelta | None = MONTH) -> KeyAge:
    return KeyAge(NOW + after, most)


def opened(tmp_path: Path, age: KeyAge, *, name: str = "", salt: bytes = b"") -> InstanceState:
    return open_instance_state(tmp_path, GATEKEEPER, name, seeded_entropy(salt), age)


async def test_keys_that_are_too_old_are_replaced_under_a_new_name(tmp_path: Path) -> None:
    before = opened(tmp_path, at(timedelta(0)), salt=b"first")
    await before.newest_bundle.store(7)
    former = {name: (tmp_path / name).read_bytes() for name in FILES}

    after = opened(tmp_path, at(MONTH + timedelta(seconds=1)), salt=b"second")

    assert after.is_new
    assert after.instance != before.instance
    assert after.signer.public != before.signer.public
    assert after.kem.public != before.kem.public
    assert await after.newest_bundle.fetch() == 7
    aside = tmp_path / "former"
    assert {name: (aside / name).read_bytes() for name in FILES} == former
    assert all(stat.S_IMODE((aside / name).stat().st_mode) == 0o600 for name in FILES)

    await after.forget_former()
    assert not aside.exists()
    again = opened(tmp_path, at(2 * MONTH), salt=b"third")
    assert (again.instance, again.is_new) == (after.instance, False)


@pytest.mark.parametrize(
    ("after", "most"),
    [
        pytest.param(MONTH, MONTH, id="just not"),
        pytest.param(10 * MONTH, None, id="never"),
        pytest.param(10 * MONTH, timedelta(0), id="never, written as 0"),
        pytest.param(-10 * MONTH, MONTH, id="the clock was set back"),
    ],
)
def test_keys_that_are_not_too_old_stay(
    tmp_path: Path, after: timedelta, most: timedelta | None
) -> None:
    before = opened(tmp_path, at(timedelta(0)), salt=b"first")

    state = opened(tmp_path, at(after, most=most), salt=b"second")

    assert state.instance == before.instance
    assert state.signer.public == before.signer.public
    assert (state.is_new, state.is_overdue) == (False, False)


def test_keys_from_a_clock_that_was_ahead_age_all_the_same(tmp_path: Path) -> None:
    opened(tmp_path, at(1000 * MONTH), salt=b"first")

    opened(tmp_path, at(timedelta(0)), salt=b"second")

    assert opened(tmp_path, at(2 * MONTH), salt=b"third").is_new


def test_a_configured_name_keeps_its_keys_and_says_so(tmp_path: Path) -> None:
    before = opened(tmp_path, at(timedelta(0)), name="blue", salt=b"first")

    after = opened(tmp_path, at(2 * MONTH), name="blue", salt=b"second")

    assert (after.instance, after.signer.public) == ("blue", before.signer.public)
    assert after.is_overdue
    assert not after.is_new


def test_a_state_from_before_there_was_an_age_is_as_young_as_its_first_look(
    tmp_path: Path,
) -> None:
    before = opened(tmp_path, at(timedelta(0)), salt=b"first")
    (tmp_path / "made_at").unlink()

    after = opened(tmp_path, at(2 * MONTH), salt=b"second")

    assert after.instance == before.instance
    assert opened(tmp_path, at(4 * MONTH), salt=b"third").is_new


@pytest.mark.parametrize("written", range(1, 8))
def test_whenever_it_dies_it_becomes_a_new_instance_and_the_former_is_kept(
    tmp_path: Path, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened(tmp_path, at(timedelta(0)), salt=b"first")
    former = {name: (tmp_path / name).read_bytes() for name in FILES}
    allowed = iter(range(written - 1))

    def write_or_die(path: Path, content: bytes) -> None:
        if next(allowed, None) is None:
            raise OSError("the power failed")
        write_private(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(instance_state, "write_private", write_or_die)
        with pytest.raises(ConfigError, match="power"):
            opened(tmp_path, at(2 * MONTH), salt=b"second")

    after = opened(tmp_path, at(2 * MONTH), salt=b"third")
    assert after.is_new
    assert after.instance != before.instance
    assert after.signer.public != before.signer.public
    assert after.kem.public != before.kem.public
    assert {name: (tmp_path / "former" / name).read_bytes() for name in FILES} == former


@pytest.mark.parametrize("content", [b"", b"yesterday", b"2026-01-01T00:00:00"])
def test_a_damaged_age_is_refused_by_its_place(tmp_path: Path, content: bytes) -> None:
    opened(tmp_path, at(timedelta(0)))
    (tmp_path / "made_at").write_bytes(content)

    with pytest.raises(ConfigError, match="damaged state"):
        opened(tmp_path, at(timedelta(0)))
