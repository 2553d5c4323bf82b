"""Versions of others: each pinned once, the same everywhere, and shown to exist by a document."""

import re
import shlex

import pytest

from tests.deploy.deployment import MINIKUBE, ROOT, read_yaml

pytestmark = pytest.mark.deploy

PAGE = ROOT / "docs" / "runbooks" / "versions.md"
ROW = re.compile(
    r"^\| [^|]+ \| `([^`]+)` \| (`[^|]+) \| \[[^]]+\]\(https://\S+\) \|$", re.MULTILINE
)
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")
OUR_OWN = "securetransport/"


def compose_images() -> set[str]:
    services = read_yaml(ROOT / "compose.yaml")["services"].values()
    return {DEFAULT.sub(r"\1", service["image"]) for service in services}


def kustomized_images() -> set[str]:
    bases = sorted((MINIKUBE / "bases").glob("*/kustomization.yaml"))
    images = [image for base in bases for image in read_yaml(base).get("images", [])]
    return {f"{image.get('newName', image['name'])}:{image['newTag']}" for image in images}


def bases() -> set[str]:
    files = ("Dockerfile", "compose.yaml", "scripts/build-images")
    text = "\n".join((ROOT / file).read_text() for file in files)
    return set(re.findall(r"python:[\d.]+-slim-\w+", text))


def settings() -> set[str]:
    words = shlex.split((MINIKUBE / "settings.env").read_text(), comments=True)
    found = dict(re.findall(r"\$\{(\w+):=(v?\d+\.\d+\.\d+)\}", "\n".join(words)))
    del found["ST_VERSION"]
    return set(found.values())


def chart() -> set[str]:
    return set(re.findall(r"--version (\S+)", (MINIKUBE / "openbao-values.yaml").read_text()))


def pinned() -> set[str]:
    images = {i for i in compose_images() | kustomized_images() if not i.startswith(OUR_OWN)}
    return images | bases() | settings() | chart()


def test_every_version_is_in_the_table_with_a_document_and_no_other_is() -> None:
    shown = {version for version, _ in ROW.findall(PAGE.read_text())}

    assert shown == pinned()


def test_the_table_names_where_each_is_pinned() -> None:
    for version, places in ROW.findall(PAGE.read_text()):
        tag = version.rpartition(":")[2]
        for place in re.findall(r"`([^`]+)`", places):
            path = ROOT / place
            file = path / "kustomization.yaml" if path.is_dir() else path
            assert tag in file.read_text(), f"{version}: {place}"


def test_containers_and_clusters_run_the_same_servers() -> None:
    servers = {image for image in kustomized_images() if not image.startswith(OUR_OWN)}

    assert servers <= compose_images()
    assert {image.partition(":")[0] for image in servers} == {"nats", "openbao/openbao"}
    assert len(bases()) == 1
