"""Children on a real machine: restarted, ended, tied to their supervisor, never mistaken."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from devstack.children import Child, Program
from devstack.conditions import wait_until
from devstack.errors import StackInUseError, StackStartError
from devstack.layout import Layout
from devstack.process_ids import ProcessId
from devstack.processes import Supervisor, open_supervisor
from devstack.registry import Registry, read_record, stack_lock
from devstack.takedown import take_down
from svc_core.errors import ConfigError

SOON = timedelta(seconds=10)
SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


def program(root: Path, name: str, code: str, *, stage: int = 0) -> Program:
    return Program(
        name=name,
        argv=(sys.executable, "-c", code),
        log_file=root / f"{name}.log",
        directory=root,
        environment={},
        stage=stage,
        stop_within=timedelta(seconds=0.5),
    )


@asynccontextmanager
async def supervised(root: Path, said: list[str] | None = None) -> AsyncIterator[Supervisor]:
    said = said if said is not None else []
    async with open_supervisor(
        Registry(root / "stack.json"), keep=False, announce=said.append
    ) as supervisor:
        yield supervisor


async def is_up(root: Path, name: str, times: int = 1) -> None:
    async def says_so() -> bool:
        log = root / f"{name}.log"
        return log.exists() and log.read_text().count("up") >= times

    await wait_until(says_so, within=SOON, part=name)


async def test_children_end_with_their_supervisor_highest_stage_first(tmp_path: Path) -> None:
    ended = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    open('order', 'a').write(sys.argv[0]); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
    ) + SLEEPER
    async with supervised(tmp_path) as supervisor:
        for stage in (0, 1, 2):
            code = ended.replace("sys.argv[0]", repr(str(stage)))
            supervisor.start(program(tmp_path, f"c{stage}", code, stage=stage))
        for stage in (0, 1, 2):
            await is_up(tmp_path, f"c{stage}")

    assert (tmp_path / "order").read_text() == "210"
    assert not (tmp_path / "stack.json").exists()


async def test_a_child_that_ignores_the_request_is_killed_and_named(tmp_path: Path) -> None:
    said: list[str] = []
    async with supervised(tmp_path, said) as supervisor:
        child = supervisor.start(program(tmp_path, "mule", STUBBORN))
        await is_up(tmp_path, "mule")

    assert child.popen.returncode == -signal.SIGKILL
    assert any("mule" in text for text in said)


async def test_a_child_that_dies_is_restarted_and_counted(tmp_path: Path) -> None:
    async with supervised(tmp_path) as supervisor:
        child = supervisor.start(program(tmp_path, "worker", SLEEPER))
        first = child.pid
        await is_up(tmp_path, "worker")
        supervisor.kill("worker", signal.SIGKILL)
        await is_up(tmp_path, "worker", times=2)

        assert (child.restarts, child.last_exit) == (1, -signal.SIGKILL)
        assert child.pid != first
        record = read_record(tmp_path / "stack.json")
        assert record is not None
        assert [c.process.pid for c in record.children] == [child.pid]


async def test_a_child_that_dies_again_and_again_is_waited_for_as_long_as_its_program_says(
    tmp_path: Path,
) -> None:
    short = timedelta(milliseconds=200)
    dying = replace(program(tmp_path, "moth", "raise SystemExit(1)"), longest_pause=short)
    async with supervised(tmp_path) as supervisor:
        child = supervisor.start(dying)

        async def came_back_often() -> bool:
            # With pauses that double each time, the seventh start would come after 12 s.
            return child.restarts >= 7

        await wait_until(came_back_often, within=SOON, part="moth")


async def test_what_a_further_replica_left_is_purged_and_nothing_else(tmp_path: Path) -> None:
    for name in ("metadata-2", "metadata-notes"):
        (tmp_path / name).mkdir()

    await take_down(tmp_path, purge=True)

    assert [path.name for path in tmp_path.iterdir()] == ["metadata-notes"]


async def test_a_child_that_cannot_start_is_not_tried_again_and_ends_the_wait(
    tmp_path: Path,
) -> None:
    code = "import sys; print('no such profile', flush=True); sys.exit(2)"
    async with supervised(tmp_path) as supervisor:
        child = supervisor.start(program(tmp_path, "wrong", code))

        async def never() -> bool:
            return False

        with pytest.raises(StackStartError, match="no such profile"):
            await wait_until(never, within=SOON, part="wrong", involved=[child])

    assert child.restarts == 0


async def test_an_error_in_the_body_comes_out_as_it_is_and_ends_the_children(
    tmp_path: Path,
) -> None:
    started: list[Child] = []

    async def fail() -> None:
        async with supervised(tmp_path) as supervisor:
            started.append(supervisor.start(program(tmp_path, "worker", SLEEPER)))
            raise ConfigError("as it is")

    with pytest.raises(ConfigError, match="as it is"):
        await fail()

    assert not started[0].is_running


async def test_a_cancellation_ends_the_children(tmp_path: Path) -> None:
    pids: list[int] = []

    async def run() -> None:
        async with supervised(tmp_path) as supervisor:
            pids.append(supervisor.start(program(tmp_path, "worker", SLEEPER)).pid)
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        await is_up(tmp_path, "worker")
        task.cancel()

    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def supervisor_process(root: Path, *, keep: bool) -> "subprocess.Popen[bytes]":
    """Start a supervisor of one child as a process of its own."""
    code = textwrap.dedent(f"""
        import asyncio
        from datetime import timedelta
        from pathlib import Path
        from devstack.layout import Layout
        from devstack.processes import Program, open_supervisor
        from devstack.registry import Registry, stack_lock
        root = Path({str(root)!r})
        child = Program("child", ({sys.executable!r}, "-c", {STUBBORN!r}), root / "child.log",
                        root, {{}}, 0, timedelta(seconds=0.5))
        async def main():
            layout = Layout.at(root)
            with stack_lock(layout):
                registry = Registry(layout.stack_file)
                async with open_supervisor(registry, keep={keep}, announce=print) as supervisor:
                    supervisor.start(child)
                    if not {keep}:
                        await asyncio.Event().wait()
        asyncio.run(main())
    """)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment)


async def recorded_child(root: Path) -> ProcessId:
    async def is_written() -> bool:
        record = read_record(root / "stack.json")
        return record is not None and len(record.children) == 1

    await wait_until(is_written, within=SOON, part="a record")
    record = read_record(root / "stack.json")
    assert record is not None
    return record.children[0].process


async def test_a_child_does_not_outlive_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    supervisor = supervisor_process(tmp_path, keep=False)
    child = await recorded_child(tmp_path)
    await is_up(tmp_path, "child")

    supervisor.kill()
    supervisor.wait()

    assert await child.ended(SOON)


async def test_a_kept_child_lives_on_until_it_is_taken_down(tmp_path: Path) -> None:
    supervisor = supervisor_process(tmp_path, keep=True)
    await is_up(tmp_path, "child")
    assert supervisor.wait() == 0
    child = await recorded_child(tmp_path)
    assert child.is_alive

    ended = await take_down(tmp_path, purge=False)

    assert ended == ("child",)
    assert await child.ended(SOON)
    assert await take_down(tmp_path, purge=False) == ()


async def test_taking_down_asks_a_living_supervisor_first(tmp_path: Path) -> None:
    supervisor = supervisor_process(tmp_path, keep=False)
    child = await recorded_child(tmp_path)
    with pytest.raises(StackInUseError), stack_lock(Layout.at(tmp_path)):
        pass

    await take_down(tmp_path, purge=False)

    assert supervisor.wait() != 0
    assert not child.is_alive


async def test_a_recycled_process_id_is_never_signalled(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL) as stranger:
        present = ProcessId.of(stranger.pid)
        former = ProcessId(stranger.pid, present.started - 1, present.boot)
        children = [{"name": "n1", "stage": 1, "process": _as_json(former)}]
        document = {"owner": _as_json(former), "is_kept": False, "children": children}
        (tmp_path / "stack.json").write_text(json.dumps(document))

        ended = await take_down(tmp_path, purge=False)

        assert ended == ()
        assert not former.send(signal.SIGKILL, to_group=True)
        assert stranger.poll() is None
        stranger.kill()


async def test_purging_removes_what_the_stack_made_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "var"
    (root / "openbao" / "data").mkdir(parents=True)
    (root / "trust.d" / "1").mkdir(parents=True)
    (root / "trust").symlink_to("trust.d/1")
    (root / "mine.txt").write_text("keep me")

    await take_down(root, purge=True)

    assert [path.name for path in root.iterdir()] == ["mine.txt"]


def _as_json(process: ProcessId) -> dict[str, object]:
    return {"pid": process.pid, "started": process.started, "boot": process.boot}
