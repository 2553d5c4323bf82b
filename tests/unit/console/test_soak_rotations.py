"""Over which boundaries a soak goes, and what speaks against one."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from console.soak_outcome import RotationsOptions, RotationsOutcome, Sampling
from console.soak_refusals import Refusals
from console.soak_rotations import PROFILE, order_over
from console.soak_trends import trends
from devstack.light_crowd import LightCounts
from svc_core.domain.profiles import PROFILES
from svc_core.domain.traffic import count_traffic
from svc_core.domain.verdict import Circumstances, RotationFacts, Verdict, judge, planned_ca_epochs

SOAK = PROFILES[PROFILE]
NOTHING_REFUSED = Refusals({"n1": 0}, {"n1": 3}, {}, {"metadata": 0}, {}, ())
ROTATIONS = 40


@pytest.mark.parametrize("rotations", [1, 2, 100])
def test_a_load_spans_as_many_boundaries_as_asked(rotations: int) -> None:
    order = order_over(rotations, 100.0, SOAK)

    epochs = planned_ca_epochs(order, SOAK)
    assert len(epochs) == rotations
    assert order.ends_at == SOAK.ca.starts(SOAK.ca.current(order.ends_at)) + SOAK.ca.period / 2


def test_the_first_rotation_is_under_load_from_its_lead_on() -> None:
    order = order_over(1, 100.0, SOAK)

    first = order.ends_at - SOAK.ca.period / 2
    assert first - order.starts_at > SOAK.ca.lead
    assert first - order.starts_at <= SOAK.ca.period + SOAK.ca.lead + timedelta(seconds=1)


def good_verdict() -> Verdict:
    order = order_over(1, 1.0, SOAK)
    nothing = count_traffic((), order=order)
    facts = RotationFacts(frozenset(planned_ca_epochs(order, SOAK)), ())
    verdict = judge(nothing, facts, order, Circumstances(SOAK, {}))
    return replace(verdict, sent=verdict.offered, answered=verdict.offered, planned_key_rotations=0)


def outcome(**changes: Any) -> RotationsOutcome:
    figures: list[Mapping[str, float]] = [{"issuers/pki": 1.0 + n % 2} for n in range(ROTATIONS)]
    sampling = Sampling(list(range(ROTATIONS)), figures)
    good = RotationsOutcome(
        RotationsOptions(Path("var"), ROTATIONS, 100, 100.0),
        good_verdict(),
        dict.fromkeys(range(ROTATIONS), 1500.0),
        LightCounts(100, connected=100, swaps=4000),
        NOTHING_REFUSED,
        sampling,
        trends(figures),
    )
    return replace(good, **changes)


def test_nothing_speaks_against_a_run_in_which_everything_held() -> None:
    found = outcome()

    assert found.reasons == ()
    document = found.as_document()
    assert (document["good"], document["growth_judged"]) == (True, True)
    assert document["end_to_end_ms"] == {
        "p50": 1500.0,
        "p95": 1500.0,
        "max": 1500.0,
        "by_epoch": {str(epoch): 1500.0 for epoch in range(ROTATIONS)},
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(
            {"end_to_end_ms": {e: 2600.0 if e < 3 else 900.0 for e in range(ROTATIONS)}},
            "95 of 100 rotations took up to 2600.0 ms; 2000 ms are allowed",
            id="slow",
        ),
        pytest.param({"end_to_end_ms": {}}, "95 of 100", id="none complete"),
        pytest.param(
            {"refusals": replace(NOTHING_REFUSED, servers={"n1": 1})},
            "1 handshakes or connections failed",
            id="a handshake",
        ),
        pytest.param(
            {"refusals": replace(NOTHING_REFUSED, admin={"watcher": 2})},
            "2 handshakes or connections failed",
            id="at an admin listener",
        ),
        pytest.param(
            {"light": LightCounts(100, connected=99)},
            "only 99 of 100 light clients are connected",
            id="one left",
        ),
        pytest.param(
            {"light": LightCounts(100, connected=100, losses=1)},
            "light clients lost 1 connections",
            id="one lost",
        ),
        pytest.param({"light": None}, "never said how they are", id="no light clients"),
        pytest.param(
            {"verdict": replace(good_verdict(), restarts=1)}, "1 processes died", id="a death"
        ),
        pytest.param(
            {"verdict": replace(good_verdict(), lost=3)}, "3 acknowledged messages", id="loss"
        ),
        pytest.param(
            {"trends": trends([{"keys/pki": float(n)} for n in range(ROTATIONS)])},
            "keys/pki grew by 29",
            id="growth",
        ),
        pytest.param(
            {"sampling": Sampling(missed=["epoch 3: no answer"])},
            "1 samples are missing",
            id="not looked at",
        ),
    ],
)
def test_what_did_not_hold_is_said(changes: dict[str, Any], reason: str) -> None:
    found = outcome(**changes)

    assert len(found.reasons) == 1
    assert reason in found.reasons[0]
    assert found.as_document()["good"] is False


def test_a_run_without_light_clients_asks_for_none() -> None:
    options = RotationsOptions(Path("var"), ROTATIONS, 0, 100.0)

    assert outcome(options=options, light=None).reasons == ()
