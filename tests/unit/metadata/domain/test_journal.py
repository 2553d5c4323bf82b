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

from services.metadata.domain import journal as codec
from services.metadata.domain.issuers import Issuer, IssuerState
from services.metadata.domain.journal import Journal, Lease
from svc_core.errors import MalformedMessageError, ProtocolOrderError
from tests.unit.metadata.journals import EPOCH, at, ca, make_issuer, make_journal

ACTIVE, STAGED, PLANNED = IssuerState.ACTIVE, IssuerState.STAGED, IssuerState.PLANNED
DRAINING, DRAINED = IssuerState.DRAINING, IssuerState.DRAINED


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
)
journals = st.builds(
    Journal,
    version=st.integers(0, 1 << 40),
    highest_epoch=st.integers(-1, 1 << 40),
    issuers=st.lists(issuers, max_size=3).map(tuple),
    kicked=st.lists(st.text(max_size=10), max_size=3).map(tuple),
    grants_digest=st.text(max_size=16),
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
