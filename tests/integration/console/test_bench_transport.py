"""``bench transport`` as a process of its own, on real servers: shapes and counts, never speed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
LOOPS = ("uvloop", "asyncio")
ROWS = [f"{loop}, {security}" for loop in LOOPS for security in ("TLS", "no TLS")]
CASES = ["seal batched", "open batched", "bare nats-py", "sealed exchange"]


def measured(*arguments: str) -> tuple[dict[str, Any], str]:
    answer = subprocess.run(
        [sys.executable, "-m", "console.main", "bench", "transport", *arguments, "--json"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'libs'}:{ROOT}"},
        check=False,
        timeout=100,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout), answer.stderr


@pytest.mark.timeout(120)
def test_every_row_is_measured_on_real_servers_and_judged() -> None:
    document, said = measured("--seconds", "0.05", "--repeats", "1", "--rate", "100")

    assert [(f["where"], f["name"]) for f in document["figures"]] == [
        (row, case) for row in ROWS for case in CASES
    ]
    assert all(figure["rate"]["median"] > 0 for figure in document["figures"])
    assert [bool(figure["to_base"]) for figure in document["figures"]] == 4 * [
        False,
        False,
        False,
        True,
    ]
    assert [load["name"] for load in document["loads"]] == [
        f"{row}: {case}" for row in ROWS for case in ("bare", "sealed")
    ]
    assert all(load["latency"]["p50"] > 0 and not load["refused"] for load in document["loads"])
    assert len(document["targets"]) == 2 * len(ROWS)
    assert all(isinstance(target["is_met"], bool) for target in document["targets"])
    assert "Latency in ms of one exchange" in said
    assert "PRIVATE KEY" not in said
