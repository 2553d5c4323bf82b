"""The commands of the runbooks: each is run where it can be, and names only what exists."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.deploy.deployment import KUSTOMIZATIONS, ROOT, need_kubectl, read_yaml, rendered, tool

pytestmark = pytest.mark.deploy

RUNBOOKS = ROOT / "docs" / "runbooks"
DEPLOYED = (
    "install-on-minikube.md",
    "run-with-compose.md",
    "read-the-counters.md",
    "upgrade.md",
    "tear-down.md",
)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OWN = ("deploy/minikube/", "scripts/")
CLUSTERS = {name: f"clusters/{name}" for name in ("bao", "servers", "services")}


def commands() -> list[str]:
    found = [
        line
        for page in DEPLOYED
        for block in BLOCK.findall((RUNBOOKS / page).read_text())
        for line in block.splitlines()
    ]
    return sorted(set(found))


def words(command: str) -> tuple[dict[str, str], list[str]]:
    parts = shlex.split(command)
    settings: dict[str, str] = {}
    while parts and re.match(r"^[A-Z_]+=", parts[0]):
        name, _, value = parts.pop(0).partition("=")
        settings[name] = value
    return settings, parts


def starting(*programs: str) -> list[str]:
    return [c for c in commands() if words(c)[1][0].startswith(programs)]


def test_every_command_is_of_a_kind_that_is_checked_here() -> None:
    checked = starting(*OWN, "docker", "kubectl", "promtool", "rm")

    assert checked == commands()


@pytest.mark.parametrize("command", starting(*OWN))
def test_a_script_does_a_dry_run_with_those_arguments(command: str, tmp_path: Path) -> None:
    need_kubectl()
    settings, (script, *arguments) = words(command)

    said = subprocess.run(
        [str(ROOT / script), *{*arguments, "--dry-run"}],
        env={"PATH": os.environ["PATH"], "ST_VAR": str(tmp_path), **settings},
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("command", starting("docker"))
def test_compose_knows_the_services_and_options(command: str) -> None:
    services = read_yaml(ROOT / "compose.yaml")["services"].keys()
    _, parts = words(command)
    verbs = {"up", "down", "ps", "logs", "kill", "start", "stop", "restart", "build"}
    values = {"dashboards", "20", "KILL"}

    named = [w for w in parts[2:] if not w.startswith("-") and w not in verbs | values]

    assert parts[1] == "compose"
    assert set(named) <= set(services)


@pytest.mark.parametrize("command", starting("kubectl"))
def test_what_is_looked_at_is_deployed_there(command: str) -> None:
    need_kubectl()
    _, parts = words(command)
    manifests = rendered(CLUSTERS[parts[parts.index("--context") + 1]])
    namespace = parts[parts.index("--namespace") + 1]

    objects = {
        f"{m['kind'].lower()}/{m['metadata']['name']}"
        for m in manifests
        if m["metadata"].get("namespace") == namespace
    }
    named = [word for word in parts if word.startswith("statefulset/")]

    assert objects
    assert set(named) <= objects


@pytest.mark.parametrize("command", starting("promtool"))
def test_promtool_accepts_it(command: str) -> None:
    promtool = tool("promtool", setting="PROMTOOL")

    said = subprocess.run(
        [promtool, *words(command)[1][1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert said.returncode == 0, said.stdout + said.stderr


def test_the_tables_name_every_alert_and_only_metrics_that_exist() -> None:
    page = (RUNBOOKS / "read-the-counters.md").read_text()
    groups = read_yaml(ROOT / "deploy" / "observability" / "alerts.yml")["groups"]

    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}

    assert alerts <= set(re.findall(r"`(\w+)`", page))


def test_the_pages_name_files_that_exist() -> None:
    for page in DEPLOYED:
        for path in re.findall(r"`(deploy/[\w./-]+)`", (RUNBOOKS / page).read_text()):
            assert (ROOT / path).exists(), f"{page}: {path}"


def test_every_step_is_in_the_table_of_the_installation() -> None:
    page = (RUNBOOKS / "install-on-minikube.md").read_text()

    for script in (ROOT / "deploy" / "minikube").glob("[0-9]*-*"):
        assert f"`{script.name}`" in page
    assert len(KUSTOMIZATIONS) == 7
