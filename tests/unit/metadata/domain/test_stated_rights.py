"""Stored rights come back as they were, and any other bytes are one error."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.metadata.domain import stated_rights
from services.metadata.domain.stated_rights import LIMIT, StatedRights
from svc_core.domain.acl import Acl, ServicePermissions
from svc_core.domain.identity import ServiceName, Subject
from svc_core.errors import MalformedMessageError, OversizedMessageError
from tests.unit.metadata.acls import ACL

_NAMES = [Subject(f"topic.{c}-{n}") for c in "aZ_" for n in range(4)]
_TOPICS = st.integers(0, 2 ** len(_NAMES) - 1).map(
    lambda chosen: frozenset(name for n, name in enumerate(_NAMES) if chosen >> n & 1)
)
_PERMISSIONS = st.builds(ServicePermissions, _TOPICS, _TOPICS)
_SERVICES = st.dictionaries(
    st.sampled_from([ServiceName(name) for name in ("a", "b-1", "gatekeeper", "z9")]), _PERMISSIONS
)
RIGHTS = st.builds(StatedRights, st.builds(Acl, _SERVICES), st.integers(0, 2**63 - 1))
GOOD = stated_rights.encode(StatedRights(ACL, 3))


@given(RIGHTS)
def test_what_is_stored_comes_back(rights: StatedRights) -> None:
    assert stated_rights.decode(stated_rights.encode(rights)) == rights


@given(st.binary())
@example(b"")
@example(b"{}")
@example(b"[" * 100_000)
@example(GOOD[:-1])
@example(GOOD + b" ")
def test_any_bytes_are_rights_or_one_error(raw: bytes) -> None:
    try:
        stated_rights.decode(raw)
    except MalformedMessageError:
        return
    raise AssertionError("no such bytes are made")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"format": "stated-rights/2"}, id="another format"),
        pytest.param({"term": -1}, id="no term"),
        pytest.param({"term": 2**63}, id="a term that is too large"),
        pytest.param({"roles": {"No Service": {"publish": [], "subscribe": []}}}, id="no name"),
        pytest.param({"roles": {"a": {"publish": ["a.*"], "subscribe": []}}}, id="no topic"),
        pytest.param({"roles": {"a": {"publish": ["b", "a"], "subscribe": []}}}, id="no order"),
        pytest.param({"roles": {"a": {"publish": ["a", "a"], "subscribe": []}}}, id="twice"),
        pytest.param({"roles": {"a": {"publish": []}}}, id="one list"),
        pytest.param({"more": 1}, id="more"),
    ],
)
def test_what_was_changed_by_hand_is_refused(change: dict[str, object]) -> None:
    document = msgspec.json.decode(GOOD, type=dict[str, object]) | change

    with pytest.raises(MalformedMessageError):
        stated_rights.decode(msgspec.json.encode(document, order="sorted"))


def test_what_is_too_large_is_not_even_read() -> None:
    with pytest.raises(OversizedMessageError):
        stated_rights.decode(b"{" + b" " * LIMIT)
