"""The scripts: clean shell, a dry run without a cluster, and no secret on any command line."""

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.deploy.deployment import MINIKUBE, ROOT, need_kubectl, tool

pytestmark = pytest.mark.deploy

NUMBERED = sorted(MINIKUBE.glob("[0-9]*-*"))
OTHERS = [
    MINIKUBE / "lib.sh",
    ROOT / "deploy" / "nats" / "run",
    ROOT / "scripts" / "setup-deploy-tools",
]
COMMANDS = [*NUMBERED, MINIKUBE / "up", ROOT / "scripts" / "build-images"]

KUBECTL = """#!/bin/sh
# Records what it was asked for; what needs no cluster is done by the real one.
printf '%s\\n' "$*" >> "$RECORD/calls"
case "$*" in
    kustomize* | *--dry-run=client* | version*) exec "$REAL_KUBECTL" "$@" ;;
    *" apply "*) cat >> "$RECORD/applied" ;;
esac
"""
MINIKUBE_STUB = """#!/bin/sh
printf 'minikube %s\\n' "$*" >> "$RECORD/calls"
case "$*" in *" ip") echo 198.51.100.7 ;; esac
"""
CONTENTS = {
    "openbao/tls/cert.pem": "certificate-of-listener",
    "openbao/tls/key.pem": "HIDDEN-listener-key",
    "openbao/seal.key": "HIDDEN-seal-key",
    "pinned/openbao-ca.pem": "ca-of-listener",
    "pinned/operator.pub": "operator",
    "pinned/metadata-identities.json": "{}",
    "operator/openbao-ca-key.pem": "HIDDEN-ca-key",
    "metadata/state/identity.seed": "HIDDEN-seed",
    "metadata/state/instance": "metadata-1",
    "metadata-2/state/identity.seed": "HIDDEN-second-seed",
    "metadata-2/state/instance": "metadata-2",
    **{
        f"{service}/{name}": f"HIDDEN-{service}-{name}"
        for service in ("metadata", "metadata-2", "watcher", "gatekeeper", "authcontroller")
        for name in ("role_id", "secret_id")
    },
}


def run(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_script_is_clean_and_may_be_run() -> None:
    shellcheck = tool("shellcheck")
    for script in COMMANDS:
        assert script.stat().st_mode & stat.S_IXUSR, script

    said = subprocess.run(
        [shellcheck, "-x", *map(str, COMMANDS), *map(str, OTHERS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 0, said.stdout


def test_the_steps_are_numbered_from_prerequisites_to_teardown() -> None:
    assert [path.name for path in NUMBERED] == [
        "00-prerequisites",
        "10-clusters",
        "20-images",
        "30-openbao",
        "40-provision",
        "50-credentials",
        "60-servers",
        "70-metadata",
        "80-services",
        "90-verify",
        "99-teardown",
    ]


@pytest.mark.parametrize("choice", ["", "ST_AMBIENT", "ST_CERT_MANAGER"])
def test_up_says_everything_it_would_do(choice: str) -> None:
    need_kubectl()
    said = run(MINIKUBE / "up", "--dry-run", **({choice: "yes"} if choice else {}))

    steps = re.findall(r"^\[up\] (\d\d)-", said.stdout, re.MULTILINE)

    assert said.returncode == 0, said.stderr
    assert steps == ["00", "10", "20", "30", "40", "50", "60", "70", "80", "90"]
    assert "unknown number" not in said.stdout
    assert {"ST_AMBIENT": "overlays/ambient/bao", "ST_CERT_MANAGER": "overlays/cert-manager"}.get(
        choice, "clusters/bao"
    ) in said.stdout


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    run(MINIKUBE / "up", "--dry-run", ST_VAR=str(tmp_path / "var"))
    run(MINIKUBE / "99-teardown", "--dry-run", "--purge", ST_VAR=str(tmp_path / "var"))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", COMMANDS, ids=lambda path: path.name)
def test_a_mistake_is_answered_with_a_line(script: Path) -> None:
    said = run(script, "--frobnicate")

    assert said.returncode == 2
    assert said.stderr.strip()


@pytest.fixture
def prepared(tmp_path: Path) -> dict[str, str]:
    """A directory of credentials, and programs that record instead of reaching a cluster."""
    real = need_kubectl()
    for name, content in CONTENTS.items():
        path = tmp_path / "var" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("kubectl", KUBECTL), ("minikube", MINIKUBE_STUB)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "REAL_KUBECTL": real,
        "RECORD": str(tmp_path),
        "ST_VAR": str(tmp_path / "var"),
    }


@pytest.mark.parametrize("script", ["30-openbao", "50-credentials"])
def test_secrets_reach_the_cluster_but_no_command_line_and_no_output(
    script: str, prepared: dict[str, str]
) -> None:
    said = run(MINIKUBE / script, **prepared, ST_CERT_MANAGER="yes")
    calls = Path(prepared["RECORD"], "calls").read_text()
    applied = Path(prepared["RECORD"], "applied").read_text()

    assert said.returncode == 0, said.stderr
    assert "HIDDEN" not in calls + said.stdout + said.stderr
    assert "kind: Secret" in applied
    assert "--server-side" in calls


def test_other_clusters_are_found_by_the_address_minikube_gave_them(
    prepared: dict[str, str],
) -> None:
    said = run(MINIKUBE / "80-services", **prepared, ST_SERVERS_ADDRESS="203.0.113.9")
    applied = Path(prepared["RECORD"], "applied").read_text()

    assert said.returncode == 0, said.stderr
    assert applied.count("- 198.51.100.7") == 1
    assert applied.count("- 203.0.113.9") == 3
    assert "192.0.2." not in applied


def test_images_of_another_version_can_be_deployed(prepared: dict[str, str]) -> None:
    run(MINIKUBE / "80-services", **prepared, ST_VERSION="9.8.7")
    applied = Path(prepared["RECORD"], "applied").read_text()

    assert "image: securetransport/gatekeeper:9.8.7" in applied


def test_what_a_step_lacks_is_named(prepared: dict[str, str]) -> None:
    (Path(prepared["ST_VAR"]) / "gatekeeper" / "secret_id").unlink()

    said = run(MINIKUBE / "50-credentials", **prepared)

    assert said.returncode == 1
    assert "gatekeeper/secret_id is missing" in said.stderr


def test_images_are_built_of_all_services_and_the_command() -> None:
    said = run(ROOT / "scripts" / "build-images", "--dry-run", ST_VERSION="1.2.3")

    built = re.findall(r"--tag securetransport/(\w+):1\.2\.3", said.stdout)

    assert built == ["metadata", "watcher", "gatekeeper", "authcontroller", "console"]
