"""What an operator may ask of the authority, and what became of it.

A command is a signed document in OpenBao, so it works while NATS does not. It says its own id,
which is also its name there: the same command under another name is a replay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from svc_core.errors import RejectedError

ROTATE_KEYS: Final = "rotate-keys"
ROTATE_ROOT: Final = "rotate-root"
ROTATE_CA: Final = "rotate-ca"
REVOKE: Final = "revoke"
UNREVOKE: Final = "unrevoke"
TAINT: Final = "taint"
ROLLBACK: Final = "rollback"
COMMANDS_PATH: Final = "commands"
"""Where the operator leaves commands; it may create there and nothing else."""
RESULTS_PATH: Final = "transport/commands"
"""Where the authority writes what became of them, which the operator may read."""
LONGEST_LIFE: Final = timedelta(hours=1)
OPERATOR_SIGNER: Final = "operator"
"""Signer id of commands; the key is the one that signs the list of Metadata's identities."""


class CommandUnsignedError(RejectedError):
    """A command that the operator's key did not sign."""

    code = "command.unsigned"
    advice = "commands are left by `securetransport`, with the operator's key at hand"


class CommandReplayedError(RejectedError):
    """A command under another name than its own: a copy."""

    code = "command.replayed"


class CommandExpiredError(RejectedError):
    """A command that nobody could carry out in time."""

    code = "command.expired"
    advice = "give it again; check that Metadata runs and that the clocks agree"


class CommandFutureError(RejectedError):
    """A command from later than the tolerated clock skew allows."""

    code = "command.from_the_future"
    advice = "compare the clocks of the operator's machine and of Metadata's"


class CommandUnknownError(RejectedError):
    """A command of a kind, or about a service, that the authority does not know."""

    code = "command.unknown"


class CommandRefusedError(RejectedError):
    """A command that must not be carried out."""

    code = "command.refused"


@dataclass(frozen=True, slots=True)
class OperatorCommand:
    """One order; nothing in it is secret."""

    id: str
    """1 to 200 printable characters without a slash; sorts by the time it was given."""
    kind: str
    arguments: Mapping[str, str]
    issued_at: datetime
    expires_at: datetime
    """Not begun any more from then on; at most an hour after it was given."""


class CommandState(StrEnum):
    """How far a command is."""

    BEGUN = "begun"
    """May be found again after a crash; beginning it once more does no harm."""
    DONE = "done"
    REFUSED = "refused"
    """Nothing was done; the code says why."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What became of one command so far."""

    id: str
    state: CommandState
    by: str
    """Instance of the authority that carries it out."""
    updated_at: datetime
    code: str = ""
    """Stable code of a refusal."""
    reason: str = ""
    outcome: Mapping[str, Any] = field(default_factory=dict)
    """JSON-shaped: what has happened so far, by the names the kind of command defines."""


def check_command(command: OperatorCommand, *, name: str, now: datetime, skew: timedelta) -> None:
    """Refuse a command, whose signature holds, that must not be begun.

    Args:
        command: what was signed.
        name: under which it was found.
        now: aware, UTC.
        skew: tolerated difference of the two clocks.

    Raises:
        CommandReplayedError: it was found under another name than its own.
        CommandExpiredError: its time is over, or it gave itself more than an hour.
        CommandFutureError: it is from later than the skew explains.
    """
    if command.id != name:
        raise CommandReplayedError(f"command {command.id} was found again as {name}")
    if now >= command.expires_at:
        raise CommandExpiredError(f"command {command.id} ended at {command.expires_at.isoformat()}")
    if command.expires_at - command.issued_at > LONGEST_LIFE:
        raise CommandExpiredError(f"command {command.id} gives itself more than an hour")
    if command.issued_at - now > skew:
        raise CommandFutureError(f"command {command.id} is of {command.issued_at.isoformat()}")
