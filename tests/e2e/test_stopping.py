"""Ended at any moment, a stack ends quickly and whole, and goes on later where it was."""

import json
import re
import signal
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import pytest

from devstack.bootstrap import log_in
from devstack.endpoints import read_endpoints
from devstack.layout import Layout
from devstack.openbao_api import open_openbao_api
from devstack.registry import read_record
from svc_core.domain import load_order
from svc_core.domain.identity import METADATA
from svc_core.domain.journal_records import RecordKind
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.profiles import PROFILES
from svc_core.domain.traffic import count_traffic
from svc_core.errors import NotFoundError
from svc_core.wire import document_heads
from tests.e2e.commands import RunningCommand, command, processes_of
from tests.e2e.loaded_stack import records
from tests.e2e.waiting import until

ENDS_WITHIN_S: Final = 10.0
BOOTS_WITHIN_S: Final = 60.0
STARTING_OPENBAO: Final = "starting OpenBao"
STARTING_SERVICES: Final = "starting metadata and watcher"
STARTING_CLIENTS: Final = "NATS listens"

TOKEN: Final = re.compile(rb"(?<![\w.])(?:s|b|r|hvs|hvb|hvr)\.[A-Za-z0-9]{24,}(?![\w.])")
"""A token of OpenBao, of any kind."""
SECRET_FILES: Final = frozenset(
    {"secret_id", "role_id", "identity.seed", "responses.seed", "unseal.key", "key.pem"}
)
SECRET_CONTENT: Final = re.compile(rb"PRIVATE KEY-----")


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("arguments", "moment", "number"),
    [
        (("demo", "--json"), STARTING_OPENBAO, signal.SIGINT),
        (("up",), STARTING_SERVICES, signal.SIGTERM),
        (("demo",), STARTING_CLIENTS, signal.SIGINT),
    ],
    ids=["openbao-int", "services-term", "clients-int"],
)
async def test_a_signal_in_the_middle_of_the_start_leaves_nothing(
    root: Path, arguments: tuple[str, ...], moment: str, number: int
) -> None:
    notes = root.parent / "notes"
    async with command("securetransport", *arguments, "--var", str(root), notes=notes) as starting:
        await starting.says(moment, within_s=BOOTS_WITHIN_S)
        await end_by(starting, number, root)

    assert "Traceback" not in starting.errors.read_text()


@pytest.mark.timeout(180)
async def test_a_stack_ended_under_load_goes_on_where_it_was(root: Path) -> None:
    up = ("up", "--rate", "100", "--var", str(root))
    layout = Layout.at(root)
    async with command("securetransport", *up, notes=root.parent / "first") as first:
        order = await under_load(first, layout)
        before = await Identities.read(layout)
        await end_by(first, signal.SIGINT, root)

    async with command("securetransport", *up, notes=root.parent / "second") as second:
        later = await under_load(second, layout)
        after = await Identities.read(layout)
        await until(
            lambda: not count_traffic(records(layout, since=order.starts_at), order=order).lost,
            within_s=20,
            what="the answers to what was asked before the stop",
        )
        # An impatient person must not break what the first signal began.
        second.signal(signal.SIGTERM)
        await end_by(second, signal.SIGTERM, root)

    first_load = count_traffic(records(layout, since=order.starts_at), order=order)
    assert later.run_id != order.run_id
    assert (before.pinned, before.names, before.seeds) == (after.pinned, after.names, after.seeds)
    running = before.keys.keys() & after.keys.keys()
    assert running
    assert {e: before.keys[e] for e in running} == {e: after.keys[e] for e in running}
    assert first_load.answered
    assert not first_load.duplicated


async def under_load(up: RunningCommand, layout: Layout) -> LoadOrder:
    """Wait until answers to this boot's own load come; return that load."""
    await up.says("the stack is up", within_s=BOOTS_WITHIN_S)

    def ordered() -> LoadOrder | None:
        with suppress(FileNotFoundError):
            return load_order.decode(layout.load_file.read_text())
        return None

    await until(lambda: ordered() is not None, within_s=5, what="a load order")
    order = ordered()
    assert order is not None

    def is_answered() -> bool:
        return any(
            record.kind is RecordKind.ANSWERED and record.record_id.startswith(order.run_id)
            for record in records(layout, since=order.starts_at)
        )

    await until(is_answered, within_s=20, what="an answer")
    return order


async def end_by(running: RunningCommand, number: int, root: Path) -> None:
    """Send a signal, and check that everything ends in time and leaves no secret about."""
    # What is about to be started is said a moment before it is.
    await until(lambda: has_children(root), within_s=5, what="a child of the stack")
    record = read_record(root / "stack.json")
    assert record is not None
    signalled_at = datetime.now(UTC)

    running.signal(number)
    code = await running.ended(within_s=ENDS_WITHIN_S + 5)

    assert (datetime.now(UTC) - signalled_at).total_seconds() <= ENDS_WITHIN_S
    assert code == 128 + number, running.errors.read_text()
    assert not [child for child in record.children if child.process.is_alive]
    assert not processes_of(root)
    assert not (root / "stack.json").exists()
    check_files(root)


def has_children(root: Path) -> bool:
    record = read_record(root / "stack.json")
    return record is not None and bool(record.children)


def check_files(root: Path) -> None:
    """Check that no token and no half-written file is left, and that secrets are private."""
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        inside = path.relative_to(root)
        assert not re.search(r"^\.(?!lock$)", path.name), f"half-written: {inside}"
        assert not TOKEN.search(content), f"a token in {inside}"
        if path.name in SECRET_FILES or SECRET_CONTENT.search(content):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, f"readable: {inside}"


@dataclass(frozen=True, slots=True)
class Identities:
    """What must survive a restart."""

    pinned: dict[str, bytes]
    """Public halves, as they are shipped out of band."""
    names: dict[str, bytes]
    """Instance names by service."""
    seeds: dict[str, bytes]
    keys: dict[int, str]
    """What OpenBao holds of each key epoch: wrapped, without the term it was last claimed in."""

    @classmethod
    async def read(cls, layout: Layout) -> Self:
        """Read all of it from a running stack."""
        root = layout.root
        return cls(
            pinned={p.name: p.read_bytes() for p in layout.pinned.iterdir()},
            names={str(p.relative_to(root)): p.read_bytes() for p in root.glob("*/state/instance")},
            seeds={str(p.relative_to(root)): p.read_bytes() for p in root.glob("*/**/*.seed")},
            keys=await stored_keys(layout),
        )


async def stored_keys(layout: Layout) -> dict[int, str]:
    """Return what is stored of every key epoch that is in use, by epoch."""
    endpoints = read_endpoints(layout)
    assert endpoints is not None
    current = PROFILES["demo"].keys.current(datetime.now(UTC)).number
    found: dict[int, str] = {}
    async with open_openbao_api(endpoints.openbao.url, layout.openbao_ca) as api:
        metadata = await log_in(api, layout, METADATA)
        for epoch in range(current - 3, current + 2):
            with suppress(NotFoundError):
                answer = await metadata.read(f"secret/data/transport/keys/{epoch}")
                payload = document_heads.decode(answer["data"]["data"]).payload
                found[epoch] = json.loads(payload)["wrapped"]
        await metadata.write("auth/token/revoke-self")
    return found
