"""``bench authority`` on a real OpenBao: every step can be measured, of both manifests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STEPS = [
    "parse the manifest",
    "compare two manifests",
    "make the keys of one epoch",
    "issue one epoch, end to end",
    "read one epoch back",
    "start anew: read every epoch",
    "take over a changed manifest",
    "roll keys after it",
    "assemble, seal and sign a bundle",
    "of that, seal and sign",
    "store a bundle",
    "pull a bundle and open it",
    "nothing",
]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(ROOT / "libs"), str(ROOT)))
    return subprocess.run(
        [sys.executable, "-m", "console.main", "bench", "authority", *arguments],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
        check=False,
        timeout=110,
    )


def test_every_step_is_measured_as_shipped_and_at_scale() -> None:
    scale = ("--topics", "12", "--services", "4", "--consumers", "2")
    answer = bench("--repeats", "1", *scale, "--json")
    assert answer.returncode == 0, answer.stderr

    document = json.loads(answer.stdout)

    shipped, at_scale = document["shapes"]
    for shape in (shipped, at_scale):
        assert [step["step"] for step in shape["steps"]] == STEPS
        assert all(step["each"]["p50"] > 0 for step in shape["steps"])
        assert all(size["least"] > 0 for size in shape["sizes"])
        assert shape["memory"]["peak"] >= shape["memory"]["before"] > 0
    counts = {step["step"]: step["count"] for step in at_scale["steps"]}
    assert counts["assemble, seal and sign a bundle"] == 4
    assert "12 topics, 4 services" in at_scale["shape"]
    assert len(document["targets"]) == 3
    assert "Targets of the authority" in answer.stderr


@pytest.mark.parametrize("arguments", [("--topics", "3", "--services", "4"), ("--repeats", "0")])
def test_arguments_that_make_no_sense_are_code_2(arguments: tuple[str, ...]) -> None:
    answer = bench(*arguments)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert "Traceback" not in answer.stderr
