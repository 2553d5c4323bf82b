"""The harness: what is ordered strikes where it was ordered, and every point has its turn."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.crash_points import BY_LABEL, POINTS, Phase, When
from tests.chaos.root_verdicts import root_history_of
from tests.chaos.selection import selected
from tests.chaos.trap import Trap, arm, disarm, outstanding, strikes
from tests.chaos.verdicts import history_of
from tests.chaos.waves import all_waves, root_waves, sampled_wave

STORED = "write secret/data/transport/keys/7"
BEFORE, AFTER = "metadata keys.store before", "metadata keys.store after"
START = "metadata start before"


class DiedError(Exception):
    """In place of SIGKILL."""


def die(number: int) -> None:
    raise DiedError(number)


def test_every_label_is_one_point() -> None:
    assert len(BY_LABEL) == len(POINTS) >= 40
    assert {point.service for point in POINTS} == {
        "metadata",
        "watcher",
        "gatekeeper",
        "authcontroller",
    }


def test_the_waves_strike_at_every_point_once_and_again() -> None:
    ordered = Counter(label for wave in [*all_waves(), *root_waves()] for label in wave.labels)

    elsewhere = [point for point in POINTS if point.phase is not Phase.START]
    assert {p.label for p in elsewhere if ordered[p.label] != (3 if p.recurs else 2)} == set()
    assert {p.label for p in POINTS if ordered[p.label] == 0} == set()


def test_a_seed_draws_the_same_six_points_every_time() -> None:
    assert sampled_wave(7) == sampled_wave(7)
    assert len(sampled_wave(7).labels) == 6
    assert len({tuple(sampled_wave(seed).labels) for seed in range(20)}) > 10


def test_a_selection_repeats_and_keeps_the_order() -> None:
    cases = list(range(100))

    few = selected(cases, 6, every=False, seed=1)

    assert few == sorted(few)
    assert few == selected(cases, 6, every=False, seed=1) != selected(cases, 6, every=False, seed=2)
    assert selected(cases, 6, every=True, seed=1) == cases


def test_a_lane_strikes_in_its_order_and_each_order_once(tmp_path: Path) -> None:
    trap = Trap(tmp_path, die)
    arm(tmp_path, [[AFTER, BEFORE]])

    trap.consider(STORED, When.BEFORE)
    with pytest.raises(DiedError):
        trap.consider(STORED, When.AFTER)
    with pytest.raises(DiedError):
        trap.consider(STORED, When.BEFORE)
    trap.consider(STORED, When.BEFORE)

    assert [strike.label for strike in strikes(tmp_path)] == [AFTER, BEFORE]
    assert outstanding(tmp_path) == []


def test_what_was_not_written_down_is_outstanding(tmp_path: Path) -> None:
    trap = Trap(tmp_path, die)
    arm(tmp_path, [[AFTER]])
    (tmp_path / "crashes").mkdir()

    with pytest.raises(IsADirectoryError):
        trap.consider(STORED, When.AFTER)

    assert outstanding(tmp_path) == [AFTER]


def test_lanes_do_not_wait_for_each_other(tmp_path: Path) -> None:
    trap = Trap(tmp_path, die)
    arm(tmp_path, [[AFTER], [START]])

    with pytest.raises(DiedError, match=str(int(signal.SIGKILL))):
        trap.consider("start", When.BEFORE)

    assert outstanding(tmp_path) == [AFTER]


def test_a_process_can_be_frozen_instead(tmp_path: Path) -> None:
    trap = Trap(tmp_path, die)
    arm(tmp_path, [[START]], signal.SIGSTOP)

    with pytest.raises(DiedError, match=str(int(signal.SIGSTOP))):
        trap.consider("start", When.BEFORE)


def test_what_is_taken_back_does_not_strike(tmp_path: Path) -> None:
    trap = Trap(tmp_path, die)
    arm(tmp_path, [[START]])
    disarm(tmp_path)

    trap.consider("start", When.BEFORE)

    assert strikes(tmp_path) == []


def test_an_unknown_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        arm(tmp_path, [["metadata no.such before"]])


def step(number: int, kind: str, name: str, **facts: str) -> dict[str, Any]:
    return {
        "number": number,
        "kind": kind,
        "subject": name,
        "facts": facts,
        "by": "metadata-1",
        "took_effect": True,
    }


def test_a_whole_life_is_legal_and_a_skipped_state_is_not() -> None:
    life = [
        step(1, "issuer.planned", "ca-1-1"),
        step(2, "issuer.staged", "ca-1-1"),
        step(3, "issuer.trusted", "ca-1-1"),
        step(4, "issuer.activated", "ca-1-1"),
        step(5, "issuer.planned", "ca-2-1"),
        step(6, "issuer.staged", "ca-2-1"),
        step(7, "issuer.activated", "ca-2-1", former="ca-1-1"),
        step(8, "issuer.drained", "ca-1-1"),
        step(9, "issuer.retired", "ca-1-1"),
        step(10, "issuer.removed", "ca-1-1"),
    ]

    assert history_of(life).illegal == []
    assert history_of(life).activated == ["ca-1-1", "ca-2-1"]
    for missing in (1, 2, 6, 9):
        left = [entry for entry in life if entry["number"] != missing]
        assert history_of(left).illegal, missing


def test_a_roots_whole_life_is_legal_and_a_skipped_state_is_not() -> None:
    life = [
        step(1, "root.adopted", "root"),
        step(2, "root.planned", "root-2"),
        step(3, "root.staged", "root-2"),
        step(4, "root.activated", "root-2", former="root"),
        step(5, "root.retired", "root"),
        step(6, "root.removed", "root"),
    ]

    assert root_history_of(life).illegal == []
    assert root_history_of(life).activated == ["root-2"]
    assert root_history_of(life).removed == ["root"]
    for missing in (1, 2, 3, 4, 5):
        left = [entry for entry in life if entry["number"] != missing]
        assert root_history_of(left).illegal, missing
