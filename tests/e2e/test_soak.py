"""A soak, as a person runs it, over two rotations: its report has what it promises.

Only a part of a soak by itself (``CHAOS_ALL=1``): it takes a minute and a half.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos.selection import ALL
from tests.e2e.commands import command, processes_of

ROTATIONS: Final = 2
CLIENTS: Final = 10
KINDS: Final = frozenset(
    {"issuers", "keys", "documents", "versions", "secret-ids", "tokens", "files"}
    | {"memory", "descriptors", "threads", "processor", "bytes"}
)
SERVERS: Final = ("n1", "n2", "n3", "openbao")
PROCESSES: Final = (
    *SERVERS,
    "metadata",
    "watcher",
    "gatekeeper",
    "authcontroller",
    "light-1",
    "light-2",
)


@pytest.mark.skipif(not ALL, reason="takes 90 s; runs with CHAOS_ALL=1")
@pytest.mark.timeout(240)
async def test_two_rotations_are_soaked_and_reported(root: Path) -> None:
    arguments = ("soak", "--only", "rotations", "--rotations", str(ROTATIONS), "--rate", "20")
    more = ("--clients", str(CLIENTS), "--json", "--var", str(root))
    async with command("securetransport", *arguments, *more, notes=root.parent / "notes") as soak:
        await soak.ended(within_s=220)

    report = json.loads(soak.output.read_text())
    assert report == json.loads((root / "report.json").read_text())
    check_rotations(report["rotations"])
    check_samples(report["rotations"]["samples"])
    assert report["sections"] == []
    assert not processes_of(root)


def check_rotations(found: dict[str, Any]) -> None:
    verdict, light = found["verdict"], found["light_clients"]
    assert (verdict["lost"], verdict["duplicated"], verdict["restarts"]) == (0, 0, 0)
    assert verdict["ca_rotations"] == verdict["planned_ca_rotations"] == ROTATIONS
    assert len(found["end_to_end_ms"]["by_epoch"]) == ROTATIONS
    assert (light["count"], light["connected"], light["losses"]) == (CLIENTS, CLIENTS, 0)
    assert light["swaps"] >= ROTATIONS * CLIENTS
    assert set(found["refusals"]["servers"]) == set(SERVERS)
    assert found["growth_judged"] is False


def check_samples(samples: list[dict[str, Any]]) -> None:
    assert len(samples) == ROTATIONS
    for sample in samples:
        figures = sample["figures"]
        assert {name.partition("/")[0] for name in figures} == KINDS
        assert all(figures[f"memory/{name}"] > 1 << 20 for name in PROCESSES)
        assert figures["issuers/nats_int"] >= 2
        assert figures["documents/transport/desired"] == 1
