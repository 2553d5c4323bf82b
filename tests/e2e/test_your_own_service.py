"""The service in the documentation, taken from its page and run on a real stack."""

import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from devstack.endpoints import port_of
from devstack.stack import Stack, StackOptions, open_stack
from svc_core.adapters.files import write_private
from svc_core.adapters.journal import read_journal
from svc_core.adapters.tls_contexts import trusting_context
from svc_core.domain import load_order
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.journal_records import RecordKind
from svc_core.domain.load_order import LoadOrder
from tests.e2e.commands import RunningCommand, command
from tests.e2e.waiting import until
from tests.integration.background import in_background

PROJECT: Final = Path(__file__).parents[2]
PAGE: Final = PROJECT / "docs" / "your-own-service.md"
MOST_LINES: Final = 60
RATE: Final = 50.0
DOORKEEPER: Final = "doorkeeper"


def block(language: str) -> str:
    """Return the page's one block of code in ``language``."""
    (found,) = re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    return str(found)


def test_the_service_is_as_short_as_it_says() -> None:
    assert len(block("python").splitlines()) <= MOST_LINES


@asynccontextmanager
async def doorkeeper(stack: Stack) -> AsyncIterator[RunningCommand]:
    """Do what the page says, in the directory that holds ``var``."""
    home = stack.layout.root.parent
    (home / "doorkeeper.py").write_text(block("python"))
    environment = {
        "PATH": f"{PROJECT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "libs"), str(PROJECT)]),
    }
    script = home / "run.sh"
    script.write_text(f"set -e\ncd {home}\n{block('sh')}")
    async with command("/bin/sh", str(script), notes=home / "notes", environment=environment) as it:
        yield it


class Doorkeeper:
    """The running service as its admin port and its log show it."""

    def __init__(self, stack: Stack) -> None:
        self._layout = stack.layout
        (port,) = re.findall(r"ST_ADMIN__PORT=(\d+)", block("sh"))
        self._url = f"https://127.0.0.1:{port}"

    async def get(self, path: str) -> tuple[int, str]:
        trust = trusting_context(self._layout.trust_file.read_text())
        connector = aiohttp.TCPConnector(ssl=trust, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(self._url + path) as response,
        ):
            return response.status, await response.text()

    async def is_ready(self) -> bool:
        try:
            return (await self.get("/readyz"))[0] == 200
        except (OSError, aiohttp.ClientError):
            return False

    async def answers(self) -> float:
        _, metrics = await self.get("/metrics")
        (value,) = re.findall(r"^doorkeeper_answers_total (\S+)$", metrics, re.MULTILINE)
        return float(value)

    def events(self, name: str) -> list[dict[str, Any]]:
        log = self._layout.log_of(DOORKEEPER)
        lines = log.read_text().splitlines() if log.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == name]


def unanswered(stack: Stack, order: LoadOrder) -> set[str]:
    """Return the requests of ``order`` that the broker has and nobody has answered."""
    journal = stack.layout.service(GATEKEEPER) / "journal"
    ids: dict[RecordKind, set[str]] = {kind: set() for kind in RecordKind}
    for record in read_journal(journal, since=order.starts_at):
        if record.record_id.startswith(order.run_id):
            ids[record.kind].add(record.record_id)
    assert ids[RecordKind.ACKED], "no request was sent"
    return ids[RecordKind.ACKED] - ids[RecordKind.ANSWERED]


@pytest.mark.timeout(180)
async def test_it_shares_the_requests_and_follows_the_rotations(root: Path) -> None:
    with in_background(lambda: open_stack(StackOptions(root, "demo"), lambda _: None)) as stack:
        running = Doorkeeper(stack)
        now = datetime.now(UTC)
        order = LoadOrder("doorkeeper", RATE, now, now + timedelta(minutes=3))
        write_private(stack.layout.load_file, load_order.encode(order).encode())
        async with doorkeeper(stack) as process:
            await until(running.is_ready, within_s=20, what=process.errors.read_text)
            swaps = len(running.events("connection.swapped"))
            before = await running.answers()
            await until(
                lambda: len(running.events("connection.swapped")) > swaps,
                within_s=45,
                what="a move to a new certificate",
            )
            answered = await running.answers() - before
            process.signal(signal.SIGTERM)
            code = await process.ended(within_s=10)
            assert code == 0, process.errors.read_text()
        stack.layout.load_file.unlink()

        await until(
            lambda: not unanswered(stack, order), within_s=15, what="an answer to every request"
        )
        port_is_its_own = port_of(stack.endpoints.admin[AUTHCONTROLLER]) != port_of(running._url)

    assert answered > 0
    assert port_is_its_own
    assert not running.events("request.refused")
    assert running.events("bundle.adopted")
