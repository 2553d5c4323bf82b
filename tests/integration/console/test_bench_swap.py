"""``bench swap`` end to end: real servers, every way moves, and what it says can be read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SWAPS = 2


@pytest.mark.timeout(120)
def test_every_way_is_measured_with_and_without_swaps_and_loses_nothing() -> None:
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "console.main", "bench", "swap", "--json"),
            *("--swaps", str(SWAPS), "--rate", "100", "--seconds", "0.2"),
        ],
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "libs", ROOT))),
        },
        check=False,
        timeout=110,
    )

    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    ways = {figure["way"]: figure for figure in document["ways"]}
    assert list(ways) == ["swap", "drain, connect", "reconnect"]
    for figure in ways.values():
        assert (figure["lost"], figure["failed"]) == (0, 0)
        assert figure["swapped"]["windows"] == figure["quiet"]["windows"] == SWAPS
        assert figure["sent"] >= SWAPS * 2 * 20
        assert figure["doubled"] == 0
    assert [target["claim"] for target in document["targets"][:2]] == [
        "messages lost or given up",
        "messages stored twice",
    ]
    assert "Targets of a swap" in answer.stderr
