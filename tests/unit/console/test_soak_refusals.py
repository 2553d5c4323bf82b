"""What counts as refused between two parties while a soak runs."""

from pathlib import Path

from console.soak_refusals import RefusalLedger
from devstack.layout import SERVICES, Layout
from tests.authority import without_threads


async def test_only_what_came_after_the_beginning_counts(tmp_path: Path) -> None:
    without_threads()
    layout = Layout(tmp_path)
    complaint = "[1] [ERR] 127.0.0.1:5 - cid:9 - TLS handshake error: EOF\n"
    log, events = layout.node("n1") / "nats.log", layout.log_of("gatekeeper")
    for path in (log, events):
        path.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(complaint)
    events.write_text('{"event": "connection.lost", "level": "warning"}\n')
    ledger = RefusalLedger(layout)

    with log.open("a") as file:
        file.write(complaint + "[1] [INF] Reloaded: accounts\n")
    with events.open("a") as file:
        file.write('{"event": "connection.swap_failed", "level": "warning"}\n')
        file.write('{"event": "load.late", "level": "warning"}\n{"event": "leaf.renewed"}\nx\n')
    found = await ledger.count()

    assert (found.servers["n1"], found.servers["n2"]) == (1, 0)
    assert found.services == {"gatekeeper connection.swap_failed": 1}
    assert set(found.warnings) == {"gatekeeper connection.swap_failed", "gatekeeper load.late"}
    assert found.examples == (complaint,)


async def test_a_listener_that_cannot_be_asked_is_no_proof_of_anything(tmp_path: Path) -> None:
    without_threads()
    ledger = RefusalLedger(Layout(tmp_path))
    await ledger.begin()

    found = await ledger.count()

    assert found.admin == dict.fromkeys(SERVICES, 1)
    assert found.total == len(SERVICES)


async def test_a_log_that_was_begun_anew_counts_from_its_start(tmp_path: Path) -> None:
    without_threads()
    layout = Layout(tmp_path)
    log = layout.node("n3") / "nats.log"
    log.parent.mkdir(parents=True)
    log.write_text("[1] [INF] " + "long " * 100)
    ledger = RefusalLedger(layout)

    log.write_text("[1] [ERR] authentication error\n")

    assert (await ledger.count()).servers["n3"] == 1


async def test_what_a_reload_says_of_connections_that_just_ended_is_counted_apart(
    tmp_path: Path,
) -> None:
    without_threads()
    layout = Layout(tmp_path)
    log = layout.node("n2") / "nats.log"
    log.parent.mkdir(parents=True)
    ledger = RefusalLedger(layout)
    refused, broken = "[1] [ERR] c - authentication error\n", "[1] [ERR] TLS handshake error: EOF\n"

    log.write_text(
        f"{refused}[1] [INF] Reloaded: accounts\n{refused}{broken}"
        f"[1] [INF] Reloaded server configuration (sha256:00)\n{refused}"
    )
    found = await ledger.count()

    assert (found.servers["n2"], found.mid_reload["n2"]) == (3, 1)
    assert found.examples == (refused, broken, refused)
