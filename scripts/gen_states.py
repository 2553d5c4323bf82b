"""Draw docs/pictures/issuer-states.svg: the life of an issuer, from the table of legal moves."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from math import hypot
from typing import Final

from scripts.generated_page import ROOT, run
from services.metadata.domain.issuers import LEGAL, REMOVABLE, IssuerState, Move

PAGE: Final = ROOT / "docs" / "pictures" / "issuer-states.svg"

_S = IssuerState
_PLACES: Final[Mapping[IssuerState, tuple[int, int]]] = {
    _S.PLANNED: (110, 70),
    _S.STAGED: (110, 210),
    _S.TRUSTED: (110, 350),
    _S.ACTIVE: (500, 350),
    _S.DRAINING: (890, 350),
    _S.DRAINED: (890, 210),
    _S.RETIRED: (890, 70),
    _S.TAINTED: (500, 210),
    _S.WITHDRAWN: (500, 70),
}
"""Where the middle of each box is; a state without a place cannot be drawn, which is an error."""
_WIDTH: Final = 120
_HEIGHT: Final = 40
_TIP: Final = 9

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Route:
    """How an arrow runs where the straight one between two middles would not be readable."""

    leaves: Point | None = None
    """Where it begins, from the middle of its first box; None: where a straight one does."""
    arrives: Point | None = None
    """Where it ends, from the middle of its last box."""
    bend: Point = (0, 0)
    """How far its middle is moved from the straight line."""
    label: float = 0.5
    """Where its number is, as a share of the way."""


_STRAIGHT: Final = Route()
_ROUTES: Final[Mapping[tuple[IssuerState, IssuerState], Route]] = {
    (_S.STAGED, _S.ACTIVE): Route((50, 20), (-60, -12), label=0.75),
    (_S.STAGED, _S.WITHDRAWN): Route((45, -20), (-60, 10)),
    (_S.STAGED, _S.TAINTED): Route(label=0.25),
    (_S.TRUSTED, _S.WITHDRAWN): Route((30, -20), (-25, 20), label=0.72),
    (_S.TRUSTED, _S.TAINTED): Route((60, -12), (-50, 20), label=0.75),
    (_S.ACTIVE, _S.DRAINING): Route((60, 2), (-60, 2)),
    (_S.DRAINING, _S.ACTIVE): Route((-60, 14), (60, 14), bend=(0, 18)),
    (_S.DRAINING, _S.WITHDRAWN): Route((-30, -20), (25, 20), label=0.72),
    (_S.DRAINING, _S.RETIRED): Route((60, -5), (60, 5), bend=(45, 0)),
    (_S.DRAINING, _S.TAINTED): Route((-60, -12), (50, 20), label=0.75),
    (_S.DRAINED, _S.ACTIVE): Route((-50, 20), (60, -12), label=0.75),
    (_S.DRAINED, _S.TAINTED): Route(label=0.25),
}
_COLOURS: Final = {"ended": "#e2e8f0", "active": "#dcfce7", "tainted": "#fee2e2", "": "#e0e7ff"}
_HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1040 {height}" \
font-family="Helvetica, Arial, sans-serif" font-size="12" role="img" aria-labelledby="title">
  <title id="title">The life of an issuer: its states and every legal move</title>
  <rect width="1040" height="{height}" rx="12" fill="#ffffff"/>
"""
_LEGEND_TOP: Final = 430
COLUMN: Final = 500
"""Width of one column of the legend."""
_LEGEND_LEFT: Final = (40, 40 + COLUMN)
_LINE: Final = 20


def render() -> str:
    """Return the whole picture: boxes, numbered arrows, and what each number means."""
    rows = (len(LEGAL) + 1) // 2
    parts = [_HEAD.format(height=_LEGEND_TOP + rows * _LINE + 20)]
    parts += [_arrow(number, move) for number, move in enumerate(LEGAL, 1)]
    parts += [_box(state) for state in IssuerState]
    parts += _legend()
    return "".join(parts) + "</svg>\n"


