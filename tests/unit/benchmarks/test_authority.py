"""Rights to measure, and what is made of the answers of the process that measures."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from authority_bench.shapes import made_up, shipped
from benchmarks.authority_order import IDLE, ISSUE, AuthorityOrder
from benchmarks.authority_report import AuthorityReport, ShapeFigure, judge, shape_figure
from benchmarks.machine import Machine
from console.bench_authority_display import authority_tables
from svc_core.domain.acl_diff import diff_acls
from svc_core.domain.identity import GATEKEEPER

MANIFEST = Path(__file__).parents[3] / "deploy" / "acl.yaml"
ORDER = AuthorityOrder("https://localhost", "ca", "role", "secret", "acl")


def answer(**issue: Any) -> dict[str, Any]:
    quiet = {"ms": [300.0], "cpu_ms": 1.0, "lag_ms": 0.5, "turn_ms": 0.1}
    busy = {"ms": [10.0, 30.0, 20.0], "cpu_ms": 4.0, "lag_ms": 2.0, "turn_ms": 1.0}
    sizes = {"bundle": [7, 1, 3], "none": []}
    return {"steps": {ISSUE: busy | issue, IDLE: quiet}, "sizes": sizes}


def figure(*rounds: dict[str, Any], memory: dict[str, Any] | None = None) -> ShapeFigure:
    known = {"before": {"now": 1024}, "after": {"now": 2048, "peak": 4096}}
    return shape_figure("some shape", rounds or (answer(),), memory or known)


@pytest.mark.parametrize(("topics", "services", "consumers"), [(9, 3, 2), (40, 8, 2), (10, 10, 1)])
def test_every_topic_has_one_producer_and_its_consumers(
    topics: int, services: int, consumers: int
) -> None:
    acl = made_up(topics=topics, services=services, consumers=consumers).acl

    consumed = {t: {s for s, p in acl.services.items() if t in p.subscribe} for t in acl.topics}
    assert (len(acl.topics), len(acl.services)) == (topics, services)
    assert {len(acl.producers(topic)) for topic in acl.topics} == {1}
    assert {len(who) for who in consumed.values()} == {consumers}
    assert not any(acl.producers(topic) & who for topic, who in consumed.items())


def test_what_a_service_consumes_comes_from_as_many_as_can_be() -> None:
    acl = made_up(topics=100, services=10, consumers=2).acl

    for service, permissions in acl.services.items():
        producers = frozenset().union(*(acl.producers(t) for t in permissions.subscribe))
        assert producers == acl.services.keys() - {service}


def test_the_other_manifest_takes_a_right_from_every_service() -> None:
    shape = made_up(topics=40, services=8, consumers=2)

    diff = diff_acls(shape.acl, shape.changed)

    assert (diff.granted, len(diff.withdrawn)) == ((), 8)
    assert {right.service for right in diff.withdrawn} == shape.known


def test_the_shipped_manifest_loses_what_gatekeeper_consumes() -> None:
    shape = shipped(MANIFEST.read_bytes())

    diff = diff_acls(shape.acl, shape.changed)

    assert diff.granted == ()
    assert {right.service for right in diff.withdrawn} == {GATEKEEPER}


@pytest.mark.parametrize(("topics", "services", "consumers"), [(3, 4, 1), (9, 3, 3)])
def test_a_shape_that_cannot_be_is_refused(topics: int, services: int, consumers: int) -> None:
    with pytest.raises(ValueError, match="every service needs a topic"):
        made_up(topics=topics, services=services, consumers=consumers)


def test_figures_are_medians_over_the_epochs() -> None:
    step = figure(answer(turn_ms=1.0), answer(turn_ms=9.0), answer(ms=[40.0], turn_ms=2.0)).step(
        ISSUE
    )

    assert (step.count, step.each.most, step.median.median) == (3, 40.0, 20.0)
    assert (step.turn.median, step.turn.most, step.cpu.median) == (2.0, 9.0, 4.0)
    assert step.rate == 50.0


def test_sizes_and_memory_are_those_of_the_last_epoch() -> None:
    shape = figure()

    assert [(s.what, s.count, s.least, s.median, s.most) for s in shape.sizes] == [
        ("bundle", 3, 1, 3, 7)
    ]
    assert (shape.memory.before, shape.memory.now, shape.memory.peak) == (1.0, 2.0, 4.0)
    assert figure(memory={"before": {}, "after": {}}).memory.now == 0


@pytest.mark.parametrize(("each_ms", "is_met"), [(1000.0, True), (1000.1, False)])
def test_an_epoch_may_take_a_second(each_ms: float, *, is_met: bool) -> None:
    shape = figure(answer(ms=[each_ms]))

    assert judge(shape, [shape])[0].is_met == is_met


@pytest.mark.parametrize(("turn_ms", "is_met"), [(5.0, True), (5.1, False)])
def test_every_shape_may_hold_the_loop_for_five_milliseconds(
    turn_ms: float, *, is_met: bool
) -> None:
    slow = figure(answer(turn_ms=turn_ms))

    targets = judge(figure(), [figure(), slow])

    assert [target.is_met for target in targets] == [True, True, is_met]
    assert ISSUE in targets[2].measured


def test_a_step_that_was_not_measured_has_no_figure() -> None:
    with pytest.raises(KeyError):
        figure().step("something else")
    with pytest.raises(ValueError, match="never done"):
        figure(answer(ms=[]))


def test_an_order_says_what_it_measures() -> None:
    assert ORDER.shape == "the shipped manifest"


def test_each_finding_has_its_row() -> None:
    shape = figure()
    machine = Machine("Some CPU", (0, 1), (0.5, 0.25, 0.125), "Linux 6")
    report = AuthorityReport(machine, {"python": "3"}, 1, (shape, figure()), judge(shape, [shape]))
    console = Console(width=140)
    with console.capture() as captured:
        console.print(authority_tables(report))

    lines = [" ".join(line.split()) for line in captured.get().splitlines()]

    row = f"{ISSUE} 3 20.0 ± 0.0 29.8 30.0 4.0 ± 0.0 1.0 ± 0.0 2.0 ± 0.0"
    assert row in lines
    assert f"{row} 1.0" in lines
    assert "bundle 3 1 3 7" in lines
    assert f"{ISSUE}, some shape <= 1000 ms 20 ms (20 - 20) met" in lines
    assert report.as_document()["shapes"][0]["steps"][0]["step"] == ISSUE
