"""The next change of root is foreseen as the plan then takes it, however far away it is."""

from dataclasses import replace

import pytest

from services.metadata.domain.ca_rotation import SilencePolicy
from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import IssuerState
from services.metadata.domain.journal import Journal
from services.metadata.domain.root_forecast import forecast_roots
from services.metadata.domain.root_rotation import plan_roots
from services.metadata.domain.roots import NO_ROOTS, Root, Roots, RootState
from services.metadata.domain.rotation_forecast import forecast
from services.metadata.domain.rotation_steps import Hold, Mint
from services.metadata.domain.steps_ahead import followed, steps_ahead
from svc_core.domain.desired import TrustMode
from svc_core.domain.profiles import PROFILES, RotationProfile
from tests.builders import DEMO
from tests.unit.metadata.journals import at, make_fleet, make_instance, make_issuer, make_journal

S = RootState
PERIOD_S = DEMO.ca.period.total_seconds()
LEAD_S = PERIOD_S - DEMO.ca.lead.total_seconds()
ROOT_S = DEMO.root_period.total_seconds()
LIFE_S = DEMO.root_validity.total_seconds()
NOBODY = Fleet(())
WHOLE = ["PlanRoot", "MakeRoot", "UseRoot", "Mint", "RetireRoot", "RemoveRoot"]


def root(name: str, state: RootState, since: float = 0, *, life_s: float = LIFE_S) -> Root:
    if state is S.PLANNED:
        return Root(name, state, at(since))
    return Root(name, state, at(since), 1, f"{name}\n", "key", at(since + life_s))


def journal(*known: Root, mode: TrustMode = TrustMode.INTERMEDIATES) -> Journal:
    roots = Roots(known, made=len(known))
    resting = replace(make_journal(make_issuer(IssuerState.ACTIVE)), attempts=1)
    return replace(resting, roots=roots, trust_mode=mode)


SIGNING = root("root", S.SIGNING)
resting = journal(SIGNING)
ordered = resting.with_roots(resting.roots.ordered())


def told(
    known: Journal, seconds: float, *, fleet: Fleet = NOBODY, profile: RotationProfile = DEMO
) -> list[tuple[str, str, float]]:
    """Return step, subject and time in seconds of everything that is foreseen about roots."""
    return [
        (f.step, f.subject, (f.at - at(0)).total_seconds())
        for f in forecast_roots(known, fleet, at(seconds), profile)
    ]


@pytest.mark.parametrize("mode", TrustMode)
def test_the_next_change_is_foreseen_from_its_plan_to_the_end_of_the_former_root(
    mode: TrustMode,
) -> None:
    # The root that signs from the boundary on is that of the issuer of the next one, whose
    # predecessor is drained there and out of the trusted set a period later.
    used = ROOT_S + LEAD_S
    gone = ROOT_S + 2 * PERIOD_S

    assert told(journal(SIGNING, mode=mode), 5) == [
        ("PlanRoot", "root-2", ROOT_S),
        ("MakeRoot", "root-2", ROOT_S),
        ("UseRoot", "root-2", ROOT_S),
        ("Mint", "root-2", used),
        ("RetireRoot", "root", gone),
        ("RemoveRoot", "root", gone),
    ]


def test_what_an_order_would_begin_is_foreseen_from_now_on() -> None:
    assert told(ordered, 5) == [
        ("PlanRoot", "root-2", 5),
        ("MakeRoot", "root-2", 5),
        ("UseRoot", "root-2", 5),
        ("Mint", "root-2", LEAD_S),
        ("RetireRoot", "root", 2 * PERIOD_S),
        ("RemoveRoot", "root", 2 * PERIOD_S),
    ]


def test_a_root_that_ends_before_its_time_is_changed_before_it_does() -> None:
    short = journal(root("root", S.SIGNING, life_s=ROOT_S / 2))
    latest = ROOT_S / 2 - DEMO.ca.validity.total_seconds() - 2 * PERIOD_S

    assert told(short, 5)[0] == ("PlanRoot", "root-2", 5)
    assert latest < 5
    sooner = journal(root("root", S.SIGNING, life_s=ROOT_S))
    needed = DEMO.ca.validity + DEMO.ca.lead + 2 * DEMO.ca.period
    assert told(sooner, 5)[0] == ("PlanRoot", "root-2", ROOT_S - needed.total_seconds())


@pytest.mark.parametrize(
    ("known", "steps"),
    [
        ((SIGNING, root("root-2", S.PLANNED)), WHOLE[1:]),
        ((SIGNING, root("root-2", S.STAGED)), WHOLE[2:]),
        ((root("root", S.LEAVING), root("root-2", S.SIGNING)), WHOLE[3:]),
        ((root("root", S.RETIRED), root("root-2", S.SIGNING)), WHOLE[5:]),
    ],
    ids=["planned", "staged", "used", "retired"],
)
@pytest.mark.parametrize("mode", TrustMode)
def test_of_a_change_under_way_the_rest_is_foreseen(
    mode: TrustMode, known: tuple[Root, ...], steps: list[str]
) -> None:
    assert [step for step, _, _ in told(journal(*known, mode=mode), 5)] == steps


