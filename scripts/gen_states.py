"""Draw docs/pictures/issuer-states.svg: the life of an issuer, from the table of legal moves."""

import sys
from collections.abc import Iterator, Mapping
from html import escape
from typing import Final

from scripts.generated_page import ROOT, run
from services.metadata.domain.issuers import LEGAL, REMOVABLE, IssuerState, Move

PAGE: Final = ROOT / "docs" / "pictures" / "issuer-states.svg"

_S = IssuerState
_PLACES: Final[Mapping[IssuerState, tuple[int, int]]] = {
    _S.PLANNED: (90, 60),
    _S.STAGED: (90, 190),
    _S.TRUSTED: (90, 320),
    _S.ACTIVE: (390, 320),
    _S.DRAINING: (690, 320),
    _S.DRAINED: (690, 190),
    _S.RETIRED: (690, 60),
    _S.TAINTED: (390, 190),
    _S.WITHDRAWN: (390, 60),
}
"""Where the middle of each box is; a state without a place cannot be drawn, which is an error."""
_BENDS: Final[Mapping[tuple[IssuerState, IssuerState], tuple[int, int]]] = {
    (_S.DRAINING, _S.ACTIVE): (0, 26),
    (_S.ACTIVE, _S.DRAINING): (0, -10),
    (_S.DRAINED, _S.ACTIVE): (-24, 30),
    (_S.DRAINING, _S.RETIRED): (150, 0),
    (_S.DRAINING, _S.WITHDRAWN): (-10, -46),
    (_S.TRUSTED, _S.WITHDRAWN): (-12, -46),
}
"""How far the middle of an arrow is moved, where a straight one would cross a box or another."""
_WIDTH: Final = 120
_HEIGHT: Final = 40
_COLOURS: Final = {"ended": "#e2e8f0", "active": "#dcfce7", "tainted": "#fee2e2", "": "#e0e7ff"}
_HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 {height}" \
font-family="Helvetica, Arial, sans-serif" font-size="12" role="img" aria-labelledby="title">
  <title id="title">The life of an issuer: its states and every legal move</title>
  <defs>
    <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto-start-reverse">
      <path d="M0 0 8 4 0 8z" fill="#475569"/>
    </marker>
  </defs>
  <rect width="880" height="{height}" rx="12" fill="#ffffff"/>
"""
_LEGEND_TOP: Final = 410
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
    start, end = _PLACES[move.before], _PLACES[move.after]
    bend = _BENDS.get((move.before, move.after), (0, 0))
    middle = ((start[0] + end[0]) / 2 + bend[0], (start[1] + end[1]) / 2 + bend[1])
    first, last = _edge(start, middle), _edge(end, middle)
    # A quadratic curve passes half as far from the chord as its control point lies.
    control = (
        2 * middle[0] - (first[0] + last[0]) / 2,
        2 * middle[1] - (first[1] + last[1]) / 2,
    )
    return (
        f'  <path d="M{_at(first)}Q{_at(control)} {_at(last)}" fill="none" stroke="#475569" '
        f'stroke-width="1.4" marker-end="url(#tip)"/>\n'
        f'  <circle cx="{middle[0]:.0f}" cy="{middle[1]:.0f}" r="9" fill="#ffffff"/>\n'
        f'  <text x="{middle[0]:.0f}" y="{middle[1] + 4:.0f}" text-anchor="middle" '
        f'fill="#475569">{number}</text>\n'
    )


def _edge(box: tuple[int, int], towards: tuple[float, float]) -> tuple[float, float]:
    """Return where a line from the middle of ``box`` leaves it."""
    across, down = towards[0] - box[0], towards[1] - box[1]
    share = max(abs(across) / (_WIDTH / 2), abs(down) / (_HEIGHT / 2), 1e-9)
    return box[0] + across / share, box[1] + down / share


def _at(point: tuple[float, float]) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def _legend() -> Iterator[str]:
    rows = (len(LEGAL) + 1) // 2
    for index, move in enumerate(LEGAL):
        x = 40 if index < rows else 460
        y = _LEGEND_TOP + (index % rows) * _LINE
        yield (
            f'  <text x="{x}" y="{y}" fill="#0f172a">{index + 1}. '
            f"{move.before.name} to {move.after.name}: {escape(move.why)}</text>\n"
        )


if __name__ == "__main__":
    sys.exit(run(PAGE, render, __doc__))
