"""The journal: every change is a new value, versions grow, and any bytes give it or one error."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metadata.domain import journal_codec as codec
from services.metadata.domain.issuers import Issuer, IssuerState
from services.metadata.domain.journal import Journal, Lease, Setback
from svc_core.domain.audit import AuditHead
from svc_core.errors import MalformedMessageError, ProtocolOrderError
from tests.unit.metadata.journals import EPOCH, at, ca, make_issuer, make_journal

ACTIVE, STAGED, PLANNED = IssuerState.ACTIVE, IssuerState.STAGED, IssuerState.PLANNED
DRAINING, DRAINED = IssuerState.DRAINING, IssuerState.DRAINED
TAINTED = IssuerState.TAINTED


def test_the_life_of_two_issuers() -> None:
    journal = Journal().planned(EPOCH, now=at(0))
    assert (journal.version, journal.highest_epoch, journal.trusted) == (0, EPOCH, ())
    assert journal.successor == Issuer(ca(), EPOCH, PLANNED, at(0))

    journal = journal.staged(ca(), pem="p", route_pem="r", not_after=at(90), now=at(1))
    journal = journal.activated(ca(), now=at(2))
    assert (journal.version, journal.successor) == (2, None)

    journal = journal.planned(EPOCH + 1, now=at(20))
    journal = journal.staged(ca(1), pem="p1", route_pem="r1", not_after=at(120), now=at(21))
    journal = journal.moved(ca(1), IssuerState.TRUSTED, now=at(22))
    assert journal.version == 3
    assert journal.issuer(ca(1)).version == 3
    assert [i.name for i in journal.trusted] == [ca(1), ca()]

    journal = journal.activated(ca(1), now=at(30))
    assert journal.active is not None
    assert journal.active.name == ca(1)
    assert journal.issuer(ca()).state is DRAINING
    assert {i.version for i in journal.issuers} == {4}

    journal = journal.with_kicked(ca())
    assert (journal.kicked, journal.version) == ((ca(),), 5)

    journal = journal.moved(ca(), DRAINED, now=at(31)).retired(ca(), now=at(61))
    assert (journal.kicked, journal.version) == ((), 6)
    assert [i.name for i in journal.trusted] == [ca(1)]
    assert journal.removed(ca()).issuers == (journal.active,)


def test_a_second_issuer_of_an_epoch_has_a_name_of_its_own_and_is_the_younger_one() -> None:
    journal = make_journal(make_issuer(ACTIVE))
    journal = replace(journal, attempts=1).planned(EPOCH, now=at(1))
    assert journal.issuers[-1].name == f"ca-{EPOCH}-2"
    journal = journal.staged(f"ca-{EPOCH}-2", pem="p", route_pem="r", not_after=at(99), now=at(2))

    assert [i.name for i in journal.trusted] == [f"ca-{EPOCH}-2", ca()]
    assert journal.planned(EPOCH + 1, now=at(3)).issuers[-1].name == ca(1)
    with pytest.raises(ProtocolOrderError, match="is over"):
        journal.planned(EPOCH - 1, now=at(3))


def test_going_back_is_a_new_version_with_the_content_wanted() -> None:
    journal = make_journal(
        make_issuer(DRAINED, -1, ends=900),
        make_issuer(DRAINING, version=3),
        make_issuer(ACTIVE, 1, version=3),
        kicked=(ca(),),
    )
    target = journal.way_back(at(1), life=timedelta(seconds=30))
    assert target is not None

    back = journal.went_back(target.name, now=at(31), epoch=EPOCH + 1)

    assert (target.name, back.version) == (ca(), journal.version + 1)
    assert [i.state for i in back.issuers] == [DRAINED, ACTIVE, DRAINING]
    assert back.setback == Setback(1, EPOCH + 1, EPOCH + 2, attempt=1)
    assert (back.kicked, back.is_back, journal.is_back) == ((), True, False)
    assert back.completed().setback == Setback()
    with pytest.raises(ProtocolOrderError, match="no issuer to go back to"):
        back.went_back(ca(1), now=at(32), epoch=EPOCH + 1)


def test_a_tainted_issuer_leaves_with_its_users() -> None:
    journal = make_journal(make_issuer(ACTIVE), make_issuer(STAGED, 1)).tainted(ca(), now=at(1))
    assert (journal.issuer(ca()).state, journal.version) == (ACTIVE, 1)

    journal = journal.silenced(ca()).activated(ca(1), now=at(2))
    assert journal.issuer(ca()).state is TAINTED

    journal = journal.withdrawn(ca(), now=at(5))
    assert (journal.kicked, journal.trusted) == ((ca(),), (journal.active,))
    version = journal.version

    journal = journal.removed(ca())
    assert (journal.kicked, journal.version) == ((), version + 1)


@pytest.mark.parametrize("state", [STAGED, IssuerState.TRUSTED, DRAINING, DRAINED])
def test_what_is_tainted_and_not_active_is_so_at_once(state: IssuerState) -> None:
    journal = make_journal(make_issuer(ACTIVE), make_issuer(state, 1)).tainted(ca(1), now=at(1))

    assert journal.issuer(ca(1)).state is TAINTED


def test_what_was_never_made_is_withdrawn_without_a_version() -> None:
    journal = make_journal(make_issuer(ACTIVE), make_issuer(PLANNED, 1)).tainted(ca(1), now=at(1))

    assert journal.issuer(ca(1)).state is IssuerState.WITHDRAWN
    assert (journal.version, journal.kicked) == (1, ())


def test_the_desired_state_carries_the_entry_of_the_change_that_made_its_version() -> None:
    first, second = AuditHead(1, bytes([1]) * 32), AuditHead(2, bytes([2]) * 32)
    before = make_journal(make_issuer(ACTIVE), make_issuer(STAGED, 1))

    activated = before.activated(ca(1), now=at(1)).noted(first, before=before)
    drained = activated.moved(ca(), DRAINED, now=at(2)).noted(second, before=activated)

    assert (activated.audit, activated.stated) == (first, first)
    assert (drained.audit, drained.stated) == (second, first)


def test_issuers_in_a_state_come_oldest_first() -> None:
    journal = make_journal(make_issuer(DRAINED, 2), make_issuer(DRAINED, 1), make_issuer(ACTIVE, 3))

    assert [i.name for i in journal.in_state(DRAINED)] == [ca(1), ca(2)]


def test_another_acl_is_another_version() -> None:
    journal = make_journal(make_issuer(ACTIVE)).with_grants("abc")

    assert (journal.grants_digest, journal.version) == ("abc", 2)


two = make_journal(make_issuer(ACTIVE), make_issuer(PLANNED, 1))


@pytest.mark.parametrize(
    "move",
    [
        pytest.param(lambda j: j.activated(ca(), now=at(1)), id="activate what is active"),
        pytest.param(lambda j: j.activated(ca(1), now=at(1)), id="activate what was never made"),
        pytest.param(lambda j: j.retired(ca(), now=at(1)), id="retire the active issuer"),
        pytest.param(lambda j: j.retired(ca(1), now=at(1)), id="retire what was never trusted"),
        pytest.param(lambda j: j.removed(ca()), id="remove the active issuer"),
        pytest.param(lambda j: j.removed(ca(1)), id="remove one that may yet be made"),
        pytest.param(lambda j: j.withdrawn(ca(), now=at(1)), id="withdraw the active issuer"),
        pytest.param(lambda j: j.moved(ca(1), DRAINED, now=at(1)), id="drain a planned one"),
    ],
)
def test_an_illegal_move_raises_and_changes_nothing(move: Callable[[Journal], Journal]) -> None:
    before = codec.encode(two)

    with pytest.raises(ProtocolOrderError):
        move(two)

    assert codec.encode(two) == before


def test_a_lease_is_no_part_of_what_everybody_should_do() -> None:
    held = two.held_by(Lease("metadata-1", 3, 14))

    assert (held.lease.term, held.version, held.issuers) == (3, two.version, two.issuers)


def test_an_unknown_issuer_is_an_error() -> None:
    with pytest.raises(KeyError, match="ca-0-1"):
        two.issuer("ca-0-1")


# --- codec --------------------------------------------------------------------------------------

instants = st.datetimes(timezones=st.just(UTC))
issuers = st.builds(
    Issuer,
    name=st.text(max_size=20),
    epoch=st.integers(0, 1 << 40),
    state=st.sampled_from(IssuerState),
    since=instants,
    version=st.integers(0, 1 << 40),
    pem=st.text(max_size=20),
    route_pem=st.text(max_size=20),
    not_after=st.none() | instants,
    is_tainted=st.booleans(),
    is_silenced=st.booleans(),
    attempt=st.integers(1, 9),
)
heads = st.builds(AuditHead, st.integers(0, 1 << 40), st.binary(min_size=32, max_size=32))
journals = st.builds(
    Journal,
    version=st.integers(0, 1 << 40),
    highest_epoch=st.integers(-1, 1 << 40),
    issuers=st.lists(issuers, max_size=3).map(tuple),
    kicked=st.lists(st.text(max_size=10), max_size=3).map(tuple),
    grants_digest=st.text(max_size=16),
    attempts=st.integers(0, 9),
    setback=st.builds(Setback, st.integers(0, 9), st.integers(-1, 99), st.integers(-1, 99)),
    last_order=st.text(max_size=9),
    audit=heads,
    stated=heads,
    lease=st.builds(Lease, st.text(max_size=10), st.integers(0, 99), st.integers(0, 99)),
)
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(journals)
def test_what_was_encoded_is_decoded_again(journal: Journal) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(codec.encode(journal)))

    assert codec.decode(stored) == journal


def test_a_journal_of_an_older_version_is_read_as_it_was_meant() -> None:
    document: dict[str, Any] = codec.encode(two)
    for name in ("attempts", "setback", "last_order", "audit", "stated"):
        del document[name]
    for issuer in document["issuers"]:
        for name in ("is_tainted", "is_silenced", "attempt"):
            del issuer[name]

    assert codec.decode(document) == replace(two, attempts=1)


@given(st.data(), journals)
def test_any_document_gives_a_journal_or_one_error(data: st.DataObject, journal: Journal) -> None:
    document: dict[str, Any] = codec.encode(journal)
    spoiled = data.draw(st.sampled_from([document, document["lease"], *document["issuers"]]))
    spoiled[data.draw(st.sampled_from(sorted(spoiled)))] = data.draw(json)

    with suppress(MalformedMessageError):
        codec.decode(document)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"version": float("inf")}, id="a version that is no number"),
        pytest.param({"version": None}, id="no version"),
        pytest.param({"issuers": [{}]}, id="an issuer without a name"),
        pytest.param({"lease": {}}, id="a lease without a holder"),
    ],
)
def test_a_spoiled_journal_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessageError, match="the journal cannot be read"):
        codec.decode(codec.encode(two) | change)


@pytest.mark.parametrize(
    "since",
    [
        pytest.param("2026-01-01T00:00:00", id="without a time zone: whose time would it be"),
        pytest.param("0001-01-01T00:00:00+14:00", id="before the first instant there is"),
        pytest.param("yesterday", id="not a time"),
        pytest.param(5, id="not text"),
    ],
)
def test_an_instant_must_say_exactly_when(since: object) -> None:
    document: dict[str, Any] = codec.encode(two)
    document["issuers"][0]["since"] = since

    with pytest.raises(MalformedMessageError, match="the journal cannot be read"):
        codec.decode(document)


def test_instants_come_back_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    journal = make_journal(replace(make_issuer(STAGED), since=at(0).astimezone(east)))

    assert codec.decode(codec.encode(journal)).issuers[0].since.tzinfo is UTC
