"""`OperatorCommand` as canonical JSON, the body of a document the operator signs; and its result.

The result is a plain mapping beside the authority's other documents: who may write there could
do what a command asks for anyway.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from svc_core.domain.operator_command import CommandResult, CommandState, OperatorCommand
from svc_core.errors import MalformedMessageError
from svc_core.wire.documents import decode_json, encode_json
from svc_core.wire.fields import read_instant, read_token, require, write_instant

FORMAT: Final = "operator-command/1"
_MOST_ARGUMENTS: Final = 16


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    id: str
    kind: str
    arguments: dict[str, str]
    issued_at: str
    expires_at: str


class _Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    state: str
    by: str
    updated_at: str
    code: str
    reason: str
    outcome: dict[str, Any]


def encode(command: OperatorCommand) -> bytes:
    """Return ``command`` as canonical JSON, the body of a signed document."""
    return encode_json(
        _Command(
            format=FORMAT,
            id=command.id,
            kind=command.kind,
            arguments=dict(command.arguments),
            issued_at=write_instant(command.issued_at),
            expires_at=write_instant(command.expires_at),
        )
    )


def decode(body: bytes) -> OperatorCommand:
    """Return the command in ``body``, whose signature has been checked before.

    Raises:
        MalformedMessageError: no command, or a field out of its form.
    """
    document = decode_json(body, _Command)
    require(document.format == FORMAT, "unknown format of a command")
    require("/" not in document.id, "the id of a command has a slash")
    require(len(document.arguments) <= _MOST_ARGUMENTS, "a command has too many arguments")
    return OperatorCommand(
        id=read_token(document.id, "command id"),
        kind=read_token(document.kind, "command kind"),
        arguments={
            read_token(name, "argument"): read_token(value, "argument")
            for name, value in document.arguments.items()
        },
        issued_at=read_instant(document.issued_at),
        expires_at=read_instant(document.expires_at),
    )


def encode_result(result: CommandResult) -> dict[str, object]:
    """Return ``result`` as the mapping that the secret store holds."""
    return {
        "id": result.id,
        "state": result.state.value,
        "by": result.by,
        "updated_at": write_instant(result.updated_at),
        "code": result.code,
        "reason": result.reason,
        "outcome": dict(result.outcome),
    }


def decode_result(entry: Mapping[str, object]) -> CommandResult:
    """Return the result in ``entry``, or raise `MalformedMessageError`."""
    try:
        found = msgspec.convert(dict(entry), _Result)
        state = CommandState(found.state)
    except (msgspec.ValidationError, ValueError) as err:
        raise MalformedMessageError("not the result of a command") from err
    return CommandResult(
        id=found.id,
        state=state,
        by=found.by,
        updated_at=read_instant(found.updated_at),
        code=found.code,
        reason=found.reason,
        outcome=found.outcome,
    )