def test_whoever_does_not_trust_the_next_root_yet_is_taken_to_follow() -> None:
    waiting = journal(SIGNING, root("root-2", S.STAGED), mode=TrustMode.CHAIN)
    waiting = waiting.with_roots(waiting.roots, version=2)
    staged = replace(waiting.roots.known[1], version=2)
    waiting = waiting.with_roots(Roots((SIGNING, staged), made=2))
    silent = Fleet([make_instance(1)])

    assert isinstance(plan_roots(waiting, silent, at(1), DEMO), Hold)
    assert told(waiting, 1, fleet=silent)[0] == ("UseRoot", "root-2", 1)


@pytest.mark.parametrize("seconds", [1.0, 29.0, 100.0])
@pytest.mark.parametrize("life_s", [40 * PERIOD_S, 400 * PERIOD_S])
@pytest.mark.parametrize("mode", TrustMode)
def test_what_is_not_gone_through_makes_no_difference(
    mode: TrustMode, life_s: float, seconds: float
) -> None:
    profile = replace(DEMO, root_periods=60)
    known = journal(root("root", S.SIGNING, life_s=life_s), mode=mode)
    until = at(seconds) + profile.root_period + 10 * profile.ca.period
    policy = SilencePolicy.QUORUM
    all_steps = steps_ahead(known, NOBODY, at(seconds), profile, policy, until=until)
    wanted = [
        (type(t.step).__name__, (t.at - at(0)).total_seconds())
        for t in all_steps
        if "Root" in type(t.step).__name__ and t.at < until - 6 * profile.ca.period
    ]

    found = [
        (step, when)
        for step, _, when in told(known, seconds, profile=profile)
        if step.endswith("Root")
    ]

    assert found == wanted[:5]
    assert len(found) == 5


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_every_profile_has_its_next_root_foreseen_to_the_end(profile: RotationProfile) -> None:
    known = journal(root("root", S.SIGNING, life_s=profile.root_validity.total_seconds()))

    steps = forecast_roots(known, NOBODY, at(1), profile)

    assert [step.step for step in steps] == WHOLE
    assert steps[0].at == at(0) + profile.root_period
    assert steps[-1].at - steps[0].at <= profile.ca.validity


def test_in_the_period_in_which_it_happens_it_is_among_the_other_steps() -> None:
    seconds = ROOT_S - 10
    known = resting.with_roots(resting.roots)
    aged = replace(
        make_journal(make_issuer(IssuerState.ACTIVE, 9, since=9 * PERIOD_S)),
        attempts=1,
        roots=known.roots,
    )

    steps = [(f.step, f.subject) for f in forecast(aged, make_fleet(1), at(seconds), DEMO)]

    place = steps.index(("PlanRoot", "root-2"))
    assert steps[place : place + 3] == [
        ("PlanRoot", "root-2"),
        ("MakeRoot", "root-2"),
        ("UseRoot", "root-2"),
    ]
    assert {step for step, _ in steps[:place]} == {"Plan", "Mint", "MarkTrusted"}


@pytest.mark.parametrize("known", [resting, ordered])
@pytest.mark.parametrize("mode", TrustMode)
def test_what_is_foreseen_is_what_the_plan_asks_for(mode: TrustMode, known: Journal) -> None:
    known = replace(known, trust_mode=mode)
    until = at(5) + DEMO.root_period + 4 * DEMO.ca.period
    for taken in steps_ahead(known, NOBODY, at(5), DEMO, SilencePolicy.QUORUM, until=until):
        step = plan_roots(taken.before, followed(NOBODY, taken.before), taken.at, DEMO)

        if "Root" in type(taken.step).__name__:
            assert step == taken.step
        else:
            assert step is None or isinstance(step, Hold)


@pytest.mark.parametrize("mode", TrustMode)
def test_every_effect_is_said_without_a_gap(mode: TrustMode) -> None:
    steps = forecast_roots(journal(SIGNING, mode=mode), NOBODY, at(5), DEMO)

    assert all(step.effect and "{" not in step.effect for step in steps)
    use = next(step for step in steps if step.step == "UseRoot")
    assert ("acknowledged" in use.effect) == (mode is TrustMode.CHAIN)
    assert "instead of root" in use.effect


def test_before_a_root_is_known_nothing_is_foreseen_about_roots() -> None:
    assert told(replace(resting, roots=NO_ROOTS), 5) == []
    assert told(Journal(), 5) == []


def test_no_issuer_is_foreseen_to_outlive_its_root() -> None:
    ending = root("root", S.SIGNING, life_s=3 * PERIOD_S)
    planned = make_issuer(IssuerState.PLANNED, 1)
    known = replace(
        make_journal(make_issuer(IssuerState.ACTIVE), planned),
        roots=Roots((ending,), made=1),
    )
    ahead = steps_ahead(known, NOBODY, at(1), DEMO, SilencePolicy.QUORUM, until=at(2))

    made = next(taken for taken in ahead if isinstance(taken.step, Mint))

    assert made.after.issuer(planned.name).not_after == ending.not_after
