"""What the processes of the light clients say of themselves, read together."""

import json
from dataclasses import asdict
from pathlib import Path

from devstack.layout import Layout
from devstack.light_clients import light_file, read_counts
from devstack.light_crowd import LightCounts


def tell(layout: Layout, part: int, counts: LightCounts) -> None:
    path = light_file(layout, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(counts)))


def test_nothing_is_known_before_every_part_has_said_how_it_is(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    tell(layout, 1, LightCounts(5, connected=5))

    assert read_counts(layout, 2) is None
    light_file(layout, 2).write_text("{")
    assert read_counts(layout, 2) is None


def test_the_parts_count_as_one(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    tell(layout, 1, LightCounts(5, 4, {"ca-1": 3, "ca-2": 1}, 9, 1, 2, 3, "", "slow"))
    tell(layout, 2, LightCounts(4, 4, {"ca-2": 4}, 8, 0, 1, 0, "refused", ""))

    assert read_counts(layout, 2) == LightCounts(
        9, 8, {"ca-1": 3, "ca-2": 5}, 17, 1, 3, 3, "refused", "slow"
    )
