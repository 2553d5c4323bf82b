"""The desired state names an audit entry, or none at all; never half of one."""

import pytest

from svc_core.domain.audit import NO_ENTRY, AuditHead
from svc_core.errors import MalformedMessageError
from svc_core.wire import desired
from tests.builders import make_desired

HEAD = AuditHead(7, bytes(range(32)))


def test_the_entry_travels_with_the_state() -> None:
    state = make_desired(audit=HEAD)

    assert desired.decode(desired.encode(state)) == state


def test_a_state_without_an_entry_is_written_as_before_there_was_a_log() -> None:
    body = desired.encode(make_desired())

    assert b"audit" not in body
    assert desired.decode(body).audit == NO_ENTRY


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b'"audit_number":7,', b"", id="a digest of nothing"),
        pytest.param(b'"audit_number":7,', b'"audit_number":-7,', id="a negative number"),
        pytest.param(HEAD.digest.hex().encode(), b"00", id="half a digest"),
        pytest.param(HEAD.digest.hex().encode(), b"", id="no digest"),
    ],
)
def test_half_an_entry_is_refused(old: bytes, new: bytes) -> None:
    body = desired.encode(make_desired(audit=HEAD))
    assert old in body

    with pytest.raises(MalformedMessageError):
        desired.decode(body.replace(old, new))
