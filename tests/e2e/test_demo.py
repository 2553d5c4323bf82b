"""The demo, as a person runs it: its exit code and its verdict."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from svc_core.domain.profiles import PROFILES
from tests.e2e.commands import command, processes_of

MINUTES: Final = 1.05
RATE: Final = 100
COUNTS: Final = (
    "ca_rotations",
    "planned_ca_rotations",
    "key_rotations",
    "planned_key_rotations",
    "offered",
    "sent",
    "received",
    "answered",
    "redelivered",
    "lost",
    "duplicated",
    "rejected",
    "in_doubt",
    "unasked",
    "skipped",
    "swaps",
    "boots",
    "restarts",
    "damaged_lines",
)
MILLISECONDS: Final = ("longest_gap_ms", "longest_gap_during_swap_ms")
QUANTILES: Final = ("p50", "p99", "p999", "max")


@pytest.mark.timeout(240)
async def test_a_minute_of_load_over_two_rotations_loses_and_doubles_nothing(root: Path) -> None:
    arguments = ("demo", "--minutes", str(MINUTES), "--rate", str(RATE), "--json")
    async with command(
        "securetransport", *arguments, "--var", str(root), notes=root.parent / "notes"
    ) as demo:
        code = await demo.ended(within_s=220)

    assert code == 0, demo.errors.read_text()
    printed = json.loads(demo.output.read_text())
    assert printed == json.loads((root / "demo" / "verdict.json").read_text())
    check_promises(printed)
    check_shape(printed)
    assert not processes_of(root)
    assert not (root / "stack.json").exists()


def check_promises(verdict: dict[str, Any]) -> None:
    period_s = PROFILES["demo"].ca.period.total_seconds()
    assert (verdict["lost"], verdict["duplicated"], verdict["unasked"]) == (0, 0, 0)
    assert verdict["damaged_lines"] == 0
    assert verdict["ca_rotations"] == verdict["planned_ca_rotations"]
    assert verdict["planned_ca_rotations"] >= MINUTES * 60 // period_s >= 2
    assert verdict["key_rotations"] == verdict["planned_key_rotations"] >= 3
    assert verdict["offered"] == MINUTES * 60 * RATE
    assert verdict["answered"] >= 0.95 * verdict["offered"]
    assert verdict["offered"] >= verdict["sent"] >= verdict["answered"]
    assert verdict["swaps"] >= 2 * verdict["ca_rotations"]
    assert verdict["restarts"] == 0
    assert verdict["rejected_codes"] == {}
    assert (verdict["good"], verdict["reasons"]) == (True, [])


def check_shape(verdict: dict[str, Any]) -> None:
    assert all(type(verdict[name]) is int and verdict[name] >= 0 for name in COUNTS)
    assert all(isinstance(verdict[name], float) and verdict[name] > 0 for name in MILLISECONDS)
    assert set(verdict["latency_ms"]) == set(QUANTILES)
    ascending = [verdict["latency_ms"][name] for name in QUANTILES]
    assert ascending == sorted(ascending)
    assert ascending[0] > 0
    assert verdict["duration_s"] == MINUTES * 60
    assert (verdict["profile"], verdict["rate"]) == ("demo", RATE)
    versions = verdict["versions"]
    assert {"python", "nats-server", "openbao", "securetransport"} <= set(versions)
    assert all(isinstance(version, str) and version for version in versions.values())
    assert verdict["run_id"].startswith("demo-")
