"""Targets of a swap are met or missed by what was found, and people can read which."""

from typing import Any

import pytest
from rich.console import Console

from benchmarks.machine import Machine
from benchmarks.swap_place import Way
from benchmarks.swap_report import SwapPlan, SwapReport, judge, way_figure
from console.bench_swap_display import swap_tables

LATENCY = {"p50": 4.0, "p99": 20.0, "p999": 30.0, "most": 40.0}


def window(*, is_swap: bool, gap_ms: float) -> dict[str, Any]:
    return {
        "is_swap": is_swap,
        "seconds": 1.0,
        "handled": 2000,
        "gap_ms": gap_ms,
        "ack_gap_ms": 10.0,
        "p50_ms": 4.0,
        "p99_ms": 20.0,
    }


def answer(**changes: object) -> dict[str, Any]:
    gaps = [(True, 12.0), (False, 10.0), (True, 15.0), (False, 10.0), (True, 249.0), (False, 60.0)]
    windows = [window(is_swap=is_swap, gap_ms=gap) for is_swap, gap in gaps]
    found = {
        "windows": windows,
        "swapped": {**LATENCY, "p99": 24.0},
        "quiet": LATENCY,
        "sent": 12_000,
        "lost": 0,
        "doubled": 0,
        "redelivered": 1,
        "failed": 0,
        "repeated": 3,
    }
    return {**found, **changes}


def verdicts(found: dict[str, Any]) -> list[bool]:
    return [target.is_met for target in judge(way_figure(Way.SWAP, found, [0.2]))]


def test_what_is_at_the_limit_is_met() -> None:
    assert verdicts(answer()) == [True] * 5


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        pytest.param({"lost": 1}, {0}, id="lost"),
        pytest.param({"failed": 1}, {0}, id="given up"),
        pytest.param({"doubled": 1}, {1}, id="doubled"),
        pytest.param({"swapped": {**LATENCY, "p99": 24.1}}, {4}, id="late"),
        pytest.param({"swapped": None}, {4}, id="nothing"),
        pytest.param(
            {
                "windows": [
                    window(is_swap=is_swap, gap_ms=gap)
                    for is_swap, gap in [(True, 15.1), (False, 10), (True, 15.1), (False, 10)]
                ]
            },
            {2},
            id="gaps",
        ),
        pytest.param(
            {
                "windows": [
                    window(is_swap=is_swap, gap_ms=gap)
                    for is_swap, gap in [(True, 9), (False, 10), (True, 9), (False, 1), (True, 251)]
                ]
            },
            {2, 3},
            id="one long gap",
        ),
    ],
)
def test_what_is_beyond_its_limit_is_missed(changes: dict[str, Any], missed: set[int]) -> None:
    found = verdicts(answer(**changes))

    assert {n for n, is_met in enumerate(found) if not is_met} == missed


def report() -> SwapReport:
    figure = way_figure(Way.SWAP, answer(), [0.2, 0.3, 0.4])
    return SwapReport(
        machine=Machine("Some CPU", (0, 1), (0.5, 0.25, 0.125), "Linux 6"),
        versions={"python": "3.11.7"},
        plan=SwapPlan(3, 2000.0, 1.0, (Way.SWAP,)),
        ways=(figure,),
        targets=judge(figure),
    )


@pytest.mark.parametrize(
    "row",
    [
        "Some CPU, 2 usable cores, load 0.50 0.25 0.12 before; Linux 6",
        "3 swaps of certificates and trust, 2000 messages per second, windows of at least 1 s",
        "swap 3 15.0 ± 94.8 249.0 10.0 ± 0.0 4.0 24.0 30.0 1.50 1.20",
        "without 3 10.0 ± 20.0 60.0 10.0 ± 0.0 4.0 20.0 30.0",
        "swap 12,000 0 0 1 0 3 300.0 ± 80.0",
        "messages lost or given up 0 0 met",
    ],
)
def test_each_finding_has_its_row(row: str) -> None:
    console = Console(width=140)
    with console.capture() as captured:
        console.print(swap_tables(report()))

    assert row in [" ".join(line.split()) for line in captured.get().splitlines()]


def test_the_document_holds_what_the_tables_hold() -> None:
    document = report().as_document()

    assert document["benchmark"] == "swap"
    assert document["ways"][0]["gap_ratio"] == 1.5
    assert document["ways"][0]["p99_ratio"] == 1.2
    assert document["ways"][0]["swapped"]["gap"]["median"] == 15.0
    assert [target["is_met"] for target in document["targets"]] == [True] * 5
