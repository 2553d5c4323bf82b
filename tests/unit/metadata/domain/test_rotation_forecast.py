"""What is foreseen is what the plan then asks for, at the time that was said."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.metadata.domain.ca_rotation import plan
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal, Setback
from services.metadata.domain.rotation_forecast import forecast
from services.metadata.domain.rotation_steps import Hold
from services.metadata.domain.steps_ahead import applied, followed
from svc_core.domain.status import ServerStatus
from tests.builders import DEMO
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
NOBODY = Fleet(())
resting = replace(make_journal(make_issuer(S.ACTIVE)), attempts=1)


def told(journal: Journal, seconds: float, fleet: Fleet = NOBODY) -> list[tuple[str, str, float]]:
    """Return step, subject and time in seconds of everything that is foreseen."""
    return [
        (f.step, f.subject, (f.at - at(0)).total_seconds())
        for f in forecast(journal, fleet, at(seconds), DEMO)
    ]


def test_a_whole_rotation_is_foreseen_before_it_begins() -> None:
    assert told(resting, 5, make_fleet(1)) == [
        ("Plan", ca(1), LEAD_S),
        ("Mint", ca(1), LEAD_S),
        ("MarkTrusted", ca(1), LEAD_S),
        ("Activate", ca(1), PERIOD_S),
        ("MarkDrained", ca(), PERIOD_S),
    ]


def test_an_order_brings_everything_forward_and_the_boundary_is_kept() -> None:
    second = f"ca-{EPOCH}-2"

    steps = told(resting.hurried(), 5, make_fleet(1))

    assert [s[:2] for s in steps[:5]] == [
        ("Plan", second),
        ("Mint", second),
        ("MarkTrusted", second),
        ("Activate", second),
        ("MarkDrained", ca()),
    ]
    assert {s[2] for s in steps[:5]} == {5}
    assert ("Activate", ca(1), PERIOD_S) in steps


def test_whoever_is_silent_now_is_taken_to_follow() -> None:
    waiting = make_journal(make_issuer(S.ACTIVE), make_issuer(S.STAGED, 1, since=LEAD_S, version=2))
    silent = Fleet([make_instance(1), make_watcher(1)])

    assert isinstance(plan(waiting, silent, at(LEAD_S + 1), DEMO), Hold)
    assert told(waiting, LEAD_S + 1, silent)[0] == ("MarkTrusted", ca(1), LEAD_S + 1)


def test_a_taint_is_foreseen_to_its_end() -> None:
    tainted = resting.tainted(ca(), now=at(5))

    names = [step for step, _, _ in told(tainted, 5, make_fleet(1))][:7]

    assert names == ["Silence", "Plan", "Mint", "Activate", "Withdraw", "Remove", "Plan"]


def test_after_a_failure_the_pause_and_the_end_of_the_fence_are_foreseen() -> None:
    back = replace(
        make_journal(make_issuer(S.ACTIVE, version=5, ends=900)),
        setback=Setback(2, EPOCH, EPOCH + 3, 2),
        fenced=("n3",),
    )
    servers = (ServerStatus("n1", 5, ca()), ServerStatus("n3", 4, ca(), "frozen"))

    assert told(back, 5, Fleet([make_watcher(5, servers=servers)])) == [("Unfence", "n3", 5)]


@pytest.mark.parametrize("journal", [Journal(), resting, resting.hurried()])
def test_what_is_foreseen_is_what_the_plan_asks_for(journal: Journal) -> None:
    fleet = make_fleet(1)
    for foreseen in forecast(journal, fleet, at(5), DEMO):
        step = plan(journal, followed(fleet, journal), foreseen.at, DEMO)

        assert type(step).__name__ == foreseen.step
        assert step is not None
        assert not isinstance(step, Hold)
        journal = applied(journal, step, now=foreseen.at, profile=DEMO)
        assert foreseen.effect
        assert "{" not in foreseen.effect


def test_no_more_than_a_period_is_foreseen() -> None:
    last = max(f.at for f in forecast(resting, NOBODY, at(5), DEMO))

    assert last - at(5) <= DEMO.ca.period + timedelta(0)
