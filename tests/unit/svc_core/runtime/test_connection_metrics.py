"""What a scrape says about the connection."""

from collections import Counter
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest

from svc_core.domain.stranding import Stranding
from svc_core.runtime.connection_metrics import export_connection


@dataclass
class Connection:
    is_connected: bool = False
    losses: int = 0
    moves: Counter[Stranding] = field(default_factory=Counter)


def test_a_scrape_reads_what_is_so_at_that_moment() -> None:
    registry, connection = CollectorRegistry(), Connection()
    export_connection(registry, connection)

    connection.is_connected, connection.losses = True, 2
    connection.moves[Stranding.NOBODY] += 3
    said = generate_latest(registry).decode().splitlines()

    assert [line for line in said if not line.startswith("#")] == [
        "st_connection_up 1.0",
        "st_connection_losses_total 2.0",
        'st_connection_moves_total{reason="silence"} 0.0',
        'st_connection_moves_total{reason="no_responders"} 3.0',
        'st_connection_moves_total{reason="refusal"} 0.0',
        'st_connection_moves_total{reason="alone"} 0.0',
    ]
