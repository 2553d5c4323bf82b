"""The load order's file: followed, and never believed when it makes no sense."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.gatekeeper.adapters.load_file import LoadFile
from services.gatekeeper.domain.report_lines import consumer_line, generation_line
from services.gatekeeper.flows.load_orders import LoadOrders
from svc_core.domain.load_order import LoadOrder, encode

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = LoadOrder("run", 1.0, NOW, NOW + timedelta(seconds=10))
STANDING = LoadOrder("standing", 2.0, NOW, NOW + timedelta(days=1))


def test_the_file_says_what_is_wanted_and_its_absence_the_default(tmp_path: Path) -> None:
    orders, path = LoadOrders(), tmp_path / "load.json"
    file = LoadFile(path, orders.replace, without=STANDING)
    seen: list[LoadOrder | None] = []

    for text in (None, encode(ORDER), "nonsense", '{"rate": 0}', None):
        path.unlink(missing_ok=True) if text is None else path.write_text(text)
        file._read()
        seen.append(orders.current)

    assert seen == [STANDING, ORDER, ORDER, None, STANDING]


def test_a_file_that_is_no_text_changes_nothing(tmp_path: Path) -> None:
    orders, path = LoadOrders(ORDER), tmp_path / "load.json"
    path.write_bytes(b"\xff\xfe")

    LoadFile(path, orders.replace, without=None)._read()

    assert orders.current == ORDER


def test_the_lines_keep_their_shapes() -> None:
    assert (
        generation_line(200) == "========== GATEKEEPER MESSAGE GENERATION: Counter = 200 =========="
    )
    assert consumer_line(received=3, processed=2, failed=1, per_minute=60.0) == (
        "Gateway Consumer Metrics - received=3 processed=2 failed=1 rate=60/min"
    )
