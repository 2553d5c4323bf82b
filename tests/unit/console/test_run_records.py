"""Facts about rotations, read from the services' logs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from console.run_records import Journals, read_end_to_end_ms, read_rotations
from devstack.layout import Layout
from svc_core.adapters.journal import open_journal
from svc_core.domain.journal_records import JournalRecord, RecordKind, unix_ns
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.timing import SwapWindow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = LoadOrder("run", 1.0, NOW, NOW + timedelta(seconds=10))


def write_log(layout: Layout, service: str, *events: object) -> None:
    layout.logs.mkdir(exist_ok=True)
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    layout.log_of(service).write_text("\n".join(lines))


def test_rotations_and_swaps_are_found_among_everything_else(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    swap = {"swap_began_at": NOW.isoformat(), "swap_ended_at": (NOW + timedelta(1)).isoformat()}
    reload = {"reload_began_at": NOW.isoformat(), "reload_ended_at": NOW.isoformat()}
    write_log(
        layout,
        "metadata",
        {"event": "ca.rotated", "epoch": 7},
        {"event": "ca.rotated", "epoch": "eight"},
        {"event": "note", "about": "ca.rotated", "epoch": 9},
        "no JSON about ca.rotated",
        '"ca.rotated"',
    )
    write_log(layout, "gatekeeper", {"event": "connection.swapped", **swap})
    write_log(layout, "watcher", {"event": "nats.reloaded", **reload}, {"event": "nats.reloaded"})

    facts = read_rotations(layout)

    assert facts.completed_ca_epochs == {7}
    assert set(facts.swaps) == {
        SwapWindow("gatekeeper", NOW, NOW + timedelta(1)),
        SwapWindow("watcher", NOW, NOW),
    }


def test_how_long_each_rotation_took(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    write_log(
        layout,
        "metadata",
        {"event": "ca.rotated", "epoch": 7, "elapsed_ms": 812.5},
        {"event": "ca.rotated", "epoch": 8, "elapsed_ms": "long"},
        {"event": "issuer.trusted", "epoch": 9, "elapsed_ms": 3.0},
        {"event": "ca.rotated", "epoch": 10, "elapsed_ms": 900},
    )

    assert read_end_to_end_ms(layout) == {7: 812.5, 10: 900.0}


def test_a_stack_without_logs_has_no_rotations(tmp_path: Path) -> None:
    facts = read_rotations(Layout.at(tmp_path))

    assert (facts.completed_ca_epochs, facts.swaps) == (frozenset(), ())


def test_the_journals_of_both_ends_are_counted_together(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    kinds = {"gatekeeper": RecordKind.ACKED, "authcontroller": RecordKind.HANDLED}
    for service, kind in kinds.items():
        directory = layout.service(service) / "journal"
        with open_journal(directory, boot_id="b", now=NOW, keep=timedelta(days=1)) as journal:
            journal.append(JournalRecord(kind, unix_ns(NOW), "run-b-0", "1/gatekeeper"))
    (file,) = (layout.service("gatekeeper") / "journal").iterdir()
    file.write_bytes(b"nonsense\n" + file.read_bytes())
    journals = Journals(layout)

    traffic = journals.read(ORDER)

    assert traffic.acked == {"run-b-0"}
    assert dict(traffic.handled) == {"run-b-0": 1}
    assert journals.damaged_lines == 1
