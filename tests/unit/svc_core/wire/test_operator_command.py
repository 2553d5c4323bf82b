"""Commands, results and notices: what was written is read again, and anything else is one error."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.identity import GATEKEEPER
from svc_core.domain.operator_command import (
    REVOKE,
    CommandResult,
    CommandState,
    OperatorCommand,
)
from svc_core.errors import MalformedMessageError
from svc_core.wire import bundle_notice, operator_command
from svc_core.wire.bundle_notice import BundleNotice
from tests.builders import NOW

COMMAND = OperatorCommand(
    "20260101T000000-ab", REVOKE, {"service": "gatekeeper"}, NOW, NOW + timedelta(minutes=1)
)
RESULT = CommandResult(
    "c", CommandState.REFUSED, "metadata-1", NOW, "command.expired", "late", {"n": [1]}
)
NOTICE = BundleNotice(GATEKEEPER, 7, NOW)


def test_what_was_encoded_is_decoded_again() -> None:
    assert operator_command.decode(operator_command.encode(COMMAND)) == COMMAND
    assert operator_command.decode_result(operator_command.encode_result(RESULT)) == RESULT
    assert bundle_notice.decode(bundle_notice.encode(NOTICE)) == NOTICE


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"format": "operator-command/2"}, id="another format"),
        pytest.param({"id": "a/b"}, id="an id that is a path"),
        pytest.param({"id": ""}, id="no id"),
        pytest.param({"kind": "two words"}, id="a kind of two words"),
        pytest.param({"arguments": {"service": ""}}, id="an empty argument"),
        pytest.param({"arguments": {str(n): "x" for n in range(17)}}, id="too many arguments"),
        pytest.param({"issued_at": "2026-01-01"}, id="a date for an instant"),
        pytest.param({"more": 1}, id="a field too many"),
    ],
)
def test_a_spoiled_command_is_refused(change: dict[str, Any]) -> None:
    document = msgspec.json.decode(operator_command.encode(COMMAND), type=dict) | change

    with pytest.raises(MalformedMessageError):
        operator_command.decode(msgspec.json.encode(document, order="sorted"))


@pytest.mark.parametrize(
    "change", [{"format": "bundle-notice/2"}, {"version": -1}, {"service": "Not One"}]
)
def test_a_spoiled_notice_is_refused(change: dict[str, Any]) -> None:
    document = msgspec.json.decode(bundle_notice.encode(NOTICE), type=dict) | change

    with pytest.raises(MalformedMessageError):
        bundle_notice.decode(msgspec.json.encode(document, order="sorted"))


@pytest.mark.parametrize("change", [{"state": "lost"}, {"outcome": []}, {"more": 1}, {"by": None}])
def test_a_spoiled_result_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessageError):
        operator_command.decode_result(operator_command.encode_result(RESULT) | change)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_one_error(raw: bytes) -> None:
    for decode in (operator_command.decode, bundle_notice.decode):
        with suppress(MalformedMessageError):
            decode(raw)


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8)))
def test_any_entry_gives_a_result_or_one_error(entry: dict[str, Any]) -> None:
    with suppress(MalformedMessageError):
        operator_command.decode_result(entry)
