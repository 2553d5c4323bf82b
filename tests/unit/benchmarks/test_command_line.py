"""``bench`` as a process of its own: tables, JSON, and what happens when a worker dies."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from benchmarks.crew import WorkerOrder, open_worker
from benchmarks.errors import WorkerEndedError

T = TypeVar("T")

ROOT = Path(__file__).parents[3]
PYTHONPATH = os.pathsep.join((str(ROOT / "libs"), str(ROOT)))

pytestmark = pytest.mark.timeout(100)


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console.main", "bench", *arguments],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": PYTHONPATH},
        check=False,
        timeout=90,
    )


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    # Not `asyncio.run`, which would take the loop away that pytest keeps for other tests.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(coroutine)


def measured(*arguments: str) -> tuple[dict[str, Any], str]:
    answer = bench(*arguments, "--json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout), answer.stderr


def test_crypto_measures_every_call_beside_the_library() -> None:
    document, said = measured("crypto", "--seconds", "0.001", "--repeats", "1")

    figures = {(figure["name"], figure["where"]): figure for figure in document["figures"]}
    sign = figures["ML-DSA-65 sign", "cryptography"]
    assert sign["rate"]["median"] > 0
    assert sign["to_base"]["median"] > 0
    assert figures["ML-DSA-65 sign", "pqcrypto"]["to_base"] is None
    assert document["machine"]["cpus"]
    assert document["versions"]["cryptography"]
    assert "repeat 1 of 1" in said
    assert "ML-DSA-65 sign" in said


def test_messages_measures_rates_and_loads_and_judges_them() -> None:
    document, said = measured(
        "messages", "--seconds", "0.01", "--repeats", "1", "--algorithm", "ML-DSA-44"
    )

    names = [figure["name"] for figure in document["figures"]]
    assert names[:6] == [
        *("bare sign", "seal single", "seal batched"),
        *("bare verify", "open single", "open batched"),
    ]
    assert [load["name"] for load in document["loads"]] == [
        *("idle", "1000/s", "5000/s", "8000/s", "60 % of capacity", "150 % of capacity")
    ]
    assert all(isinstance(target["is_met"], bool) for target in document["targets"])
    assert document["settings"]["algorithm"] == "ML-DSA-44"
    assert "Targets" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("messages", "--algorithm", "RSA"),
        ("crypto", "--repeats", "0"),
        ("swap", "--swaps", "0"),
        ("nothing",),
    ],
)
def test_arguments_that_make_no_sense_are_code_2(arguments: tuple[str, ...]) -> None:
    answer = bench(*arguments)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert "Traceback" not in answer.stderr


def test_a_worker_that_dies_is_an_error_and_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)

    async def ask_the_dead() -> None:
        async with open_worker(WorkerOrder("crypto")) as worker:
            await worker.measure("reference", 0.001)
            os.kill(worker._process.pid, signal.SIGKILL)
            await worker.measure("reference", 0.001)

    with pytest.raises(WorkerEndedError) as caught:
        run(ask_the_dead())
    assert caught.value.exit_code == -signal.SIGKILL


def test_a_worker_ends_with_its_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)

    async def ask_once() -> int | None:
        async with open_worker(WorkerOrder("crypto")) as worker:
            await worker.measure("reference", 0.001)
        return worker._process.returncode

    assert run(ask_once()) == 0
