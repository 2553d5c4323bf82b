"""What a scrape says about publishing."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest

from svc_core.runtime.publish_metrics import export_publishing


@dataclass
class Counts:
    in_flight: int = 0
    waiting: int = 0
    repeated: int = 0
    waited: int = 0


def test_a_scrape_reads_what_is_so_at_that_moment() -> None:
    registry, counts = CollectorRegistry(), Counts()
    export_publishing(registry, counts)

    counts.in_flight, counts.waiting, counts.repeated, counts.waited = 1, 2, 3, 4
    said = generate_latest(registry).decode().splitlines()

    assert [line for line in said if not line.startswith("#")] == [
        "st_publishes_in_flight 1.0",
        "st_publishes_waiting 2.0",
        "st_publishes_repeated_total 3.0",
        "st_publishes_waited_total 4.0",
    ]