def _box(state: IssuerState) -> str:
    x, y = _PLACES[state]
    left, top = x - _WIDTH // 2, y - _HEIGHT // 2
    colour = _COLOURS[_kind(state)]
    return (
        f'  <rect x="{left}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" rx="8" '
        f'fill="{colour}" stroke="#334155" stroke-width="1.6"/>\n'
        f'  <text x="{x}" y="{y + 5}" text-anchor="middle" font-size="14" font-weight="bold" '
        f'fill="#0f172a">{state.name}</text>\n'
    )


def _kind(state: IssuerState) -> str:
    if state in REMOVABLE:
        return "ended"
    return state.value if state in {IssuerState.ACTIVE, IssuerState.TAINTED} else ""


def _arrow(number: int, move: Move) -> str:
    first, control, last = course(move)
    x, y = along(first, control, last, share=route_of(move).label)
    return (
        f'  <path d="M{_at(first)}Q{_at(control)} {_at(last)}" fill="none" stroke="#475569" '
        f'stroke-width="1.4"/>\n'
        f'  <path d="{_tip(control, last)}" fill="#475569"/>\n'
        f'  <circle cx="{x:.0f}" cy="{y:.0f}" r="9" fill="#ffffff"/>\n'
        f'  <text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle" fill="#475569">{number}</text>\n'
    )


def route_of(move: Move) -> Route:
    """Return how the arrow of ``move`` runs."""
    return _ROUTES.get((move.before, move.after), _STRAIGHT)


def is_inside(point: Point, state: IssuerState) -> bool:
    """Say whether ``point`` lies in the box of ``state``."""
    x, y = _PLACES[state]
    return abs(point[0] - x) < _WIDTH / 2 and abs(point[1] - y) < _HEIGHT / 2


def course(move: Move) -> tuple[Point, Point, Point]:
    """Return start, control point and end of the curve that stands for ``move``."""
    route = route_of(move)
    start, end = _PLACES[move.before], _PLACES[move.after]
    first = _moved(start, route.leaves) if route.leaves else _edge(start, end)
    last = _moved(end, route.arrives) if route.arrives else _edge(end, start)
    middle = ((first[0] + last[0]) / 2, (first[1] + last[1]) / 2)
    # A quadratic curve passes half as far from the chord as its control point lies.
    return first, (middle[0] + 2 * route.bend[0], middle[1] + 2 * route.bend[1]), last


def along(first: Point, control: Point, last: Point, *, share: float) -> Point:
    """Return the point of the quadratic curve at ``share`` of its way."""
    one, two = _between(first, control, share), _between(control, last, share)
    return _between(one, two, share)


def _between(one: Point, two: Point, share: float) -> Point:
    return one[0] + (two[0] - one[0]) * share, one[1] + (two[1] - one[1]) * share


def _tip(control: Point, last: Point) -> str:
    """Return the path of an arrow's tip; markers are turned by some viewers only."""
    length = hypot(last[0] - control[0], last[1] - control[1])
    ahead = ((last[0] - control[0]) / length, (last[1] - control[1]) / length)
    foot = _moved(last, (-_TIP * ahead[0], -_TIP * ahead[1]))
    aside = (-ahead[1] * _TIP / 2, ahead[0] * _TIP / 2)
    corners = (_moved(foot, aside), last, _moved(foot, (-aside[0], -aside[1])))
    return f"M{'L'.join(map(_at, corners))}z"


def _edge(box: Point, towards: Point) -> Point:
    """Return where a line from the middle of ``box`` leaves it."""
    across, down = towards[0] - box[0], towards[1] - box[1]
    share = max(abs(across) / (_WIDTH / 2), abs(down) / (_HEIGHT / 2), 1e-9)
    return box[0] + across / share, box[1] + down / share


def _moved(point: Point, by: Point) -> Point:
    return point[0] + by[0], point[1] + by[1]


def _at(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def _legend() -> Iterator[str]:
    rows = (len(LEGAL) + 1) // 2
    for index, move in enumerate(LEGAL):
        x = _LEGEND_LEFT[index // rows]
        y = _LEGEND_TOP + (index % rows) * _LINE
        yield (
            f'  <text x="{x}" y="{y}" fill="#0f172a">{index + 1}. '
            f"{move.before.name} to {move.after.name}: {escape(move.why)}</text>\n"
        )


if __name__ == "__main__":
    sys.exit(run(PAGE, render, __doc__))
