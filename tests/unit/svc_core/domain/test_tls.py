from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import LeafNames, TlsMaterial, TlsState, judge

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


@pytest.mark.parametrize(
    ("spent", "has_failed", "state"),
    [
        pytest.param(0.0, False, TlsState.OK, id="new"),
        pytest.param(0.0, True, TlsState.DEGRADED, id="new, but a change was refused"),
        pytest.param(0.66, False, TlsState.OK, id="a third is left"),
        pytest.param(0.67, False, TlsState.DEGRADED, id="less than a third"),
        pytest.param(0.89, True, TlsState.DEGRADED, id="a tenth is left"),
        pytest.param(0.91, False, TlsState.CRITICAL, id="less than a tenth"),
        pytest.param(0.91, True, TlsState.CRITICAL, id="and a change was refused"),
        pytest.param(1.0, False, TlsState.EXPIRED, id="over"),
        pytest.param(2.0, True, TlsState.EXPIRED, id="long over"),
    ],
)
def test_the_state_is_a_matter_of_shares(spent: float, has_failed: bool, state: TlsState) -> None:
    for life in (timedelta(seconds=20), timedelta(hours=24)):
        material = replace(MATERIAL, not_after=NOON + life)

        assert judge(material, now=NOON + spent * life, has_failed=has_failed) is state


def test_states_are_called_by_their_names_in_lower_case() -> None:
    assert [state.label for state in TlsState] == ["ok", "degraded", "critical", "expired"]


def test_hosts_are_names_and_addresses() -> None:
    assert LeafNames(("spiffe://d/x",), ("a", "b"), ("::1",)).hosts == ("a", "b", "::1")
