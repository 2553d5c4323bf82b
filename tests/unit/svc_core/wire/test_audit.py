"""Entries of the audit log: one form, and one error for everything else."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.audit import CHECKPOINT, AuditEntry, Checkpoint
from svc_core.errors import MalformedMessageError
from svc_core.wire import audit
from tests.builders import NOW

tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
digests = st.binary(min_size=32, max_size=32)
numbers = st.integers(1, 1 << 40)
plain = st.builds(
    AuditEntry,
    number=numbers,
    at=st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 (given a zone)
    by=tokens,
    kind=tokens.filter(lambda kind: kind != CHECKPOINT),
    subject=st.text(max_size=20),
    facts=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    follows=st.none() | st.just(0),
)


def signed(number: int = 5, **changes: Any) -> AuditEntry:
    values: dict[str, Any] = {"first": 2, "before": bytes(32), "signer": "m", "signature": b"s"}
    made = Checkpoint(**values | changes)
    return AuditEntry(number, NOW, "metadata-1", CHECKPOINT, "", checkpoint=made)


@given(plain)
def test_what_was_encoded_is_decoded_again(entry: AuditEntry) -> None:
    assert audit.decode(audit.encode(entry)) == entry


def test_so_is_a_checkpoint() -> None:
    assert audit.decode(audit.encode(signed())) == signed()


@given(st.binary(max_size=300))
def test_any_bytes_give_an_entry_or_one_error(raw: bytes) -> None:
    with suppress(MalformedMessageError):
        audit.decode(raw)


@given(
    st.dictionaries(st.sampled_from(["entry", "previous", "digest", "x"]), st.text() | st.none())
)
def test_any_mapping_gives_its_parts_or_one_error(data: dict[str, object]) -> None:
    with suppress(MalformedMessageError):
        audit.decode_stored(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b'"audit-entry/1"', b'"audit-entry/2"', id="of another format"),
        pytest.param(b'"number":5', b'"number":0', id="entry 0"),
        pytest.param(b'"first":2', b'"first":0', id="kept from 0 on"),
        pytest.param(b'"first":2', b'"first":6', id="kept from later on than itself"),
        pytest.param(b'"audit.checkpoint"', b'"something"', id="a checkpoint that is none"),
        pytest.param(b'"before":"00', b'"before":"0', id="half a digest"),
        pytest.param(b'"before":"00', b'"before":"0G', id="a digest in no digits"),
        pytest.param(b'"kind"', b'"kinds"', id="of another shape"),
        pytest.param(b'"metadata-1"', b'"meta data"', id="by nobody"),
    ],
)
def test_a_spoiled_entry_is_refused(old: bytes, new: bytes) -> None:
    body = audit.encode(signed())
    assert old in body

    with pytest.raises(MalformedMessageError):
        audit.decode(body.replace(old, new))


def test_a_step_follows_an_earlier_one() -> None:
    body = audit.encode(AuditEntry(3, NOW, "m", "k", "s", follows=2))

    with pytest.raises(MalformedMessageError, match="follows what is later"):
        audit.decode(body.replace(b'"follows":2', b'"follows":3'))


def test_an_entry_has_its_limit() -> None:
    with pytest.raises(ValueError, match="at most"):
        audit.encode(AuditEntry(1, NOW, "m", "k", "x" * audit.LIMIT))
    with pytest.raises(MalformedMessageError, match="too long"):
        audit.decode(b" " * (audit.LIMIT + 1))


def test_a_digest_depends_on_the_entry_and_on_all_before_it() -> None:
    digests = {
        audit.digest_of(body, previous)
        for body in (b"one", b"two")
        for previous in (bytes(32), bytes([1]) * 32)
    }

    assert {len(digest) for digest in digests} == {32}
    assert len(digests) == 4
