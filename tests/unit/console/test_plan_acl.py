"""``plan acl`` says what a manifest would change, and does nothing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from console.acl_plan import KNOWN, PlanOptions, plan_acl
from devstack.endpoints import Endpoints, NatsEndpoint, OpenBaoEndpoint, write_endpoints
from devstack.layout import Layout
from devstack.process_ids import ProcessId
from devstack.registry import RegisteredChild, Registry
from svc_core.errors import ConfigError
from tests.unit.console.test_command_line import run

SHIPPED = Path(__file__).parents[3] / "deploy" / "acl.yaml"
IN_FORCE = """\
roles:
  gatekeeper: {publish: [auth.auth-request], subscribe: [gatekeeper.responder]}
  authcontroller: {publish: [gatekeeper.responder], subscribe: [auth.auth-request]}
"""
WANTED = """\
roles:
  gatekeeper: {publish: [auth.auth-request, billing.request]}
  authcontroller: {publish: [gatekeeper.responder], subscribe: [auth.auth-request]}
  watcher: {}
"""
BROKEN = """\
role: {}
roles:
  gatekeper: {publish: [a..b]}
"""


@pytest.fixture
def in_force(tmp_path: Path) -> Path:
    path = tmp_path / "in-force.yaml"
    path.write_text(IN_FORCE)
    return path


@pytest.fixture
def wanted(tmp_path: Path) -> Path:
    path = tmp_path / "wanted.yaml"
    path.write_text(WANTED)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN)
    return path


async def test_the_plan_says_what_changes_and_what_follows(
    in_force: Path, wanted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await plan_acl(PlanOptions(wanted, in_force, Path("var"), as_json=False))

    out, err = capsys.readouterr()
    cells = [[c.strip() for c in line.split("\u2502")[1:-1]] for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [row for row in cells if row] == [
        ["gatekeeper", "publish billing.request", "subscribe gatekeeper.responder"],
        ["watcher (new)", "", ""],
    ]
    assert out.splitlines()[-8:] == [
        "services added: watcher",
        "services removed: none",
        "topics added: billing.request",
        "topics removed: none",
        "keys that would roll: gatekeeper.responder",
        "bundles issued again: authcontroller, gatekeeper, watcher",
        "NATS users that change: gatekeeper, watcher",
        "NATS servers to reload: all",
    ]


async def test_the_plan_as_json_is_complete(
    in_force: Path, wanted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await plan_acl(PlanOptions(wanted, in_force, Path("var"), as_json=True))

    assert code == 0
    assert read_json(capsys) == {
        "valid": True,
        "changed": True,
        "file": str(wanted),
        "against": str(in_force),
        "problems": [],
        "services": {
            "gatekeeper": {
                "granted": {"publish": ["billing.request"], "subscribe": []},
                "withdrawn": {"publish": [], "subscribe": ["gatekeeper.responder"]},
            }
        },
        "services_added": ["watcher"],
        "services_removed": [],
        "topics_added": ["billing.request"],
        "topics_removed": [],
        "keys_to_roll": ["gatekeeper.responder"],
        "bundles": ["authcontroller", "gatekeeper", "watcher"],
        "nats_users": ["gatekeeper", "watcher"],
        "nats_reload": True,
        "nats_servers": [],
    }


async def test_a_manifest_that_changes_nothing_says_so(
    in_force: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await plan_acl(PlanOptions(in_force, in_force, Path("var"), as_json=False))

    assert (code, capsys.readouterr().out) == (0, "nothing would change\n")


async def test_mistakes_are_lines_with_places_and_code_2(
    in_force: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await plan_acl(PlanOptions(broken, in_force, Path("var"), as_json=False))

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert [line.rpartition(broken.name)[2].partition(" ")[0] for line in err.splitlines()] == [
        ":1:1:",
        ":3:3:",
        ":3:25:",
    ]
    assert "(did you mean gatekeeper?)" in err


async def test_mistakes_as_json_are_the_whole_answer(
    in_force: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await plan_acl(PlanOptions(broken, in_force, Path("var"), as_json=True))

    document = read_json(capsys)
    assert code == 2
    assert not document["valid"]
    assert [(p["line"], p["column"], p["severity"]) for p in document["problems"]] == [
        (1, 1, "error"),
        (3, 3, "warning"),
        (3, 25, "error"),
    ]


async def test_the_running_stacks_manifest_is_what_is_in_force(
    wanted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = running_stack(tmp_path / "var")

    code = await plan_acl(PlanOptions(wanted, None, layout.root, as_json=True))

    document = read_json(capsys)
    assert code == 0
    assert document["against"] == str(layout.acl_file)
    assert document["nats_servers"] == ["n1", "n2"]


async def test_a_manifest_in_force_that_has_mistakes_cannot_be_compared_with(
    wanted: Path, broken: Path
) -> None:
    with pytest.raises(ConfigError, match=r"broken\.yaml:1:1: error: unknown name"):
        await plan_acl(PlanOptions(wanted, broken, Path("var"), as_json=False))


async def test_a_large_change_is_cut_in_the_table_and_whole_in_json(
    in_force: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = ", ".join(f"billing.t{n:02}" for n in range(30))
    wanted = tmp_path / "wanted.yaml"
    wanted.write_text(IN_FORCE + f"  watcher: {{publish: [{topics}]}}\n")

    await plan_acl(PlanOptions(wanted, in_force, Path("var"), as_json=False))
    shown = capsys.readouterr().out
    await plan_acl(PlanOptions(wanted, in_force, Path("var"), as_json=True))
    whole = read_json(capsys)

    assert "publish billing.t19" in shown
    assert "billing.t20" not in shown
    assert shown.count("and 10 more") == 2
    assert len(whole["topics_added"]) == 30


def test_the_services_of_the_stack_are_those_of_the_shipped_manifest() -> None:
    assert {f"\n  {name}:" in SHIPPED.read_text() for name in KNOWN} == {True}


def test_without_a_stack_the_command_says_what_to_compare_with(tmp_path: Path) -> None:
    answer = run("plan", "acl", str(SHIPPED), "--var", str(tmp_path))

    assert answer.returncode == 2
    assert answer.stderr == (
        f"error: no stack runs in {tmp_path}. Name the manifest in force with --against, "
        "or the stack's directory with --var.\n"
    )


def test_a_file_that_is_not_there_is_one_line_and_code_2(tmp_path: Path) -> None:
    missing = tmp_path / "acl.yaml"

    answer = run("plan", "acl", str(missing), "--against", str(SHIPPED))

    assert (answer.returncode, answer.stderr) == (
        2,
        f"error: {missing}: cannot be read: No such file or directory.\n",
    )


def test_the_exit_code_is_the_answer(broken: Path) -> None:
    valid = run("plan", "acl", str(SHIPPED), "--against", str(SHIPPED))
    invalid = run("plan", "acl", str(broken), "--against", str(SHIPPED))

    assert (valid.returncode, valid.stdout) == (0, "nothing would change\n")
    assert (invalid.returncode, invalid.stdout) == (2, "")


def running_stack(root: Path) -> Layout:
    """Leave in ``root`` what a running stack leaves there; this process plays its Metadata."""
    layout = Layout.at(root)
    layout.acl_file.parent.mkdir(parents=True)
    layout.acl_file.write_text(IN_FORCE)
    nodes = tuple(
        NatsEndpoint(name, "tls://127.0.0.1:1", 2, "pid", "live") for name in ("n1", "n2")
    )
    openbao = OpenBaoEndpoint("https://127.0.0.1:3", "ca.pem", 4)
    write_endpoints(layout.endpoints_file, Endpoints("demo", openbao, nodes, {}))
    child = RegisteredChild("metadata", 2, ProcessId.of(os.getpid()))
    Registry(layout.stack_file).add(child)
    return layout


def read_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document
