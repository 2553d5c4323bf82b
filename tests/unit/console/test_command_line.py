"""What the command says and how it exits, as a process of its own."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HELP_WITHIN_S = 0.3
COMMANDS = (
    "demo",
    "up",
    "down",
    "status",
    "plan",
    "load",
    "revoke",
    "unrevoke",
    "taint",
    "rollback",
    "doctor",
    "soak",
)


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join((str(ROOT / "libs"), str(ROOT))),
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "80",
    }
    return subprocess.run(
        [sys.executable, "-m", "console.main", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        check=False,
        timeout=15,
    )


def test_help_names_every_command() -> None:
    answer = run("--help")

    assert answer.returncode == 0
    assert [name for name in COMMANDS if f"  {name} " not in answer.stdout] == []


def test_help_is_quick() -> None:
    run("--help")  # compiled by now
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    run("--help")

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: other programs on the machine may not make this fail.
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used_s <= HELP_WITHIN_S


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    answer = run(command, "--help")

    assert (answer.returncode, answer.stderr) == (0, "")
    assert "--var" in answer.stdout


def test_a_profile_that_does_not_exist_is_one_line_and_code_2(tmp_path: Path) -> None:
    answer = run("demo", "--profile", "nonsense", "--var", str(tmp_path / "var"))

    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr == (
        "error: there is no profile 'nonsense': use one of demo, production, soak, testing.\n"
    )


def test_a_directory_that_cannot_be_used_is_one_line_and_code_2(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")

    answer = run("demo", "--var", str(tmp_path / "var"))

    assert answer.returncode == 2
    assert answer.stderr.startswith("error: cannot use ")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["status", "load", "plan"])
def test_without_a_stack_the_command_says_how_to_get_one(command: str, tmp_path: Path) -> None:
    answer = run(command, "--var", str(tmp_path))

    assert answer.returncode == 2
    assert answer.stderr == (
        f"error: no stack runs in {tmp_path}. "
        "Start one with `securetransport up`, or name its directory with --var.\n"
    )


def test_down_without_a_stack_is_fine(tmp_path: Path) -> None:
    answer = run("down", "--purge", "--var", str(tmp_path / "var"))

    assert (answer.returncode, answer.stdout) == (0, "nothing was left to end\n")


@pytest.mark.parametrize(
    "arguments", [("demo", "--rate", "0"), ("demo", "--minutes", "x"), ("load", "--nope"), ("no",)]
)
def test_arguments_that_make_no_sense_are_code_2(arguments: tuple[str, ...]) -> None:
    answer = run(*arguments)

    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr
