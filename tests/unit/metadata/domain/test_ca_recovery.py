"""What failed is undone, what is distrusted is left, and who is silent is waited for in vain."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.metadata.domain.ca_recovery import BARRIER
from services.metadata.domain.ca_rotation import SilencePolicy, hold_deadline, plan
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import Issuer, IssuerState
from services.metadata.domain.journal import Journal, Setback
from services.metadata.domain.rotation_steps import (
    Activate,
    GoBack,
    Hold,
    Kick,
    MarkTrusted,
    Mint,
    Plan,
    Remove,
    Retire,
    Silence,
    Step,
    Unfence,
    Withdraw,
)
from svc_core.domain.desired import CutLeaf
from svc_core.domain.identity import GATEKEEPER
from svc_core.domain.status import NOT_LOOKED_AT, ServerStatus
from tests.builders import DEMO, NOW
from tests.unit.metadata.journals import (
    EPOCH,
    at,
    ca,
    make_fleet,
    make_instance,
    make_issuer,
    make_journal,
    make_watcher,
)

S = IssuerState
PERIOD_S = DEMO.ca.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.ca.lead.total_seconds()
BUDGET_S = DEMO.drain_budget.total_seconds()
BARRIER_S = BARRIER.total_seconds()
TICK = timedelta(microseconds=1)
NOBODY = Fleet(())
QUIET = make_fleet(9)
MOVED = make_fleet(9, ca(1))


def tainted(issuer: Issuer, *, silenced: bool = True) -> Issuer:
    return replace(issuer, is_tainted=True, is_silenced=silenced)


def failing(
    version: int, error: str = "reload refused", *, issuer: str = "", judged_at: int = 0
) -> Fleet:
    """Return a fleet at ``version`` whose third server did not follow there."""
    ok = issuer or ca(1)
    servers = (
        ServerStatus("n1", version, ok),
        ServerStatus("n2", version, ok),
        ServerStatus("n3", version - 1, ca(), error, judged_at),
    )
    return Fleet([make_instance(version, ok), make_watcher(version, ok, servers=servers)])


activated = make_issuer(S.ACTIVE, 1, since=PERIOD_S, version=3)
draining = make_issuer(S.DRAINING, since=PERIOD_S, version=3)
older = make_issuer(S.DRAINING, -1, ends=900)
under_way = make_journal(draining, activated)
back = replace(
    make_journal(
        make_issuer(S.ACTIVE, since=40, version=5), make_issuer(S.DRAINING, 1, since=40, version=5)
    ),
    setback=Setback(1, EPOCH + 1, EPOCH + 2),
)


# --- going back --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("journal", "fleet", "seconds", "step"),
    [
        pytest.param(
            under_way,
            failing(3),
            PERIOD_S + BUDGET_S,
            GoBack(ca(), "server n3: reload refused", ("n3",)),
            id="a server says why it did not follow: go back",
        ),
        pytest.param(
            under_way,
            failing(3, judged_at=3),
            PERIOD_S + 0.1,
            GoBack(ca(), "server n3: reload refused", ("n3",)),
            id="Watcher has judged that a server failed: go back at once",
        ),
        pytest.param(
            under_way,
            replace(failing(3, judged_at=3), watched_for=TICK),
            PERIOD_S + 0.1,
            GoBack(ca(), "server n3: reload refused", ("n3",)),
            id="also when it has just come back",
        ),
        pytest.param(
            under_way,
            replace(failing(3), watched_for=DEMO.drain_budget),
            PERIOD_S + 3 * BUDGET_S,
            GoBack(ca(), "server n3: reload refused", ("n3",)),
            id="Watcher has been back for as long: go back",
        ),
        pytest.param(
            make_journal(
                replace(draining, not_after=at(PERIOD_S + BUDGET_S) + DEMO.leaf_ttl),
                make_issuer(S.DRAINED, -1, since=0, version=1, ends=900),
                activated,
            ),
            failing(3),
            PERIOD_S + BUDGET_S,
            GoBack(ca(-1), "server n3: reload refused", ("n3",)),
            id="only to one that outlives a leaf",
        ),
        pytest.param(
            back,
            make_fleet(5, ca()),
            41,
            Withdraw(ca(1)),
            id="everybody is back: the failed one leaves the trusted set",
        ),
        pytest.param(
            back,
            failing(5, issuer=ca()),
            40 + BUDGET_S,
            Withdraw(ca(1)),
            id="who fails need not acknowledge, as long as nobody uses the failed one",
        ),
        pytest.param(
            replace(back, fenced=("n3",)),
            failing(5, issuer=ca(), judged_at=5),
            40.1,
            Withdraw(ca(1)),
            id="a fenced server is no reason to keep the failed one",
        ),
        pytest.param(
            replace(back, fenced=("n2", "n3", "n9")),
            failing(5, issuer=ca(), judged_at=5),
            40.1,
            Unfence(("n2", "n9")),
            id="a fenced server that was verified is let in, and one that is none any more",
        ),
        pytest.param(
            back,
            make_fleet(5, ca(1)),
            40 + BUDGET_S,
            Kick(ca(1)),
            id="who stays on the failed one is cut",
        ),
    ],
)
def test_a_failed_activation_is_undone(
    journal: Journal, fleet: Fleet, seconds: float, step: Step
) -> None:
    assert plan(journal, fleet, at(seconds), DEMO) == step


@pytest.mark.parametrize(
    ("journal", "fleet", "seconds"),
    [
        pytest.param(under_way, failing(3), PERIOD_S + BUDGET_S - 0.001, id="not in time yet"),
        pytest.param(under_way, failing(3, ""), PERIOD_S + BUDGET_S, id="late, but no failure"),
        pytest.param(
            under_way,
            failing(3, judged_at=2),
            PERIOD_S + 0.1,
            id="judged at a version before the activation",
        ),
        pytest.param(
            replace(
                under_way,
                issuers=(*(replace(i, epoch=EPOCH) for i in (activated, draining)), older),
                setback=Setback(1, EPOCH, EPOCH + 1, 2),
            ),
            failing(3, judged_at=3),
            PERIOD_S + 0.1,
            id="once is enough, also between two attempts of one epoch",
        ),
        pytest.param(under_way, NOBODY, PERIOD_S + BUDGET_S, id="nobody says anything"),
        pytest.param(
            under_way,
            failing(3, NOT_LOOKED_AT),
            PERIOD_S + BUDGET_S,
            id="Watcher has just started and has not looked at it",
        ),
        pytest.param(
            under_way,
            replace(failing(3), watched_for=DEMO.drain_budget - TICK),
            PERIOD_S + 3 * BUDGET_S,
            id="Watcher was away, and its first errors may mend themselves",
        ),
        pytest.param(
            make_journal(make_issuer(S.DRAINED, since=PERIOD_S + 1, version=3), activated),
            failing(3),
            PERIOD_S + BUDGET_S,
            id="the rotation was complete",
        ),
        pytest.param(
            make_journal(replace(draining, not_after=at(PERIOD_S + BUDGET_S + 1)), activated),
            failing(3),
            PERIOD_S + BUDGET_S,
            id="nowhere to go",
        ),
        pytest.param(
            replace(back, issuers=(*back.issuers, make_issuer(S.DRAINING, -1, ends=900))),
            failing(5, issuer=ca()),
            40 + BUDGET_S,
            id="once is enough, although there is an older one still",
        ),
    ],
)
def test_nothing_else_is_undone(journal: Journal, fleet: Fleet, seconds: float) -> None:
    assert not isinstance(plan(journal, fleet, at(seconds), DEMO), GoBack)


def test_while_nobody_counts_connections_the_failed_issuer_stays_trusted() -> None:
    unseen = Fleet([make_instance(5, ca())])

    step = plan(back, unseen, at(40 + BUDGET_S), DEMO)

    assert step == Hold(f"{ca(1)} is still used by: no live watcher")


def test_the_pause_doubles_up_to_four_periods() -> None:
    journal = replace(under_way, setback=Setback())
    resumes = []
    for count in range(5):
        journal = replace(under_way, setback=replace(journal.setback, count=count))
        resumes.append(journal.went_back(ca(), now=at(40), epoch=EPOCH + 1).setback.resume)

    assert resumes == [EPOCH + 2, EPOCH + 3, EPOCH + 5, EPOCH + 5, EPOCH + 5]


def test_the_next_attempt_waits_for_its_epoch() -> None:
    active = make_issuer(S.ACTIVE, since=40, version=5, ends=900)
    journal = replace(
        make_journal(active), setback=Setback(2, EPOCH + 1, EPOCH + 3), highest_epoch=EPOCH + 1
    )
    lead = DEMO.ca.lead.total_seconds()

    assert plan(journal, make_fleet(5), at(2 * PERIOD_S - lead), DEMO) is None
    assert plan(journal, make_fleet(5), at(3 * PERIOD_S - lead), DEMO) == Plan(EPOCH + 3)


def test_a_pause_never_costs_the_active_issuer_its_orderly_end() -> None:
    active = make_issuer(S.ACTIVE, since=40, version=5)
    journal = replace(
        make_journal(active), setback=Setback(9, EPOCH + 1, EPOCH + 5), highest_epoch=EPOCH + 1
    )

    assert plan(journal, make_fleet(5), at(PERIOD_S + LEAD_S), DEMO) == Plan(EPOCH + 2)


# --- distrust ----------------------------------------------------------------------------------

active = make_issuer(S.ACTIVE)
fresh = make_issuer(S.STAGED, 1, since=10, version=2)
left = replace(make_issuer(S.TAINTED, since=20, version=3), is_tainted=True, is_silenced=True)
replaced = make_issuer(S.ACTIVE, 1, since=20, version=3)


@pytest.mark.parametrize(
    ("journal", "fleet", "seconds", "step"),
    [
        pytest.param(
            make_journal(tainted(active, silenced=False)),
            NOBODY,
            9,
            Silence(ca()),
            id="first of all it signs nothing any more",
        ),
        pytest.param(
            make_journal(tainted(active)), QUIET, 9, Plan(EPOCH), id="then another one of its epoch"
        ),
        pytest.param(
            make_journal(tainted(active), make_issuer(S.PLANNED, 1, since=9)),
            QUIET,
            9,
            Mint(ca(1)),
            id="made at once",
        ),
        pytest.param(
            make_journal(tainted(active), make_issuer(S.PLANNED, 1, since=9)),
            QUIET,
            9 + PERIOD_S,
            Withdraw(ca(1)),
            id="unless it cannot be made",
        ),
        pytest.param(
            make_journal(tainted(active), fresh),
            make_fleet(2),
            10.1,
            Activate(ca(1), proven=False),
            id="active as soon as everybody trusts it, long before the boundary",
        ),
        pytest.param(
            make_journal(tainted(active), fresh),
            make_fleet(1),
            10 + BARRIER_S,
            Activate(ca(1), proven=False),
            id="or after three seconds, whoever does not",
        ),
        pytest.param(
            make_journal(left, replaced),
            make_fleet(3, ca(1)),
            20.1,
            Withdraw(ca()),
            id="nobody uses the tainted one: trust in it ends",
        ),
        pytest.param(
            make_journal(left, replaced),
            make_fleet(3, ca()),
            20 + BARRIER_S,
            Withdraw(ca()),
            id="and after three seconds, whoever does",
        ),
        pytest.param(
            make_journal(replace(left, is_silenced=False), replaced),
            QUIET,
            20,
            Silence(ca()),
            id="a tainted one that is not active signs nothing either",
        ),
        pytest.param(
            make_journal(
                tainted(make_issuer(S.ACTIVE, 4, version=5)),
                *(make_issuer(S.DRAINING, n, version=5, ends=900) for n in (0, 2, 3)),
                make_issuer(S.DRAINED, 1, version=5, ends=900),
            ),
            QUIET,
            4 * PERIOD_S + 1,
            Retire(ca(1)),
            id="a full trusted set makes room at once, drained ones first",
        ),
        pytest.param(
            replace(
                make_journal(replace(left, state=S.WITHDRAWN, since=at(21), version=4), replaced),
                kicked=(ca(),),
            ),
            make_fleet(4, ca(1)),
            22,
            Remove(ca()),
            id="every server is without it: deleted",
        ),
    ],
)
def test_a_tainted_issuer_is_left_in_seconds(
    journal: Journal, fleet: Fleet, seconds: float, step: Step
) -> None:
    assert plan(journal, fleet, at(seconds), DEMO) == step


def test_the_barrier_says_for_whom_it_waits() -> None:
    waits = plan(make_journal(tainted(active), fresh), Fleet([make_watcher(2)]), at(10), DEMO)
    silent = Fleet([make_instance(1), make_watcher(2)])
    held = plan(make_journal(tainted(active), fresh), silent, at(12.9), DEMO)
    leaving = plan(make_journal(left, replaced), make_fleet(3, ca()), at(22.9), DEMO)

    assert waits == Activate(ca(1), proven=False)
    assert held == Hold(f"{ca(1)} is not trusted yet by: gatekeeper/g1")
    assert isinstance(leaving, Hold)
    assert leaving.reason.startswith(f"{ca()} is tainted and still used by: gatekeeper/g1")


# --- silence -----------------------------------------------------------------------------------

DEADLINE_S = (hold_deadline(active.not_after or NOW, DEMO) - NOW).total_seconds()
waiting = make_journal(active, make_issuer(S.STAGED, 1, since=LEAD_S, version=2))
one_silent = Fleet([make_instance(1), make_watcher(2)])


def test_the_deadline_leaves_a_whole_leaf_and_a_lead() -> None:
    assert active.not_after is not None
    left_over = active.not_after - at(DEADLINE_S)
    assert left_over == DEMO.leaf_ttl + DEMO.skew + DEMO.ca.lead
    assert DEADLINE_S >= PERIOD_S


def test_until_the_deadline_whoever_is_silent_is_waited_for() -> None:
    step = plan(waiting, one_silent, at(DEADLINE_S) - timedelta(microseconds=1), DEMO)

    assert step == Hold(f"{ca(1)} is not trusted yet by: gatekeeper/g1")


def test_then_a_quorum_goes_on_with_proof_and_cuts_who_is_silent() -> None:
    silent = replace(make_instance(1), leaf="ab" * 32)
    fleet = Fleet([silent, replace(make_instance(2, name="g2"), leaf="cd" * 32), make_watcher(2)])

    step = plan(waiting, fleet, at(DEADLINE_S), DEMO)

    assert step == Activate(ca(1), proven=True, cut=(CutLeaf(GATEKEEPER, "ab" * 32),))


def test_a_quorum_goes_on_too_without_knowing_what_to_cut() -> None:
    assert plan(waiting, one_silent, at(DEADLINE_S), DEMO) == Activate(ca(1), proven=True)


def test_or_waits_on_as_the_policy_says() -> None:
    step = plan(waiting, one_silent, at(DEADLINE_S), DEMO, SilencePolicy.WAIT)

    assert step == Hold(f"{ca(1)} is not trusted yet by: gatekeeper/g1")


@pytest.mark.parametrize(
    "fleet",
    [
        pytest.param(
            Fleet([make_instance(2), make_watcher(1)]), id="a quorum is never without the servers"
        ),
        pytest.param(Fleet([make_instance(2)]), id="nor without who speaks for them"),
        pytest.param(NOBODY, id="nor without anybody"),
    ],
)
def test_servers_are_always_waited_for(fleet: Fleet) -> None:
    assert isinstance(plan(waiting, fleet, at(DEADLINE_S), DEMO), Hold)


def test_a_deadline_is_no_reason_to_be_early() -> None:
    early = make_journal(
        make_issuer(S.ACTIVE, ends=50), make_issuer(S.STAGED, 1, since=LEAD_S, version=2, ends=150)
    )

    assert isinstance(plan(early, one_silent, at(PERIOD_S - 1), DEMO), Hold)
    trusting = make_fleet(2)
    assert plan(early, trusting, at(PERIOD_S - 1), DEMO) == MarkTrusted(ca(1))


# --- an ordered rotation -----------------------------------------------------------------------

hurried = make_journal(active).hurried()
ordered = f"ca-{EPOCH}-2"
ordered_issuer = replace(
    make_issuer(S.STAGED, since=10, version=2), name=ordered, attempt=2, not_after=at(130)
)


@pytest.mark.parametrize(
    ("journal", "fleet", "seconds", "step"),
    [
        pytest.param(hurried, QUIET, 9, Plan(EPOCH), id="another one of this epoch, at once"),
        pytest.param(hurried, QUIET, LEAD_S, Plan(EPOCH + 1), id="in the lead: the next one's"),
        pytest.param(
            replace(hurried, setback=Setback(2, EPOCH, EPOCH + 3, 1)),
            QUIET,
            9,
            Plan(EPOCH),
            id="no pause after a failure stands in the way of an order",
        ),
        pytest.param(
            make_journal(active, ordered_issuer).hurried(),
            make_fleet(2),
            11,
            MarkTrusted(ordered),
            id="everybody trusts it",
        ),
        pytest.param(
            make_journal(active, replace(ordered_issuer, state=S.TRUSTED)).hurried(),
            make_fleet(2),
            11,
            Activate(ordered, proven=True),
            id="active without waiting for the boundary, with proof",
        ),
        pytest.param(
            make_journal(active, make_issuer(S.TRUSTED, 1, since=LEAD_S, version=2)).hurried(),
            make_fleet(2),
            LEAD_S + 1,
            Activate(ca(1), proven=True),
            id="what was staged for the boundary is what comes early",
        ),
        pytest.param(
            make_journal(
                *(make_issuer(S.DRAINED, n, version=5, ends=900) for n in range(4)),
                make_issuer(S.ACTIVE, 4, version=5, ends=990),
            ).hurried(),
            make_fleet(9, ca(4)),
            4 * PERIOD_S + 1,
            Retire(ca()),
            id="a full trusted set makes room first",
        ),
    ],
)
def test_an_ordered_rotation_does_not_wait_for_the_boundary(
    journal: Journal, fleet: Fleet, seconds: float, step: Step
) -> None:
    assert plan(journal, fleet, at(seconds), DEMO) == step


def test_an_ordered_rotation_waits_for_everybody_else() -> None:
    journal = make_journal(active, ordered_issuer).hurried()

    assert plan(journal, one_silent, at(11), DEMO) == Hold(
        f"{ordered} is not trusted yet by: gatekeeper/g1"
    )


def test_the_hurry_ends_with_the_activation_and_with_the_end_of_the_successor() -> None:
    journal = make_journal(active, ordered_issuer).hurried()
    planned = replace(hurried, attempts=1).planned(EPOCH, now=at(1))

    assert not journal.activated(ordered, now=at(12)).is_hurried
    assert not journal.withdrawn(ordered, now=at(12)).is_hurried
    assert not planned.withdrawn(ordered, now=at(40)).is_hurried
    left = replace(make_issuer(S.TAINTED, -1, ends=99), is_tainted=True)
    assert make_journal(left, active).hurried().withdrawn(left.name, now=at(3)).is_hurried


def test_after_an_ordered_rotation_the_boundary_is_kept() -> None:
    done = replace(make_journal(active, ordered_issuer), highest_epoch=EPOCH, attempts=2)
    done = done.activated(ordered, now=at(12)).moved(ca(), S.DRAINED, now=at(13))

    assert plan(done, make_fleet(9, ordered), at(LEAD_S - 0.1), DEMO) is None
    assert plan(done, make_fleet(9, ordered), at(LEAD_S), DEMO) == Plan(EPOCH + 1)
