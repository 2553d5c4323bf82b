"""Giving the authority an order: signed with the operator's key, left in OpenBao, watched there.

NATS has no part in it. The operator's key and AppRole credentials are read from the stack's
directory; they never appear in output or on a command line.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.console import Console

from console.operator_report import Report, next_steps, succeeded
from console.operator_session import open_operator_session
from devstack.layout import Layout
from devstack.openbao_api import OpenBaoApi
from svc_core.adapters.system_entropy import system_entropy
from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.operator_command import (
    COMMANDS_PATH,
    OPERATOR_SIGNER,
    RESULTS_PATH,
    CommandResult,
    CommandState,
    OperatorCommand,
)
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError, DependencyError, NotFoundError
from svc_core.wire import documents, operator_command
from svc_core.wire.documents import SignedDocument

_LIVES: Final = timedelta(minutes=1)
_PATIENCE_S: Final = 15.0
"""After which it is said that nobody has taken the order up: a lost lease takes longer to move."""
_DONE_WITHIN_S: Final = 60.0
_LOOK_AGAIN_S: Final = 0.1
_FAILED: Final = 1
_SEED: Final = "identity.seed"


class NoOperatorKeyError(ConfigError):
    """The operator's key is not where it should be."""

    code = "console.no_operator_key"
    advice = "run this where the stack was set up, or name its directory with --var"


class NotTakenUpError(DependencyError):
    """Nobody carries the order out."""

    code = "console.not_taken_up"
    advice = "check that Metadata runs and reaches OpenBao; this order has ended, give it again"


class NotFinishedError(DependencyError):
    """The order was begun and its end has not come."""

    code = "console.not_finished"
    advice = "look at Metadata's log; it carries the order on by itself"


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask for, and of whom."""

    kind: str
    arguments: Mapping[str, str]
    root: Path
    url: str = ""
    """Of OpenBao; empty: the one of the stack in ``root``."""
    as_json: bool = False


async def give_order(order: Order) -> int:
    """Leave ``order``, print what becomes of it, and return the exit code.

    Raises:
        ConfigError: there is no stack, or no operator's key.
        AccessDeniedError: OpenBao refuses the operator.
        NotTakenUpError, NotFinishedError: Metadata did not do it in time.
    """
    layout = Layout.at(order.root)
    command = _command(order)
    document = _signed(command, layout)
    report = Report(Console(file=sys.stderr if order.as_json else sys.stdout), command)
    async with open_operator_session(layout, order.url) as api:
        body = {"data": documents.encode_entry(document), "options": {"cas": 0}}
        await api.write(f"secret/data/{COMMANDS_PATH}/{command.id}", body)
        report.left()
        result = await _watched(api, command, report)
    if order.as_json:
        sys.stdout.write(json.dumps(_as_document(result, command), indent=2) + "\n")
    return 0 if succeeded(result) else _FAILED


def _command(order: Order) -> OperatorCommand:
    now = datetime.now(UTC)
    return OperatorCommand(
        id=f"{now:%Y%m%dT%H%M%S%f}-{system_entropy(4).hex()}",
        kind=order.kind,
        arguments=order.arguments,
        issued_at=now,
        expires_at=now + _LIVES,
    )


def _signed(command: OperatorCommand, layout: Layout) -> SignedDocument:
    try:
        seed = SecretBytes((layout.operator / _SEED).read_bytes())
        signer = Signer.from_seed(Algorithm.ML_DSA_87, seed)
    except (OSError, ValueError) as err:
        raise NoOperatorKeyError(f"no operator's key can be read in {layout.operator}") from err
    body = operator_command.encode(command)
    signature = signer.sign(
        documents.signing_input(OPERATOR_SIGNER, body), context=contexts.OPERATOR_COMMAND
    )
    return SignedDocument(body, OPERATOR_SIGNER, signature)


async def _watched(api: OpenBaoApi, command: OperatorCommand, report: Report) -> CommandResult:
    loop = asyncio.get_running_loop()
    began, is_taken_up = loop.time(), False
    deadline = began + _LIVES.total_seconds()
    while loop.time() < deadline:
        result = await _result(api, command.id)
        if result is not None:
            report.now(result)
            if result.state is not CommandState.BEGUN:
                return result
            deadline = deadline if is_taken_up else loop.time() + _DONE_WITHIN_S
            is_taken_up = True
        elif loop.time() - began > _PATIENCE_S:
            report.waiting(datetime.now(UTC))
        await asyncio.sleep(_LOOK_AGAIN_S)
    if is_taken_up:
        raise NotFinishedError(f"the order {command.id} is not done yet")
    raise NotTakenUpError(f"nobody has taken up the order {command.id}")


async def _result(api: OpenBaoApi, command_id: str) -> CommandResult | None:
    try:
        answer = await api.read(f"secret/data/{RESULTS_PATH}/{command_id}")
    except NotFoundError:
        return None
    return operator_command.decode_result(answer["data"]["data"])


def _as_document(result: CommandResult, command: OperatorCommand) -> dict[str, object]:
    document = operator_command.encode_result(result)
    took = (result.updated_at - command.issued_at).total_seconds()
    return document | {
        "kind": command.kind,
        "arguments": dict(command.arguments),
        "took_s": round(took, 3),
        "next": list(next_steps(result, command)),
    }
