"""The next step about the roots, as a table: when, in which mode, and what it waits for."""

from dataclasses import replace

import pytest

from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import Issuer, IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.root_rotation import (
    MakeRoot,
    PlanRoot,
    RemoveRoot,
    RetireRoot,
    RootStep,
    UseRoot,
    plan_roots,
)
from services.metadata.domain.roots import NO_ROOTS, Root, Roots, RootState
from services.metadata.domain.rotation_steps import Hold
from svc_core.domain.desired import TrustMode
from tests.builders import DEMO
from tests.unit.metadata.journals import at, make_fleet, make_instance, make_issuer, make_journal

S = RootState
CHAIN, INTERMEDIATES = TrustMode.CHAIN, TrustMode.INTERMEDIATES
PERIOD_S = DEMO.root_period.total_seconds()
LIFE_S = DEMO.root_validity.total_seconds()
ISSUER_S = DEMO.ca.validity.total_seconds()
ACTIVE = make_issuer(IssuerState.ACTIVE, version=5, ends=10 * PERIOD_S)
ALL_HAVE, SOME_LACK = make_fleet(5), make_fleet(4)


def root(name: str, state: RootState, since: float = 0, ends: float = 9 * LIFE_S) -> Root:
    if state is S.PLANNED:
        return Root(name, state, at(since))
    return Root(name, state, at(since), 5, f"{name}\n", "key", at(ends))


def journal(
    *known: Root, mode: TrustMode = INTERMEDIATES, issuers: tuple[Issuer, ...] = (ACTIVE,)
) -> Journal:
    roots = Roots(known, made=len(known))
    return replace(make_journal(*issuers), roots=roots, trust_mode=mode)


SIGNING = root("root", S.SIGNING)
PLANNED, STAGED = root("root-2", S.PLANNED), root("root-2", S.STAGED)
ENDING = root("root", S.SIGNING, ends=ISSUER_S)
IS_DUE = PERIOD_S


@pytest.mark.parametrize(
    ("known", "mode", "seconds", "fleet", "step"),
    [
        pytest.param([SIGNING], CHAIN, IS_DUE - 1, ALL_HAVE, None, id="not due"),
        pytest.param([SIGNING], CHAIN, IS_DUE, ALL_HAVE, PlanRoot(), id="due after ten periods"),
        pytest.param([ENDING], CHAIN, 1, ALL_HAVE, PlanRoot(), id="due because it ends"),
        pytest.param(
            [SIGNING, PLANNED], CHAIN, 1, SOME_LACK, MakeRoot("root-2"), id="made without asking"
        ),
        pytest.param(
            [SIGNING, STAGED], CHAIN, 1, ALL_HAVE, UseRoot("root-2"), id="chain: all trust both"
        ),
        pytest.param(
            [SIGNING, STAGED],
            INTERMEDIATES,
            1,
            SOME_LACK,
            UseRoot("root-2"),
            id="intermediates: nobody trusts roots",
        ),
        pytest.param(
            [ENDING, STAGED],
            CHAIN,
            1,
            SOME_LACK,
            UseRoot("root-2"),
            id="chain: the former one cannot sign for a whole life any more",
        ),
        pytest.param(
            [STAGED], CHAIN, 1, SOME_LACK, UseRoot("root-2"), id="chain: there is no other"
        ),
    ],
)
def test_the_next_step_of_the_succession(
    known: list[Root], mode: TrustMode, seconds: float, fleet: Fleet, step: RootStep | None
) -> None:
    assert plan_roots(journal(*known, mode=mode), fleet, at(seconds), DEMO) == step


def test_in_mode_chain_who_does_not_trust_the_next_root_is_waited_for_by_name() -> None:
    step = plan_roots(journal(SIGNING, STAGED, mode=CHAIN), SOME_LACK, at(1), DEMO)

    assert isinstance(step, Hold)
    assert step.reason.startswith("root-2 is not trusted yet by: gatekeeper/g1")


@pytest.mark.parametrize("issuers", [(), (make_issuer(IssuerState.ACTIVE, ends=0),)])
def test_in_mode_chain_nobody_is_waited_for_when_nothing_valid_is_alive(
    issuers: tuple[Issuer, ...],
) -> None:
    known = journal(SIGNING, STAGED, mode=CHAIN, issuers=issuers)

    assert plan_roots(known, Fleet(()), at(1), DEMO) == UseRoot("root-2")


def test_an_order_makes_another_root_before_its_time() -> None:
    known = journal(SIGNING)
    ordered = known.with_roots(known.roots.ordered())

    assert plan_roots(known, ALL_HAVE, at(1), DEMO) is None
    assert plan_roots(ordered, ALL_HAVE, at(1), DEMO) == PlanRoot()


def test_before_the_first_root_is_known_nothing_is_done() -> None:
    assert plan_roots(replace(make_journal(ACTIVE), roots=NO_ROOTS), ALL_HAVE, at(1), DEMO) is None


def test_no_more_than_three_roots_are_trusted() -> None:
    used = replace(ACTIVE, root="root"), replace(ACTIVE, name="ca-1-1", root="root-2")
    known = journal(
        root("root", S.LEAVING), root("root-2", S.LEAVING), root("root-3", S.SIGNING), issuers=used
    )

    assert plan_roots(known, ALL_HAVE, at(IS_DUE), DEMO) == Hold("too many roots are trusted")
    assert plan_roots(known, ALL_HAVE, at(1), DEMO) is None


@pytest.mark.parametrize(
    ("state", "step"),
    [
        *[
            (state, None)
            for state in IssuerState
            if state not in {IssuerState.RETIRED, IssuerState.WITHDRAWN}
        ],
        (IssuerState.RETIRED, RetireRoot("root")),
        (IssuerState.WITHDRAWN, RetireRoot("root")),
    ],
)
def test_a_former_root_leaves_with_the_last_issuer_it_signed(
    state: IssuerState, step: RootStep | None
) -> None:
    last = make_issuer(state, -1)
    others = () if state is IssuerState.ACTIVE else (replace(ACTIVE, root="root-2"),)
    issuers = (replace(last, root="root"), *others)
    known = journal(root("root", S.LEAVING), root("root-2", S.SIGNING), issuers=issuers)

    assert plan_roots(known, ALL_HAVE, at(1), DEMO) == step


def test_a_retired_root_is_deleted_whoever_has_heard_of_it() -> None:
    retired = journal(root("root", S.RETIRED), root("root-2", S.SIGNING))

    assert plan_roots(retired, SOME_LACK, at(0), DEMO) == RemoveRoot("root")


def test_what_is_held_does_not_keep_a_former_root_from_being_put_away() -> None:
    states = {"root": S.RETIRED, "root-2": S.SIGNING, "root-3": S.STAGED}
    known = journal(*(root(name, state) for name, state in states.items()), mode=CHAIN)

    assert plan_roots(known, Fleet([make_instance(4)]), at(1), DEMO) == RemoveRoot("root")
