"""Windows, gaps, latencies and losses, from times that are written down here."""

import math

import pytest

from benchmarks.swap_flow import Flow, latencies_ms, pooled, windows_of


def flow_of(*messages: tuple[float, float | None, float | None]) -> Flow:
    """Return a flow of (due, acknowledged, handled)."""
    flow = Flow()
    for due, acked, handled in messages:
        number = flow.begin(due)
        if acked is not None:
            flow.ack(number, acked)
        if handled is not None:
            flow.handle(number, handled, place=number + 1)
    return flow


def test_what_was_acknowledged_and_never_handled_is_lost() -> None:
    flow = flow_of((0, 1, 1), (0, 1, None), (0, None, None), (0, None, 1))

    assert (flow.lost, flow.doubled) == (1, 0)


def test_what_is_stored_twice_is_doubled_and_what_comes_again_is_redelivered() -> None:
    flow = flow_of((0, 1, 1))
    flow.handle(0, 5, place=1)
    assert (flow.doubled, flow.redelivered) == (0, 1)

    flow.handle(0, 6, place=2)

    assert (flow.doubled, flow.redelivered, flow.handled[0]) == (1, 1, 1)


def test_a_gap_counts_in_the_window_in_which_it_began() -> None:
    steady = [(t / 10, t / 10, t / 10) for t in range(30)]
    flow = flow_of(*(m for m in steady if not 0.85 < m[2] < 1.35))

    swap, quiet = windows_of(flow, [0.0, 1.0, 2.0])

    assert (swap.is_swap, quiet.is_swap) == (True, False)
    assert swap.gap_ms == pytest.approx(600)
    assert quiet.gap_ms == pytest.approx(100)
    assert swap.ack_gap_ms == pytest.approx(600)
    assert (swap.handled, quiet.handled) == (9, 6)


def test_a_window_without_a_message_is_one_gap() -> None:
    (window,) = windows_of(flow_of((0.5, None, None)), [0.0, 2.0])

    assert window.gap_ms == 2000
    assert math.isnan(window.p99_ms)


def test_latency_counts_from_due_and_for_the_window_it_was_due_in() -> None:
    flow = flow_of((0.1, 0.1, 0.2), (0.9, 1.1, 1.4), (1.5, 1.5, 1.55), (1.6, None, None))

    found = latencies_ms(flow, [0.0, 1.0, 2.0])

    assert found[0] == pytest.approx([100, 500])
    assert found[1] == pytest.approx([50])


def test_what_was_due_before_the_first_or_after_the_last_mark_counts_for_no_window() -> None:
    flow = flow_of((0.5, 0.5, 0.6), (1.5, 1.5, 1.6), (2.5, 2.5, 2.6))

    assert latencies_ms(flow, [1.0, 2.0]) == [[pytest.approx(100)]]


def test_windows_with_a_swap_are_pooled_apart_from_those_without() -> None:
    latencies = [[1.0], [10.0], [3.0], [30.0]]

    swapped, quiet = pooled(latencies, swap=True), pooled(latencies, swap=False)

    assert swapped is not None
    assert quiet is not None
    assert (swapped.p50, quiet.p50) == (2.0, 20.0)
    assert pooled([], swap=True) is None
