"""The life of a root: every legal move, no other, and names that are never used twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from services.metadata.domain import journal_codec
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.roots import MOVES, NO_ROOTS, Root, Roots, RootState
from svc_core.domain.desired import TrustMode
from svc_core.errors import MalformedMessageError, ProtocolOrderError
from tests.unit.metadata.journals import EPOCH, at, make_issuer, make_journal

S = RootState
FIRST = NO_ROOTS.adopted(pem="root\n", key="k1", not_after=at(9000), now=at(0))


def with_two(roots: Roots) -> Roots:
    return roots.staged("root-2", pem="two\n", key="k2", not_after=at(9900), now=at(2), version=7)


def both() -> Roots:
    """Return two trusted roots, of which the younger one signs."""
    roots = FIRST.planned(now=at(1))
    staged = with_two(roots)
    return staged.activated("root-2", now=at(3))


@pytest.mark.parametrize(("before", "after"), list(product(S, S)))
def test_only_the_moves_of_the_table_are_made(before: RootState, after: RootState) -> None:
    root = Root("root-2", before, at(0), 4)

    if after in MOVES[before]:
        moved = root.moved(after, now=at(5))
        assert (moved.state, moved.since, moved.version) == (after, at(5), 4)
    else:
        with pytest.raises(ProtocolOrderError, match="root-2 cannot go"):
            root.moved(after, now=at(5))


def test_the_life_of_two_roots() -> None:
    roots = FIRST
    assert roots.signing == roots.root("root")
    assert (roots.pem, roots.successor) == ("root\n", None)

    roots = roots.ordered().planned(now=at(1))
    assert (roots.is_ordered, roots.pem) == (False, "root\n")
    assert roots.successor == roots.root("root-2")

    roots = with_two(roots)
    assert (roots.pem, roots.signing) == ("two\nroot\n", roots.root("root"))

    roots = roots.activated("root-2", now=at(3))
    assert [r.state for r in roots.known] == [S.LEAVING, S.SIGNING]
    assert (roots.pem, roots.successor) == ("two\nroot\n", None)

    roots = roots.retired("root", now=at(4), version=8)
    assert (roots.pem, roots.root("root").version) == ("two\n", 8)

    roots = roots.removed("root")
    assert [r.name for r in roots.known] == ["root-2"]
    assert roots.planned(now=at(6)).known[-1].name == "root-3"


def refused() -> dict[str, Callable[[], object]]:
    planned = FIRST.planned(now=at(1))
    return {
        "a first root once more": lambda: FIRST.adopted(pem="", key="", not_after=at(1), now=at(1)),
        "a third root before the second is used": lambda: planned.planned(now=at(2)),
        "using what is not made": lambda: planned.activated("root-2", now=at(2)),
        "retiring the one that signs": lambda: FIRST.retired("root", now=at(2), version=2),
        "removing one that is trusted": lambda: both().removed("root"),
    }


@pytest.mark.parametrize("case", refused())
def test_what_would_be_wrong_is_refused(case: str) -> None:
    with pytest.raises(ProtocolOrderError):
        refused()[case]()


def test_a_root_nobody_knows_is_no_root() -> None:
    with pytest.raises(KeyError):
        FIRST.root("root-9")


def test_an_issuer_is_of_the_root_that_signs_when_it_is_planned() -> None:
    before = replace(Journal(), roots=FIRST).planned(EPOCH, now=at(0))
    later = replace(before, roots=both()).planned(EPOCH + 1, now=at(5))

    assert [issuer.root for issuer in later.issuers] == ["root", "root-2"]
    assert Journal().planned(EPOCH, now=at(0)).issuers[0].root == "root"


def test_other_roots_are_a_version_only_when_trust_changes() -> None:
    journal = make_journal(make_issuer(IssuerState.ACTIVE, version=3))

    assert journal.with_roots(FIRST).version == 3
    assert journal.with_roots(both(), version=4).version == 4
    assert journal.with_trust_mode(TrustMode.CHAIN).version == 4


# --- in the journal's document -------------------------------------------------------------------

JOURNAL = replace(
    make_journal(make_issuer(IssuerState.ACTIVE)),
    roots=both().ordered(),
    trust_mode=TrustMode.CHAIN,
)


def test_the_journal_keeps_roots_and_mode() -> None:
    document = json.loads(json.dumps(journal_codec.encode(JOURNAL)))

    assert journal_codec.decode(document) == JOURNAL


def test_a_journal_from_before_roots_were_kept_is_read_as_it_was_meant() -> None:
    document = journal_codec.encode(JOURNAL)
    del document["roots"], document["trust_mode"]
    for issuer in document["issuers"]:  # type: ignore[attr-defined]
        del issuer["root"]

    old = journal_codec.decode(document)

    assert (old.roots, old.trust_mode) == (NO_ROOTS, TrustMode.INTERMEDIATES)
    assert [issuer.root for issuer in old.issuers] == ["root"]


@pytest.mark.parametrize(
    "damage",
    [
        {"roots": {"known": [{"name": "root"}], "made": 1, "is_ordered": False}},
        {"roots": {"known": [], "is_ordered": False}},
        {"roots": []},
        {"trust_mode": "anything"},
    ],
    ids=["half a root", "no count", "a list", "a mode nobody knows"],
)
def test_what_is_no_journal_is_one_error(damage: dict[str, object]) -> None:
    with pytest.raises(MalformedMessageError):
        journal_codec.decode(journal_codec.encode(JOURNAL) | damage)


def test_an_instant_needs_a_time_zone() -> None:
    document = journal_codec.encode(JOURNAL)
    document["roots"]["known"][0]["since"] = "2026-01-01T00:00:00"  # type: ignore[index]

    with pytest.raises(MalformedMessageError):
        journal_codec.decode(document)
