"""What an operator reads while an order is carried out, and what there is to do afterwards."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from rich.console import Console

from svc_core.domain.operator_command import (
    REVOKE,
    ROLLBACK,
    ROTATE_CA,
    ROTATE_ROOT,
    TAINT,
    UNREVOKE,
    CommandResult,
    CommandState,
    OperatorCommand,
)

_DOING: Final = "asked for"


class Report:
    """Prints each thing once, when it is first known."""

    def __init__(self, console: Console, command: OperatorCommand) -> None:
        self._console = console
        self._command = command
        self._said: set[str] = set()

    def left(self) -> None:
        """Say that the order is in OpenBao."""
        what = " ".join([self._command.kind, *self._command.arguments.values()])
        self._say(f"{_DOING}: {what} (order {self._command.id})", self._command.issued_at)

    def waiting(self, at: datetime) -> None:
        """Say that nobody has taken the order up, and until when somebody may."""
        until = f"{self._command.expires_at:%H:%M:%S} UTC"
        self._say(f"nobody has taken it up yet; it is good until {until}", at)

    def now(self, result: CommandResult) -> None:
        """Say what is new in ``result``, and at its end what to do next."""
        for line in described(result):
            self._say(line, result.updated_at)
        if result.state is not CommandState.BEGUN:
            for step in next_steps(result, self._command):
                self._say(f"next: {step}", result.updated_at)

    def _say(self, line: str, at: datetime) -> None:
        if line not in self._said:
            self._said.add(line)
            after = max((at - self._command.issued_at).total_seconds(), 0.0)
            self._console.print(
                f"{after:6.2f} s  {line}", highlight=False, markup=False, soft_wrap=True
            )


def described(result: CommandResult) -> Iterator[str]:
    """Yield a line for everything that has happened."""
    outcome = result.outcome
    if result.state is CommandState.REFUSED:
        yield f"refused: {result.reason} [{result.code}]"
    if "bundle_version" in outcome:
        yield f"bundles are of version {outcome['bundle_version']} from now on"
    for topic, ids in outcome.get("topic_keys", {}).items():
        yield f"{topic} is sealed with {', '.join(ids)}"
    if "topics_omitted" in outcome:
        yield f"so are {outcome['topics_omitted']} more topics, with keys of the same epochs"
    if "identities_refused" in outcome:
        yield f"identities that stay refused: {', '.join(outcome['identities_refused']) or 'none'}"
    yield from _ended(outcome)
    yield from _issuers(outcome)
    if "servers_verified" in outcome:
        yield (
            "every NATS server was reloaded and verified"
            if outcome["servers_verified"]
            else "not every NATS server could be verified"
        )
    yield from _adoption(result)


def succeeded(result: CommandResult) -> bool:
    """Say whether the order was carried out and everybody was seen to follow."""
    outcome = result.outcome
    adoption = outcome.get("adoption", {"observed": True, "waiting": []})
    return (
        result.state is CommandState.DONE
        and outcome.get("servers_verified", True)
        and bool(outcome.get("issuer", "?"))
        and adoption["observed"]
        and not adoption["waiting"]
    )


def next_steps(result: CommandResult, command: OperatorCommand) -> Iterator[str]:
    """Yield what a person should do now that ``result`` is final."""
    service = command.arguments.get("service", "")
    if result.state is CommandState.REFUSED:
        yield "mend what the refusal says, then give the order again"
        return
    if command.kind == ROTATE_CA and not succeeded(result):
        yield "see who is waited for: `securetransport plan`; to call it off: `rollback`"
        return
    if command.kind in {TAINT, ROLLBACK, ROTATE_CA, ROTATE_ROOT}:
        yield "watch it happen: `securetransport audit show` has every step, `status` the issuers"
        return
    yield from _unverified(result)
    if command.kind == REVOKE:
        yield f"stop the processes of {service}; what they try is refused, but it fills logs"
        yield f"to let it back in: `securetransport unrevoke {service}`"
    elif command.kind == UNREVOKE:
        yield f"know that a certificate {service} had before connects again until it ends"
        yield f"remove the state directory of {service}, so that it makes itself a new identity"
        yield f"give it a new secret-id (`up` or `provision openbao` do), then start {service}"
    elif succeeded(result):
        yield "nothing"


def _unverified(result: CommandResult) -> Iterator[str]:
    if not result.outcome.get("servers_verified", True):
        yield "look at Watcher's status and log: a server that was not reloaded still has the user"
    adoption = result.outcome.get("adoption", {"observed": True, "waiting": []})
    if not adoption["observed"]:
        yield "NATS could not be asked who has followed; see `securetransport status` later"
    elif adoption["waiting"]:
        yield f"see why these still use the former keys: {', '.join(adoption['waiting'])}"


def _issuers(outcome: Mapping[str, Any]) -> Iterator[str]:
    if "after" in outcome:
        if outcome["after"]:
            yield f"the issuer after {outcome['after']} does not wait for the boundary"
        if outcome.get("issuer"):
            yield f"{outcome['issuer']} signs from now on"
        if outcome.get("held"):
            yield f"it waits: {outcome['held']}"
    elif outcome.get("issuer"):
        yield f"{outcome['issuer']} is distrusted: it signs nothing from now on"
    if outcome.get("former_root"):
        yield f"another root is made; {outcome['former_root']} goes once no issuer is of it"
    if outcome.get("from"):
        yield f"{outcome['from']} is left for the issuer before it"


def _ended(outcome: Mapping[str, Any]) -> Iterator[str]:
    if "bundles_removed" in outcome:
        yield f"bundles that lay in OpenBao for it are removed: {outcome['bundles_removed']}"
    if "secret_ids_destroyed" in outcome:
        yield (
            f"its way into OpenBao is ended: {outcome['secret_ids_destroyed']} secret-ids, "
            f"{outcome['tokens_revoked']} tokens"
        )


def _adoption(result: CommandResult) -> Iterator[str]:
    adoption = result.outcome.get("adoption")
    if adoption is None:
        return
    for instance, at in adoption["adopted"].items():
        yield f"{instance} uses the new bundle, as it said at {at}"
    for instance in adoption["waiting"]:
        yield f"{instance} does not use the new bundle yet"
