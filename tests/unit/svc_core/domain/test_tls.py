from datetime import UTC, datetime, timedelta

import pytest

from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import TlsMaterial

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIFE = timedelta(minutes=20)
MATERIAL = TlsMaterial(
    chain_pem="chain",
    key_pem=SecretBytes(b"key"),
    trust_pem="trust",
    issuer="ca-7-1",
    not_before=NOON - timedelta(minutes=6),
    not_after=NOON + LIFE,
    issued_at=NOON,
)


@pytest.mark.parametrize(
    ("jitter", "share"),
    [(0.0, 0.45), (0.5, 0.5), (1.0, 0.55)],
)
def test_a_leaf_is_renewed_at_half_of_its_life_give_or_take_a_tenth(
    jitter: float, share: float
) -> None:
    assert MATERIAL.renew_at(jitter) == NOON + share * LIFE


def test_the_remaining_life_becomes_negative() -> None:
    assert MATERIAL.remaining(NOON) == LIFE
    assert MATERIAL.remaining(NOON + 2 * LIFE) == -LIFE


def test_the_key_is_not_in_its_text() -> None:
    assert "<3 bytes>" in repr(MATERIAL)
