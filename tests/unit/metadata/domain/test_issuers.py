"""The life of an issuer: every legal move, and that no other changes anything."""

from itertools import product

import pytest

from services.metadata.domain.issuers import MOVES, IssuerState, issuer_name
from svc_core.errors import ProtocolOrderError
from tests.unit.metadata.journals import at, make_issuer


@pytest.mark.parametrize(("before", "after"), list(product(IssuerState, repeat=2)))
def test_an_issuer_moves_as_the_table_says_and_not_otherwise(
    before: IssuerState, after: IssuerState
) -> None:
    issuer = make_issuer(before, version=3)

    if after in MOVES[before]:
        moved = issuer.moved(after, now=at(7), version=4)
        assert (moved.name, moved.state, moved.since, moved.version) == (
            issuer.name,
            after,
            at(7),
            4,
        )
    else:
        with pytest.raises(ProtocolOrderError, match=f"cannot go from {before} to {after}"):
            issuer.moved(after, now=at(7), version=4)


def test_every_life_ends_retired() -> None:
    def ends(state: IssuerState) -> set[IssuerState]:
        return set().union(*(ends(after) for after in MOVES[state])) if MOVES[state] else {state}

    assert ends(IssuerState.PLANNED) == {IssuerState.RETIRED}


def test_a_name_says_epoch_and_attempt() -> None:
    assert issuer_name(7, 2) == "ca-7-2"


def test_an_issuer_expires_at_its_end_and_not_before() -> None:
    issuer = make_issuer(IssuerState.ACTIVE, ends=10)

    assert not issuer.is_expired(at(9.999))
    assert issuer.is_expired(at(10))
    assert not make_issuer(IssuerState.PLANNED).is_expired(at(10_000))


def test_the_desired_state_carries_an_issuer_with_both_certificates() -> None:
    trusted = make_issuer(IssuerState.STAGED, ends=10).as_trusted()

    assert (trusted.pem, trusted.route_pem) == (f"pem {trusted.name}\n", f"route {trusted.name}\n")
    assert trusted.not_after == at(10)


def test_an_issuer_that_was_not_made_cannot_be_trusted() -> None:
    with pytest.raises(ProtocolOrderError, match="no certificate yet"):
        make_issuer(IssuerState.PLANNED).as_trusted()
