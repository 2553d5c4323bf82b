"""Versions never go back, and each change is told to whom it touches."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metadata.domain import key_ledger
from services.metadata.domain.key_generations import KeyGeneration, acl_digest
from services.metadata.domain.key_ledger import KeyLedger, KeySnapshot, affected, mark_of
from svc_core.domain.acl import Acl, acl_from_roles
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.subjects import RESPONDER
from svc_core.errors import MalformedMessageError
from tests.unit.metadata.acls import ACL, KNOWN, roles

LEDGER = KeyLedger(newest=7, changes=3, mark="m")
BOTH = (AUTHCONTROLLER, GATEKEEPER)


def snapshot(ledger: KeyLedger, acl: Acl = ACL) -> KeySnapshot:
    return KeySnapshot(ledger, acl, (KeyGeneration(Epoch(7), {}, {}),))


def other_acl() -> Acl:
    """Return an ACL in which Watcher consumes what AuthController produces."""
    changed = roles()
    changed["watcher"]["subscribe"] = [RESPONDER]
    return acl_from_roles(changed, known=KNOWN)[0]


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc")), max_size=30))
def test_a_version_never_goes_back_and_another_mark_is_another_version(
    steps: list[tuple[int, str]],
) -> None:
    ledger = KeyLedger()
    for newest, mark in steps:
        after = ledger.issued(newest, mark)
        assert after.version >= ledger.version
        if (newest, mark) != (ledger.newest, ledger.mark) and newest >= ledger.newest:
            assert after.version > ledger.version
        assert after.issued(newest, mark) == after
        ledger = after


def test_an_order_counts_once() -> None:
    once = LEDGER.rolled("order-1")

    assert (once.rolls, once.rolled("order-1")) == (1, once)
    assert once.rolled("order-2").rolls == 2


def test_a_lifted_service_is_back_and_its_former_identities_are_not() -> None:
    revoked = LEDGER.without(GATEKEEPER, ["g1", "g2"])
    lifted = revoked.lifted(GATEKEEPER)

    assert revoked.revoked == {GATEKEEPER}
    assert lifted.revoked == frozenset()
    assert lifted.refused == revoked.refused == {"gatekeeper/g1", "gatekeeper/g2"}


def test_bundles_are_issued_for_rights_rolls_and_who_is_revoked() -> None:
    marks = {
        mark_of(acl_digest(ACL), LEDGER),
        mark_of(acl_digest(other_acl()), LEDGER),
        mark_of(acl_digest(ACL), LEDGER.rolled("order")),
        mark_of(acl_digest(ACL, [GATEKEEPER]), LEDGER),
    }

    assert len(marks) == 4


# --- who is told --------------------------------------------------------------------------------


def test_after_a_start_everybody_with_keys_is_told() -> None:
    assert affected(None, snapshot(LEDGER)) == BOTH


def test_the_same_version_is_told_to_nobody() -> None:
    assert affected(snapshot(LEDGER), snapshot(LEDGER)) == ()


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(LEDGER.issued(8, "m"), id="another epoch"),
        pytest.param(LEDGER.rolled("order").issued(7, "n"), id="an ordered roll"),
        pytest.param(replace(LEDGER, changes=5), id="a change that was not seen"),
        pytest.param(replace(LEDGER, changes=4), id="there and back again"),
    ],
)
def test_what_touches_all_is_told_to_all(after: KeyLedger) -> None:
    assert affected(snapshot(LEDGER), snapshot(after)) == BOTH


def test_other_rights_are_told_to_whom_they_touch() -> None:
    after = snapshot(LEDGER.issued(7, "n"), other_acl())

    assert affected(snapshot(LEDGER), after) == ("watcher",)


def test_a_service_that_is_gone_is_told_nothing() -> None:
    acl = Acl({s: p for s, p in ACL.services.items() if s != GATEKEEPER})

    after = snapshot(LEDGER.without(GATEKEEPER, []).issued(7, "n"), acl)

    assert affected(snapshot(LEDGER), after) == (AUTHCONTROLLER,)


# --- codec --------------------------------------------------------------------------------------


def test_what_was_encoded_is_decoded_again() -> None:
    ledger = LEDGER.rolled("order").without(GATEKEEPER, ["g1"])

    assert key_ledger.decode(key_ledger.encode(ledger)) == ledger


junk = st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())


@given(st.sampled_from(sorted(key_ledger.encode(LEDGER))), junk)
def test_any_document_gives_a_ledger_or_one_error(name: str, value: object) -> None:
    document: dict[str, Any] = key_ledger.encode(LEDGER) | {name: value}
    with suppress(MalformedMessageError):
        key_ledger.decode(document)


def test_a_ledger_that_says_less_is_refused() -> None:
    with pytest.raises(MalformedMessageError):
        key_ledger.decode({"newest": 7})
