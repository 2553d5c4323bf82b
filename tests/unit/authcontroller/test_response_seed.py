"""The secret behind the responses: made once, kept private, never guessed at."""

from pathlib import Path

import pytest

from services.authcontroller.adapters.response_seed import open_response_seed
from svc_core.errors import ConfigError
from tests.builders import seeded_entropy


def test_the_seed_is_the_same_at_every_start_and_private(tmp_path: Path) -> None:
    entropy = seeded_entropy()

    first, second = (open_response_seed(tmp_path / "state", entropy) for _ in range(2))

    assert first.reveal() == second.reveal()
    assert len(first) == 32
    assert (tmp_path / "state" / "responses.seed").stat().st_mode & 0o777 == 0o600


def test_a_damaged_seed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "responses.seed").write_bytes(b"short")

    with pytest.raises(ConfigError, match="does not hold 32 bytes"):
        open_response_seed(tmp_path, seeded_entropy())


def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")

    with pytest.raises(ConfigError, match="cannot use the state directory"):
        open_response_seed(tmp_path / "state", seeded_entropy())
