"""The picture of an issuer's life is drawn from the table, and says all of it."""

from itertools import combinations
from math import dist

from scripts import gen_states
from services.metadata.domain.issuers import LEGAL, IssuerState, Move


def test_the_picture_is_current() -> None:
    assert gen_states.PAGE.read_text() == gen_states.render(), "run `just generate`"


def test_the_picture_has_every_state_and_every_move() -> None:
    picture = gen_states.render()

    assert picture.count('font-weight="bold"') == len(IssuerState)
    assert picture.count('fill="none"') == len(LEGAL)
    assert all(f"{m.before.name} to {m.after.name}" in picture for m in LEGAL)


LABEL_RADIUS = 9.0
STEPS = 60


def place_of_number(move: Move) -> gen_states.Point:
    """Return where the number of ``move`` is written."""
    return gen_states.along(*gen_states.course(move), share=gen_states.route_of(move).label)


def course_of(move: Move) -> list[gen_states.Point]:
    """Return points of the arrow, close enough for a number not to fit between two."""
    line = gen_states.course(move)
    return [gen_states.along(*line, share=step / STEPS) for step in range(STEPS + 1)]


def test_no_number_lies_on_another_or_on_an_arrow_that_is_not_its_own() -> None:
    for one, two in combinations(LEGAL, 2):
        apart = dist(place_of_number(one), place_of_number(two))
        assert apart > 2 * LABEL_RADIUS, f"the numbers of {one} and {two} need a route"
        for mine, other in ((one, two), (two, one)):
            near = min(dist(place_of_number(mine), point) for point in course_of(other))
            assert near > LABEL_RADIUS, f"the number of {mine} lies on the arrow of {other}"


def test_no_arrow_runs_through_a_box_that_is_not_its_own() -> None:
    for move in LEGAL:
        foreign = [s for s in IssuerState if s not in {move.before, move.after}]
        hit = [s for s in foreign for p in course_of(move) if gen_states.is_inside(p, s)]
        assert not hit, f"{move} runs through {set(hit)} and needs a route"


def test_no_line_of_the_legend_runs_into_the_next_column() -> None:
    widest = max(len(f"20. {m.before.name} to {m.after.name}: {m.why}") for m in LEGAL)

    # Seven units hold the average letter of the widest usual font at this size.
    assert widest * 7 < gen_states.COLUMN
