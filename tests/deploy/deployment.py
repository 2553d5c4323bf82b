"""What the tests of this folder share: the repository's files, rendered manifests, tools."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
MINIKUBE = ROOT / "deploy" / "minikube"
OBSERVABILITY = ROOT / "deploy" / "observability"
KUSTOMIZATIONS = (
    "clusters/bao",
    "clusters/servers",
    "clusters/services",
    "overlays/ambient/bao",
    "overlays/ambient/servers",
    "overlays/ambient/services",
    "overlays/cert-manager",
)
PINNED = re.compile(r"^[a-z0-9./-]+:v?\d+\.\d+\.\d+[a-z0-9.-]*(@sha256:[0-9a-f]{64})?$")

Manifest = Mapping[str, Any]


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def tool(name: str, *, setting: str = "") -> str:
    """Return the path of a program, or skip the test and say that it did not run."""
    named = os.environ.get(setting, "")
    environments = (ROOT / ".venv" / "bin", ROOT / ".venv" / "deploy-tools" / "bin")
    found = named or shutil.which(name, path=os.pathsep.join(map(str, environments)))
    found = found or shutil.which(name)
    if found is None:
        # Large or not a Python package: a newcomer needs none of them, so their absence is said.
        pytest.skip(f"NOT RUN: {name} is not installed")
    return found


@functools.cache
def kubectl() -> str:
    """Return kubectl's path, or the empty string when it is missing or too old to render."""
    found = shutil.which("kubectl")
    if found is None:
        return ""
    said = subprocess.run(
        [found, "version", "--client"], capture_output=True, text=True, check=False
    ).stdout
    version = re.search(r"Client Version: v1\.(\d+)", said)
    return found if version and int(version[1]) >= 27 else ""


def need_kubectl() -> str:
    if not kubectl():
        # No package index carries it, and an older one renders other manifests.
        pytest.skip("NOT RUN: kubectl 1.27 or newer is not installed")
    return kubectl()


@functools.cache
def rendered_text(kustomization: str) -> str:
    command = [need_kubectl(), "kustomize", str(MINIKUBE / kustomization)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@functools.cache
def rendered(kustomization: str) -> tuple[Manifest, ...]:
    return tuple(YAML(typ="safe").load_all(rendered_text(kustomization)))


def everywhere(*kinds: str) -> Iterator[tuple[str, Manifest]]:
    """Yield every manifest of these kinds (all without any) of the three clusters and overlays."""
    for kustomization in KUSTOMIZATIONS:
        for manifest in rendered(kustomization):
            if not kinds or manifest["kind"] in kinds:
                yield (
                    f"{kustomization}: {manifest['kind']} {manifest['metadata']['name']}",
                    manifest,
                )


def containers(manifest: Manifest) -> Iterator[Manifest]:
    pod = manifest["spec"]["template"]["spec"]
    yield from pod.get("initContainers", [])
    yield from pod["containers"]
