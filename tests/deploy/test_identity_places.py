"""Replacing an identity of Metadata as the runbook says it for each of the three places.

What changes files is run as it stands there. Instead of restarting a replica, what it reads at its
start is read.
"""

import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devstack.identities import read_list
from devstack.layout import Layout, metadata_replicas
from devstack.provision import prepare_files
from devstack.seeding import PLACES, seed
from svc_core.adapters.instance_state import KeyAge, open_instance_state
from svc_core.adapters.system_entropy import system_entropy
from svc_core.domain.identity import METADATA
from tests.deploy.deployment import MINIKUBE, ROOT, read_yaml, rendered

pytestmark = pytest.mark.deploy

PAGE = (ROOT / "docs" / "runbooks" / "identities.md").read_text()
ONE_MACHINE = "On one machine"
COMPOSE = "With docker compose"
CLUSTERS = "On minikube"
PLACES_OF = {
    ONE_MACHINE: ("securetransport",),
    COMPOSE: ("docker", "compose", "run", "--rm", "files"),
    CLUSTERS: ("securetransport",),
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NO_AGE = KeyAge(NOW)


def commands(place: str) -> list[list[str]]:
    section = PAGE.partition(f"### {place}\n")[2].partition("\n#")[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for line in block.splitlines()]


def of_identities(place: str) -> list[list[str]]:
    start = [*PLACES_OF[place], "identities"]
    found = [c[len(start) :] for c in commands(place) if c[: len(start)] == start]
    assert found, place
    return found


def provisioned(tmp_path: Path, *, replicas: int) -> Layout:
    """Return what `provision files`, or the first `up`, makes."""
    layout = Layout.at(tmp_path / "stack")
    prepare_files(layout, openbao_names=(), now=NOW, replicas=replicas)
    return layout


def run(arguments: list[str], layout: Layout) -> None:
    """Run ``identities`` as it stands in the page, on the files of ``layout``."""
    verb, *rest = arguments
    if "--var" in rest:
        del rest[rest.index("--var") : rest.index("--var") + 2]
    command = ["identities", verb, *rest, "--var", str(layout.root)]
    said = subprocess.run(
        [sys.executable, "-m", "console.main", *command],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr


def replace(place: str, layout: Layout) -> None:
    """Do what the page says for ``place``, and find one identity in the place of another."""
    before = {identity.id for identity in read_list(layout).identities}

    for arguments in of_identities(place):
        run(arguments, layout)

    signed = read_list(layout)
    after = {identity.id for identity in signed.identities}
    assert len(after) == len(before)
    assert {identity.id for identity in signed.former} == before - after != set()


def starts_as(layout: Layout, state: Path) -> None:
    """Open ``state`` as Metadata does at its start, and find its public key in the list."""
    opened = open_instance_state(state, METADATA, "", system_entropy, NO_AGE)
    listed = {identity.id: identity.public for identity in read_list(layout).identities}
    assert listed[opened.instance] == opened.signer.public


def test_on_one_machine_the_replica_starts_under_its_new_name(tmp_path: Path) -> None:
    layout = provisioned(tmp_path, replicas=1)

    replace(ONE_MACHINE, layout)

    starts_as(layout, layout.service(METADATA) / "state")


def test_in_compose_a_replica_starts_under_the_name_beside_its_seed(tmp_path: Path) -> None:
    layout = provisioned(tmp_path, replicas=2)
    services = read_yaml(ROOT / "compose.yaml")["services"]
    config = read_yaml(ROOT / "deploy" / "compose" / "services" / "metadata.yaml")

    replace(COMPOSE, layout)

    assert "instance" not in config
    for replica in metadata_replicas(2):
        assert "ST_INSTANCE" not in services[replica]["environment"]
        assert f"{replica}:/stack/{replica}" in services["files"]["volumes"]
        assert f"{replica}:/var/lib/securetransport" in services[replica]["volumes"]
        starts_as(layout, layout.service(replica) / "state")


def test_a_pod_that_starts_again_takes_the_new_identity_and_keeps_its_secret_id(
    tmp_path: Path,
) -> None:
    layout = provisioned(tmp_path, replicas=2)
    volumes = {replica: tmp_path / "volumes" / replica for replica in metadata_replicas(2)}
    for replica, volume in volumes.items():
        for name in ("role_id", "secret_id"):
            (layout.service(replica) / name).write_text(f"first {name}")
        volume.mkdir(parents=True)
        seed(delivered(layout, replica, tmp_path), volume)
        (volume / "secret_id").write_text("its own successor")

    replace(CLUSTERS, layout)

    for replica, volume in volumes.items():
        seed(delivered(layout, replica, tmp_path), volume)
        starts_as(layout, volume / "state")
        assert (volume / "secret_id").read_text() == "its own successor"


def delivered(layout: Layout, replica: str, folder: Path) -> Path:
    """Return a directory with what a pod finds of its Secret, which `50-credentials` makes."""
    target = folder / "secret" / replica
    target.mkdir(parents=True, exist_ok=True)
    for name, place in PLACES.items():
        (target / name).write_bytes((layout.service(replica) / place).read_bytes())
    return target


def test_as_many_replicas_are_deployed_as_get_credentials() -> None:
    (stateful,) = [
        m
        for m in rendered("clusters/bao")
        if m["kind"] == "StatefulSet" and m["metadata"]["name"] == METADATA
    ]
    spec = stateful["spec"]
    settings = (MINIKUBE / "settings.env").read_text()
    (count,) = re.findall(r"ST_METADATA_REPLICAS:=(\d+)", settings)
    (items,) = [
        volume["secret"]["items"]
        for volume in spec["template"]["spec"]["volumes"]
        if volume["name"] == "credentials"
    ]
    pods = [f"{METADATA}-{number}" for number in range(1, int(count) + 1)]

    assert (spec["replicas"], spec["ordinals"]["start"]) == (int(count), 1)
    assert {item["key"]: item["path"] for item in items} == {
        f"{pod}.{name}": f"{pod}/{name}" for pod in pods for name in PLACES
    }
