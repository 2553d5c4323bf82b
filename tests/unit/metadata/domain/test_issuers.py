"""The life of an issuer: every legal move, and that no other changes anything."""

from itertools import product

import pytest

from services.metadata.domain.issuers import (
    IN_TRUST,
    LEGAL,
    MOVES,
    REMOVABLE,
    IssuerState,
    issuer_name,
)
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


def reachable(start: IssuerState) -> set[IssuerState]:
    """Return every state a way leads to from ``start``, itself included."""
    found, fresh = {start}, [start]
    while fresh:
        fresh = [after for state in fresh for after in MOVES[state] if after not in found]
        found.update(fresh)
    return found


@pytest.mark.parametrize("state", IssuerState)
def test_from_everywhere_a_way_leads_out_of_the_trusted_set_and_none_back(
    state: IssuerState,
) -> None:
    assert reachable(state) & REMOVABLE
    assert all(reachable(end) == {end} for end in REMOVABLE)


def test_no_move_is_written_twice_or_leads_nowhere() -> None:
    pairs = [(move.before, move.after) for move in LEGAL]

    assert len(set(pairs)) == len(pairs)
    assert all(before is not after for before, after in pairs)


def test_only_an_issuer_that_nobody_can_trust_again_may_be_deleted() -> None:
    assert not REMOVABLE & IN_TRUST
    assert {state for state in IssuerState if not MOVES[state]} == REMOVABLE


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
