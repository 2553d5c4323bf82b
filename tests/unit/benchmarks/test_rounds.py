"""Slices take turns, and ratios are formed within a repeat."""

import pytest

from benchmarks.rounds import Plan, Samples, Slice, Turn, together, turns


def sampled(**rates: list[float]) -> Samples:
    """Return one slice of a second per repeat and case."""
    samples = Samples()
    for case, by_repeat in rates.items():
        for repeat, rate in enumerate(by_repeat):
            samples.add(Turn(repeat, case), Slice(int(rate), 1.0, 1.0, 0.5))
    return samples


def test_cases_take_turns_slice_by_slice() -> None:
    order = [(turn.repeat, turn.case) for turn in turns(Plan(1.0, 2, 0.5), ["a", "b"])]

    once = ["a", "b", "a", "b"]
    assert order == [(0, case) for case in once] + [(1, case) for case in once]


@pytest.mark.parametrize(
    ("seconds", "slice_s", "slices", "slice_seconds"),
    [(1.0, 0.25, 4, 0.25), (1.0, 0.3, 4, 0.25), (0.1, 0.25, 1, 0.1), (0.3, 0.1, 3, 0.1)],
)
def test_the_time_of_a_case_is_cut_into_equal_slices(
    seconds: float, slice_s: float, slices: int, slice_seconds: float
) -> None:
    plan = Plan(seconds, 1, slice_s)

    assert plan.slices == slices
    assert plan.slice_seconds == pytest.approx(slice_seconds)


@pytest.mark.parametrize("plan", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1)])
def test_a_plan_without_time_is_refused(plan: tuple[float, int, float]) -> None:
    with pytest.raises(ValueError, match="needs time"):
        Plan(*plan)


def test_slices_of_a_repeat_add_up() -> None:
    samples = Samples()
    for count, seconds in ((10, 1.0), (50, 2.0)):
        samples.add(Turn(0, "a"), Slice(count, seconds, seconds, seconds))

    assert samples.rates("a") == [20.0]


def test_a_ratio_does_not_see_a_machine_that_slows_down_between_repeats() -> None:
    samples = sampled(ours=[100, 50, 25], bare=[200, 100, 50])

    ratio = samples.ratio("ours", "bare")

    assert (ratio.least, ratio.most) == (0.5, 0.5)
    assert samples.rate("ours").median == 50


def test_the_share_of_the_floor_is_a_share_of_time() -> None:
    samples = sampled(seal=[100], open=[500], sign=[125], verify=[1000])

    share = samples.round_trip_share(("seal", "open"), ("sign", "verify"))

    assert share.median == pytest.approx((1 / 125 + 1 / 1000) / (1 / 100 + 1 / 500))


def test_what_takes_as_long_as_its_parts_has_the_ratio_one() -> None:
    samples = sampled(whole=[50, 40], one=[100, 100], two=[100, 100])

    ratio = samples.ratio_to_sum("whole", ["one", "two"])

    assert ratio.most == pytest.approx(1.0)
    assert ratio.least == pytest.approx(0.8)


def test_a_case_that_was_not_measured_is_an_error() -> None:
    with pytest.raises(KeyError):
        sampled(a=[1]).rates("b")


def test_what_runs_at_the_same_time_adds_up_in_count_and_processors() -> None:
    both = together([Slice(100, 1.0, 1.0, 0.9), Slice(120, 1.2, 1.2, 1.1)])

    assert both.rate == pytest.approx(200)
    assert both.busy == pytest.approx(2.0 / 1.1)


def test_processor_time_leaves_out_what_others_took() -> None:
    disturbed = Slice(100, 2.0, 2.0, 1.0)

    assert disturbed.rate == 50
    assert disturbed.by_cpu().rate == 100
    assert disturbed.by_cpu().busy == disturbed.busy == 0.5


def test_how_many_processors_were_busy_is_kept_per_case() -> None:
    assert sampled(a=[1, 2, 3]).busy("a").median == 0.5
