"""What an operator reads: each thing once, and at the end what there is to do."""

import io
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from console.operator_report import Report, described, next_steps, succeeded
from svc_core.domain.operator_command import (
    REVOKE,
    ROLLBACK,
    ROTATE_CA,
    ROTATE_KEYS,
    ROTATE_ROOT,
    TAINT,
    UNREVOKE,
    CommandResult,
    CommandState,
    OperatorCommand,
)
from tests.builders import NOW

SEEN: dict[str, Any] = {"observed": True, "adopted": {"authcontroller/a1": "now"}, "waiting": []}
REVOKED: dict[str, Any] = {
    "bundle_version": 9,
    "topic_keys": {"auth.auth-request": ["auth.auth-request-epoch-1.1"]},
    "identities_refused": ["gatekeeper/g1"],
    "bundles_removed": 1,
    "secret_ids_destroyed": 2,
    "tokens_revoked": 1,
    "servers_verified": True,
    "adoption": SEEN,
}


def command(kind: str = REVOKE) -> OperatorCommand:
    arguments = {} if kind == ROTATE_KEYS else {"service": "gatekeeper"}
    return OperatorCommand("c-1", kind, arguments, NOW, NOW + timedelta(minutes=1))


def result(state: CommandState = CommandState.DONE, **changes: Any) -> CommandResult:
    at = NOW + timedelta(seconds=2)
    return CommandResult("c-1", state, "metadata-1", at, outcome=REVOKED | changes)


def refused() -> CommandResult:
    return CommandResult(
        "c-1", CommandState.REFUSED, "metadata-1", NOW, "command.refused", "it must stay"
    )


def test_that_nobody_has_taken_it_up_is_said_once() -> None:
    printed = io.StringIO()
    report = Report(Console(file=printed, width=200), command())

    for seconds in (16, 17):
        report.waiting(NOW + timedelta(seconds=seconds))

    assert printed.getvalue().count("nobody has taken it up yet") == 1
    assert f"{NOW + timedelta(minutes=1):%H:%M:%S} UTC" in printed.getvalue()


def test_topics_that_are_not_named_are_counted() -> None:
    lines = list(described(result(topics_omitted=52)))

    assert "so are 52 more topics, with keys of the same epochs" in lines
    assert not any("more topics" in line for line in described(result()))


def test_every_step_is_said_once_with_its_time() -> None:
    text = io.StringIO()
    report = Report(Console(file=text, width=200), command())

    report.left()
    begun = CommandResult("c-1", CommandState.BEGUN, "m", NOW, outcome={"bundle_version": 9})
    report.now(begun)
    report.now(begun)
    report.now(result())

    lines = text.getvalue().splitlines()
    assert lines[0] == "  0.00 s  asked for: revoke gatekeeper (order c-1)"
    assert len(lines) == len(set(lines))
    assert "  0.00 s  bundles are of version 9 from now on" in lines
    assert "  2.00 s  bundles that lay in OpenBao for it are removed: 1" in lines
    assert "  2.00 s  its way into OpenBao is ended: 2 secret-ids, 1 tokens" in lines
    assert "  2.00 s  every NATS server was reloaded and verified" in lines
    assert lines[-1].startswith("  2.00 s  next: ")


def test_a_refusal_is_said_with_its_code() -> None:
    text = io.StringIO()

    Report(Console(file=text, width=200), command()).now(refused())

    assert "refused: it must stay [command.refused]" in text.getvalue()
    assert not succeeded(refused())


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"servers_verified": False}, "Watcher"),
        ({"adoption": {**SEEN, "waiting": ["authcontroller/a1"]}}, "authcontroller/a1"),
        ({"adoption": {**SEEN, "observed": False}}, "securetransport status"),
    ],
)
def test_what_was_not_verified_is_no_success_and_says_where_to_look(
    changes: dict[str, Any], hint: str
) -> None:
    half = result(**changes)

    assert not succeeded(half)
    assert hint in next(iter(next_steps(half, command())))


def test_what_is_not_over_is_no_success() -> None:
    assert succeeded(result())
    assert not succeeded(result(CommandState.BEGUN))


def test_each_kind_ends_with_what_is_next() -> None:
    assert "unrevoke gatekeeper" in " ".join(next_steps(result(), command(REVOKE)))
    assert "state directory of gatekeeper" in " ".join(next_steps(result(), command(UNREVOKE)))
    assert list(next_steps(result(), command(ROTATE_KEYS))) == ["nothing"]


@pytest.mark.parametrize(
    ("kind", "outcome", "line"),
    [
        (TAINT, {"issuer": "ca-7-1"}, "ca-7-1 is distrusted"),
        (ROLLBACK, {"from": "ca-8-1"}, "ca-8-1 is left"),
        (ROTATE_ROOT, {"former_root": "root"}, "another root is made; root goes"),
    ],
)
def test_an_order_about_issuers_says_what_follows(
    kind: str, outcome: dict[str, Any], line: str
) -> None:
    text = io.StringIO()
    ordered = OperatorCommand("c-1", kind, {}, NOW, NOW + timedelta(minutes=1))
    at = NOW + timedelta(seconds=2)

    Report(Console(file=text), ordered).now(
        CommandResult("c-1", CommandState.DONE, "metadata-1", at, outcome=outcome)
    )

    assert line in text.getvalue()
    assert "audit show" in text.getvalue()


def test_a_rotation_that_somebody_holds_up_is_no_success_and_says_what_to_do() -> None:
    order = OperatorCommand("c-1", ROTATE_CA, {}, NOW, NOW + timedelta(minutes=1))
    done = CommandResult("c-1", CommandState.DONE, "m", NOW, outcome={"after": "a", "issuer": "b"})
    held = CommandResult(
        "c-1",
        CommandState.DONE,
        "m",
        NOW,
        outcome={"after": "a", "issuer": "", "held": "b is not trusted yet by: g1"},
    )

    assert (succeeded(done), succeeded(held)) == (True, False)
    assert list(described(done)) == [
        "the issuer after a does not wait for the boundary",
        "b signs from now on",
    ]
    assert list(described(held))[1:] == ["it waits: b is not trusted yet by: g1"]
    assert "securetransport plan" in next(next_steps(held, order))
    assert "audit show" in next(next_steps(done, order))
