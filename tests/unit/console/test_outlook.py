"""What the authority writes down is what an operator reads: phase, parties, steps and times."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from console import plan_commands
from console.outlook import Asked, parties_table, phase_lines, plan_parts, steps_table
from services.metadata.domain.ca_rotation import SilencePolicy
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal, Setback
from services.metadata.domain.outlook import Sight, phase_of, prospects, situation
from services.metadata.domain.roots import Root, Roots, RootState
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
resting = replace(make_journal(make_issuer(S.ACTIVE)), attempts=1)
SIGNING = Root("root", RootState.SIGNING, at(0), 1, "root\n", "key", at(1200))
STAGED = Root("root-2", RootState.STAGED, at(0), 1, "root-2\n", "key", at(1200))
rooted = replace(resting, roots=Roots((SIGNING,), made=1))


def document(
    journal: Journal, fleet: Fleet, *, held: str = "", seconds: float = 5
) -> dict[str, Any]:
    """Return the outlook as it is stored."""
    sight, policy = Sight(journal, fleet, held, at(seconds)), SilencePolicy.QUORUM
    told = {**situation(sight, DEMO, policy), **prospects(sight, DEMO, policy)}
    return {**told, "by": "metadata-1", "at": at(seconds).isoformat()}


def shown(*parts: Any) -> str:
    text = io.StringIO()
    console = Console(file=text, width=160)
    for part in parts:
        console.print(part)
    return text.getvalue()


def test_at_rest_it_says_what_is_next_and_when() -> None:
    told = document(resting, make_fleet(1))

    text = shown(*phase_lines(told, at(7)))

    assert f"rotation: resting on {ca()} (version 1)" in text
    assert f"next: Plan {ca(1)} in 15.5 s" in text
    assert "said by metadata-1 2 s ago" in text


def test_who_is_waited_for_is_named_with_what_it_has() -> None:
    servers = (ServerStatus("n1", 2, ca()), ServerStatus("n3", 1, ca(), "frozen", 2))
    journal = replace(
        make_journal(make_issuer(S.ACTIVE), make_issuer(S.STAGED, 1, since=22.5, version=2)),
        setback=Setback(2, EPOCH, EPOCH + 3),
        fenced=("n3",),
    )
    fleet = Fleet([make_instance(1), make_watcher(2, servers=servers)])
    told = document(journal, fleet, held="waiting for g1", seconds=23)

    text = shown(*phase_lines(told, at(23)), parties_table(told))

    assert "it waits: waiting for g1" in text
    assert "kept out until verified: n3" in text
    assert f"failed (2 times in a row); tried again in epoch {EPOCH + 3}" in text
    lines = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert " no " in lines["gatekeeper/g1"]
    assert " yes " in lines["server n1"]
    assert "fenced; FAILED: frozen" in lines["server n3"]


def test_every_step_is_shown_with_the_time_to_it() -> None:
    told = document(resting, make_fleet(1))

    text = shown(steps_table(told["foreseen"], at(10)))

    assert [word for word in ("12.5 s", "20.0 s", "Activate", ca(1)) if word not in text] == []
    assert f"ca-{EPOCH}-2" in shown(steps_table(told["if_ordered"], at(10)))


def test_the_phase_is_what_the_journal_is_at() -> None:
    active, successor = make_issuer(S.ACTIVE), make_issuer(S.STAGED, 1, version=2)
    under_way = make_journal(make_issuer(S.DRAINING), make_issuer(S.ACTIVE, 1))
    back = replace(
        make_journal(make_issuer(S.ACTIVE), make_issuer(S.DRAINING, 1)),
        setback=Setback(1, EPOCH + 1, EPOCH + 2),
    )

    assert phase_of(Journal()) == "making the first issuer"
    assert phase_of(make_journal(active, make_issuer(S.PLANNED, 1))) == f"making {ca(1)}"
    assert phase_of(make_journal(active, successor)) == f"spreading trust in {ca(1)}"
    trusted = replace(successor, state=S.TRUSTED)
    assert phase_of(make_journal(active, trusted)) == f"{ca(1)} waits for its time"
    assert phase_of(resting.hurried()) == "about to rotate, as ordered"
    assert phase_of(under_way) == f"moving from {ca()} to {ca(1)}"
    assert phase_of(back) == f"going back from {ca(1)} to {ca()}"
    assert phase_of(resting.tainted(ca(), now=at(1))) == f"leaving {ca()}, which is tainted"


def test_of_an_authority_that_has_made_nothing_there_is_nothing_to_say_but_that() -> None:
    told = document(Journal(), Fleet(()))

    assert told["if_ordered"] == []
    assert "making the first issuer" in shown(*phase_lines(told, at(5)))


def test_the_next_change_of_root_is_shown_to_its_end() -> None:
    told = document(rooted, make_fleet(1))

    lines, text = shown(*phase_lines(told, at(5))), shown(*plan_parts(told, Asked.NEXT, at(5)))

    assert "root that signs: root; next: PlanRoot root-2 in 295.0 s" in lines
    assert text.index("MarkDrained") < text.index("the root, to the end of the former one")
    after = text[text.index("the root, to") :]
    steps = ["PlanRoot", "MakeRoot", "UseRoot", "Mint", "RetireRoot", "RemoveRoot"]
    assert [after.index(step) for step in steps] == sorted(after.index(step) for step in steps)
    assert "Activate" not in after
    assert (told["trust_mode"], told["root_order_refused"]) == ("intermediates", "")


def test_what_an_order_for_a_root_would_do_is_shown_and_whether_it_would_be_refused() -> None:
    told = document(rooted, make_fleet(1))
    under_way = document(replace(rooted, roots=Roots((SIGNING, STAGED), made=2)), make_fleet(1))

    text = shown(*plan_parts(told, Asked.ROOT, at(5)))
    refused = shown(*plan_parts(under_way, Asked.ROOT, at(5)))

    first = next(line for line in text.splitlines() if "PlanRoot" in line)
    assert [cell.strip() for cell in first.split("│")[1:4]] == ["0.0 s", "PlanRoot", "root-2"]
    assert "Activate" not in text
    assert "it would be refused: another root is being made or trusted already" in refused
    assert "UseRoot" in refused
    assert "PlanRoot" not in refused


def test_an_outlook_of_before_roots_were_planned_ahead_is_shown_as_far_as_it_goes() -> None:
    told = document(rooted, make_fleet(1))
    former = {key: told[key] for key in told if "root_" not in key and key != "roots_foreseen"}

    assert "root that signs: root\n" in shown(*phase_lines(former, at(5)))
    assert "Activate" in shown(*plan_parts(former, Asked.NEXT, at(5)))
    assert "Activate" not in shown(*plan_parts(former, Asked.ROOT, at(5)))


def test_the_time_to_a_step_is_told_as_exactly_as_it_matters() -> None:
    def told(seconds: float) -> str:
        step = {"at": at(seconds).isoformat(), "step": "", "subject": "", "effect": ""}
        return shown(steps_table([step], at(0))).splitlines()[3].split("│")[1].strip()

    assert [told(s) for s in (-1, 12.34, 599, 600, 7_200, 172_800, 7_776_000)] == [
        "0.0 s",
        "12.3 s",
        "599.0 s",
        "10.0 min",
        "2.0 h",
        "2.0 d",
        "90.0 d",
    ]


@pytest.mark.parametrize("command", [[], ["ca"], ["root"]], ids=["plan", "plan ca", "plan root"])
def test_without_a_stack_nobody_is_asked(command: list[str], tmp_path: Path) -> None:
    answer = CliRunner().invoke(plan_commands.app, [*command, "--var", str(tmp_path)])

    assert answer.exit_code == 2
    assert "no stack runs in" in answer.output
