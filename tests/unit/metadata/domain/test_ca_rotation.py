"""The plan: one step at a time, and a reason wherever it has to wait."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.metadata.domain.ca_rotation import next_deadline, plan
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.rotation_steps import (
    Activate,
    Hold,
    Kick,
    MarkDrained,
    MarkTrusted,
    Mint,
    Plan,
    Remove,
    Retire,
    Step,
    Withdraw,
)
from svc_core.domain.status import ServerStatus
from tests.builders import DEMO
from tests.unit.metadata.journals import (
    EPOCH,
    LIFE_S,
    at,
    ca,
    make_fleet,
    make_instance,
    make_issuer,
    make_journal,
    make_watcher,
)

PLANNED, STAGED, TRUSTED = IssuerState.PLANNED, IssuerState.STAGED, IssuerState.TRUSTED
ACTIVE, DRAINING, DRAINED = IssuerState.ACTIVE, IssuerState.DRAINING, IssuerState.DRAINED
RETIRED = IssuerState.RETIRED
PERIOD_S = DEMO.ca.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.ca.lead.total_seconds()
"""When the lead of the next boundary begins."""
ACTIVE_ENDS_S = LIFE_S - DEMO.ca.lead.total_seconds()
SKEW_S = DEMO.skew.total_seconds()
BUDGET_S = DEMO.drain_budget.total_seconds()
NOBODY = Fleet(())
QUIET = make_fleet(9)
"""Everybody at version 9 with leaves of the issuer of the epoch that began at time 0."""
MOVED = make_fleet(9, ca(1))
"""The same on the issuer after it."""

active = make_issuer(ACTIVE)
successor = make_issuer(STAGED, 1, since=LEAD_S, version=2)
draining = make_issuer(DRAINING, since=PERIOD_S, version=3)
activated = make_issuer(ACTIVE, 1, since=PERIOD_S, version=3)
drained = make_issuer(DRAINED, since=PERIOD_S + 1, version=3)
retired = make_issuer(RETIRED, since=2 * PERIOD_S + 1, version=9)


def with_server(status: ServerStatus) -> Fleet:
    """Return a fleet at version 2 in which one server is as ``status`` says."""
    servers = (ServerStatus("n1", 2, ca()), ServerStatus("n2", 2, ca()), status)
    return Fleet([make_instance(2), make_watcher(2, servers=servers)])


@pytest.mark.parametrize(
    ("journal", "fleet", "seconds", "step"),
    [
        # --- with nothing alive there is nobody to ask ---
        pytest.param(Journal(), NOBODY, 0, Plan(EPOCH), id="first boot: plan this epoch's issuer"),
        pytest.param(
            make_journal(make_issuer(PLANNED)), NOBODY, 0, Mint(ca()), id="first boot: make it"
        ),
        pytest.param(
            make_journal(make_issuer(STAGED)),
            NOBODY,
            0,
            Activate(ca(), proven=False),
            id="first boot: let it sign without asking",
        ),
        pytest.param(
            make_journal(active),
            QUIET,
            ACTIVE_ENDS_S - SKEW_S,
            Plan(EPOCH + 3),
            id="the active issuer is within a skew of its end: start over",
        ),
        pytest.param(
            make_journal(active),
            NOBODY,
            50 * PERIOD_S,
            Plan(EPOCH + 50),
            id="fifty missed epochs: only the present one is planned",
        ),
        pytest.param(
            make_journal(active, successor),
            make_fleet(1),
            ACTIVE_ENDS_S,
            Activate(ca(1), proven=False),
            id="the active issuer expired while someone was silent: the successor takes over",
        ),
        pytest.param(
            make_journal(active, successor),
            NOBODY,
            9 * PERIOD_S,
            Withdraw(ca(1)),
            id="both expired: the successor goes first",
        ),
        pytest.param(
            replace(make_journal(active), highest_epoch=EPOCH + 9),
            NOBODY,
            4 * PERIOD_S,
            Plan(EPOCH + 9),
            id="a clock that was ahead: never below the highest epoch",
        ),
        pytest.param(
            make_journal(make_issuer(PLANNED)),
            NOBODY,
            PERIOD_S,
            Withdraw(ca()),
            id="an issuer that could not be made for a period is given up, also at first boot",
        ),
        pytest.param(
            make_journal(make_issuer(ACTIVE, 4), *(make_issuer(DRAINING, n) for n in range(4))),
            NOBODY,
            9 * PERIOD_S,
            Retire(ca()),
            id="starting over with a full trusted set: the oldest makes room first",
        ),
        # --- an orderly succession ---
        pytest.param(make_journal(active), QUIET, LEAD_S - 0.001, None, id="quiet before the lead"),
        pytest.param(
            make_journal(active), QUIET, LEAD_S, Plan(EPOCH + 1), id="the lead begins: plan"
        ),
        pytest.param(
            make_journal(active),
            NOBODY,
            LEAD_S,
            Plan(EPOCH + 1),
            id="a successor is planned without asking anyone",
        ),
        pytest.param(
            make_journal(active, make_issuer(PLANNED, 1, since=LEAD_S)),
            QUIET,
            LEAD_S,
            Mint(ca(1)),
            id="a planned successor is made",
        ),
        pytest.param(
            make_journal(active, make_issuer(PLANNED, 1, since=LEAD_S)),
            QUIET,
            LEAD_S + PERIOD_S,
            Withdraw(ca(1)),
            id="a successor that could not be made for a period is given up",
        ),
        pytest.param(
            replace(make_journal(active), highest_epoch=EPOCH + 1),
            QUIET,
            PERIOD_S + LEAD_S - 1,
            None,
            id="after giving up: the next attempt waits for the next lead",
        ),
        pytest.param(
            make_journal(active, successor),
            make_fleet(2),
            LEAD_S + 1,
            MarkTrusted(ca(1)),
            id="everybody trusts the successor: note it",
        ),
        pytest.param(
            make_journal(active, replace(successor, state=TRUSTED)),
            make_fleet(2),
            PERIOD_S - 0.001,
            None,
            id="a trusted successor waits for the boundary",
        ),
        pytest.param(
            make_journal(active, replace(successor, state=TRUSTED)),
            make_fleet(2),
            PERIOD_S,
            Activate(ca(1), proven=True),
            id="the boundary: activate, with proof",
        ),
        pytest.param(
            make_journal(
                make_issuer(ACTIVE, ends=900), make_issuer(TRUSTED, 1, version=2, ends=100)
            ),
            make_fleet(2),
            100,
            Withdraw(ca(1)),
            id="a successor that expired before its turn is dropped",
        ),
        pytest.param(
            make_journal(active, make_issuer(STAGED, 2, since=LEAD_S, version=2)),
            make_fleet(2),
            PERIOD_S,
            MarkTrusted(ca(2)),
            id="a missed boundary: the newer successor is marked trusted",
        ),
        # --- drain, retire, remove ---
        pytest.param(
            make_journal(draining, activated),
            MOVED,
            PERIOD_S + 1,
            MarkDrained(ca()),
            id="everybody moved: drained",
        ),
        pytest.param(
            make_journal(draining, activated),
            QUIET,
            PERIOD_S + BUDGET_S,
            Kick(ca()),
            id="someone stayed for the whole budget: kick",
        ),
        pytest.param(
            make_journal(replace(draining, not_after=at(PERIOD_S + 2)), activated),
            QUIET,
            PERIOD_S + 2,
            Retire(ca()),
            id="a draining issuer expired: out of the trusted set, whoever uses it",
        ),
        pytest.param(
            make_journal(
                draining,
                make_issuer(DRAINING, 1, since=PERIOD_S, version=3),
                make_issuer(ACTIVE, 2, since=PERIOD_S + 1, version=4),
            ),
            Fleet([make_instance(9, ca()), make_watcher(9, ca(2))]),
            PERIOD_S + 2,
            MarkDrained(ca(1)),
            id="an older issuer that is still used does not keep a newer one from being drained",
        ),
        pytest.param(
            make_journal(
                draining,
                make_issuer(DRAINING, 1, since=PERIOD_S, version=3),
                make_issuer(ACTIVE, 2, since=PERIOD_S + 1, version=4),
                kicked=(ca(),),
            ),
            Fleet([make_instance(9, ca()), make_watcher(9, ca(1))]),
            PERIOD_S + BUDGET_S,
            Kick(ca(1)),
            id="an older issuer that was kicked does not keep a newer one from being kicked",
        ),
        pytest.param(
            make_journal(drained, activated),
            MOVED,
            2 * PERIOD_S + 0.999,
            Plan(EPOCH + 2),
            id="the succession goes before the retirement",
        ),
        pytest.param(
            make_journal(drained, replace(activated, epoch=EPOCH + 2)),
            MOVED,
            2 * PERIOD_S + 1,
            Retire(ca()),
            id="drained for a period: out of the trusted set",
        ),
        pytest.param(
            make_journal(drained, replace(activated, epoch=EPOCH + 2)),
            QUIET,
            2 * PERIOD_S + BUDGET_S + 1,
            Kick(ca()),
            id="someone came back with a leaf of a drained issuer and does not move: kick",
        ),
        pytest.param(
            make_journal(replace(drained, not_after=at(PERIOD_S + 2)), activated),
            QUIET,
            PERIOD_S + 2,
            Retire(ca()),
            id="a drained issuer expired: out of the trusted set at once",
        ),
        pytest.param(
            make_journal(retired, replace(activated, epoch=EPOCH + 3)),
            MOVED,
            2 * PERIOD_S + 2,
            Remove(ca()),
            id="every server stopped trusting it: delete it",
        ),
        pytest.param(
            make_journal(retired, replace(activated, epoch=EPOCH + 3)),
            NOBODY,
            3 * PERIOD_S + 1,
            Remove(ca()),
            id="retired for a period: delete it, whoever is away",
        ),
        pytest.param(
            make_journal(retired, replace(activated, epoch=EPOCH + 3)),
            NOBODY,
            2 * PERIOD_S + BUDGET_S + 1,
            None,
            id="a retired issuer waits for the servers, quietly",
        ),
        pytest.param(
            make_journal(
                *(make_issuer(DRAINED, n, since=0, ends=900) for n in range(4)),
                make_issuer(ACTIVE, 4, version=5, ends=990),
            ),
            make_fleet(9, ca(4)),
            4 * PERIOD_S + LEAD_S,
            Retire(ca()),
            id="the trusted set is full: the oldest drained one makes room",
        ),
    ],
)
def test_the_next_step(journal: Journal, fleet: Fleet, seconds: float, step: Step | None) -> None:
    assert plan(journal, fleet, at(seconds), DEMO) == step


full = make_journal(
    *(make_issuer(DRAINING, n, version=5, ends=900) for n in range(4)),
    make_issuer(ACTIVE, 4, version=5, ends=990),
    kicked=tuple(ca(n) for n in range(4)),
)


@pytest.mark.parametrize(
    ("journal", "fleet", "seconds", "reason"),
    [
        pytest.param(
            make_journal(active, successor),
            Fleet([make_instance(1), make_watcher(2)]),
            LEAD_S + 1,
            f"{ca(1)} is not trusted yet by: gatekeeper/g1",
            id="one instance lags behind",
        ),
        pytest.param(
            make_journal(active, replace(successor, state=TRUSTED)),
            Fleet([make_instance(2), make_instance(1, name="g2"), make_watcher(2)]),
            PERIOD_S,
            f"{ca(1)} is not trusted yet by: gatekeeper/g2",
            id="someone joined after it was trusted: recounted at the boundary",
        ),
        pytest.param(
            make_journal(active, successor),
            Fleet([make_instance(2)]),
            LEAD_S + 1,
            f"{ca(1)} is not trusted yet by: no live watcher",
            id="nobody answers for the servers",
        ),
        pytest.param(
            make_journal(active, successor),
            NOBODY,
            LEAD_S + 1,
            f"{ca(1)} is not trusted yet by: no live watcher",
            id="NATS is away",
        ),
        pytest.param(
            make_journal(active, successor),
            Fleet([make_instance(2), make_watcher(2, servers=())]),
            LEAD_S + 1,
            f"{ca(1)} is not trusted yet by: no server verified",
            id="Watcher has verified no server",
        ),
        pytest.param(
            make_journal(active, successor),
            with_server(ServerStatus("n3", 1, ca())),
            LEAD_S + 1,
            f"{ca(1)} is not trusted yet by: server n3: at version 1",
            id="one server lags behind",
        ),
        pytest.param(
            make_journal(active, successor),
            with_server(ServerStatus("n3", 2, ca(), "reload refused: no")),
            LEAD_S + 1,
            f"{ca(1)} is not trusted yet by: server n3: reload refused: no",
            id="one server failed, whatever version it had",
        ),
        pytest.param(
            make_journal(draining, activated),
            Fleet([make_instance(9, ca()), make_watcher(9, ca(1), connections={ca(): 2})]),
            PERIOD_S + 1,
            f"{ca()} is still used by: gatekeeper/g1, 2 connections",
            id="draining: an instance and two connections have not moved",
        ),
        pytest.param(
            make_journal(draining, activated),
            Fleet([make_watcher(9, ca(1), servers=(ServerStatus("n1", 9, ca()),))]),
            PERIOD_S + 1,
            f"{ca()} is still used by: server n1",
            id="draining: a server still serves its certificate",
        ),
        pytest.param(
            make_journal(draining, activated),
            make_fleet(2, ca(1)),
            PERIOD_S + 1,
            f"{ca()} is still used by: gatekeeper/g1, watcher/w1, server n1: at version 2, "
            "server n2: at version 2, server n3: at version 2",
            id="draining: who has not heard of the activation may still use it",
        ),
        pytest.param(
            make_journal(draining, activated, kicked=(ca(),)),
            QUIET,
            PERIOD_S + BUDGET_S + 1,
            f"{ca()} is still used by: gatekeeper/g1, watcher/w1, 4 connections, "
            "server n1, server n2, server n3",
            id="kicked once is enough: now wait",
        ),
        pytest.param(
            make_journal(drained, replace(activated, epoch=EPOCH + 2)),
            QUIET,
            2 * PERIOD_S + 1,
            f"{ca()} may be in use again: gatekeeper/g1, watcher/w1, 4 connections, "
            "server n1, server n2, server n3",
            id="someone came back with a leaf of a drained issuer: it stays trusted",
        ),
        pytest.param(
            make_journal(drained, replace(activated, epoch=EPOCH + 2), kicked=(ca(),)),
            QUIET,
            2 * PERIOD_S + BUDGET_S + 1,
            f"{ca()} may be in use again: gatekeeper/g1, watcher/w1, 4 connections, "
            "server n1, server n2, server n3",
            id="who came back was kicked: now wait",
        ),
        pytest.param(
            make_journal(drained, replace(activated, epoch=EPOCH + 2)),
            NOBODY,
            2 * PERIOD_S + BUDGET_S + 1,
            f"{ca()} may be in use again: no live watcher",
            id="silence for long is no reason to kick anybody",
        ),
        pytest.param(
            make_journal(drained, replace(activated, epoch=EPOCH + 2)),
            NOBODY,
            2 * PERIOD_S + 1,
            f"{ca()} may be in use again: no live watcher",
            id="NATS is away: nobody can say that a drained issuer is still unused",
        ),
        pytest.param(
            full,
            Fleet([make_watcher(9, ca(4), connections={ca(n): 1 for n in range(4)})]),
            4 * PERIOD_S + LEAD_S,
            "the trusted set is full",
            id="the trusted set is full of issuers in use",
        ),
        pytest.param(
            make_journal(
                *(make_issuer(DRAINED, n, version=5, ends=900) for n in range(4)),
                make_issuer(ACTIVE, 4, version=5, ends=990),
            ),
            NOBODY,
            4 * PERIOD_S + LEAD_S,
            "the trusted set is full",
            id="the trusted set is full and nobody can say what is unused",
        ),
    ],
)
def test_what_has_to_wait_says_for_whom(
    journal: Journal, fleet: Fleet, seconds: float, reason: str
) -> None:
    assert plan(journal, fleet, at(seconds), DEMO) == Hold(reason)


def test_a_held_succession_does_not_keep_the_rest_from_going_on() -> None:
    journal = make_journal(drained, activated, make_issuer(STAGED, 2, since=LEAD_S, version=12))

    step = plan(journal, MOVED, at(2 * PERIOD_S + 1), DEMO)

    assert step == Retire(ca())


@pytest.mark.parametrize(
    ("journal", "seconds", "deadline"),
    [
        pytest.param(make_journal(active), 0, LEAD_S, id="the lead"),
        pytest.param(make_journal(active), LEAD_S, PERIOD_S, id="then the boundary"),
        pytest.param(
            make_journal(active, replace(drained, since=at(-PERIOD_S + 3))), 0, 3, id="a retirement"
        ),
        pytest.param(
            make_journal(active, replace(retired, since=at(-PERIOD_S + 4))), 0, 4, id="a removal"
        ),
        pytest.param(
            make_journal(active, make_issuer(DRAINED, -3, ends=5)), 0, 5, id="an issuer's end"
        ),
        pytest.param(
            make_journal(make_issuer(ACTIVE, ends=SKEW_S + 6)),
            0,
            6,
            id="a skew before the active's",
        ),
        pytest.param(
            make_journal(active, replace(drained, since=at(-2 * PERIOD_S))),
            0,
            LEAD_S,
            id="what is past is no deadline",
        ),
        pytest.param(Journal(), 0, LEAD_S, id="nothing made yet"),
    ],
)
def test_the_next_deadline(journal: Journal, seconds: float, deadline: float) -> None:
    assert next_deadline(journal, at(seconds), DEMO) == at(deadline)


def test_servers_have_a_version_only_if_every_one_of_them_was_verified_with_it() -> None:
    assert make_fleet(3).servers_have(3)
    assert not make_fleet(3).servers_have(4)
    assert not with_server(ServerStatus("n3", 2, ca(), "refused")).servers_have(2)
    assert not Fleet([make_watcher(9, servers=())]).servers_have(1)
    assert not NOBODY.servers_have(0)


def test_an_issuer_without_a_certificate_is_not_usable() -> None:
    journal = make_journal(replace(active, not_after=None))

    assert plan(journal, QUIET, at(1), DEMO) == Plan(EPOCH)


def test_every_deadline_lies_ahead() -> None:
    for seconds in range(0, 200, 7):
        assert next_deadline(make_journal(active), at(seconds), DEMO) - at(seconds) > timedelta(0)
