"""What is counted on disk, in processes and in the KV store's metadata, and what is left out."""

import os
from pathlib import Path

from console.soak_survey import count_files, local_figures, process_figures, size_of
from devstack.layout import Layout


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"four")


def test_what_is_kept_on_purpose_is_measured_and_not_counted(tmp_path: Path) -> None:
    fill(tmp_path, "state/a", "tls.d/7/cert.pem", "journal/b.0000.journal", "js/s/1.blk")
    fill(tmp_path, "nats.log", "nats.log.2026.01.01", "nats.conf")

    assert count_files(tmp_path) == 3
    assert size_of(tmp_path) == 7 * len(b"four")


def test_nothing_is_there_before_anything_is_made(tmp_path: Path) -> None:
    assert (count_files(tmp_path / "none"), size_of(tmp_path / "none")) == (0, 0)


def test_a_process_has_memory_descriptors_threads_and_time() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        more = process_figures("me", os.getpid())
    finally:
        os.close(descriptor)
    after = process_figures("me", os.getpid())

    assert set(after) == {"memory/me", "descriptors/me", "threads/me", "processor/me"}
    assert after["processor/me"] >= more["processor/me"] > 0
    assert after["memory/me"] > 1 << 20
    assert more["descriptors/me"] - after["descriptors/me"] == 1


def test_a_process_that_ended_has_none() -> None:
    assert process_figures("gone", 1 << 30) == {}


def test_every_service_and_node_is_looked_at(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    fill(layout.service("watcher"), "state/x")
    fill(layout.node("n2"), "live.d/1/ca.pem", "js/a")

    figures = local_figures(layout, {"me": os.getpid()})

    assert (figures["files/watcher"], figures["files/n2"], figures["files/n1"]) == (1, 1, 0)
    assert figures["bytes/n2"] == 2 * len(b"four")
    assert "memory/me" in figures
