"""What an order says when it cannot even be left."""

from pathlib import Path

import pytest

from devstack.identities import ensure_pinned_identities
from devstack.layout import Layout
from devstack.listener_ca import ensure_listener_tls
from svc_core.adapters.files import make_private_directory
from tests.builders import NOW
from tests.unit.console.test_command_line import run

ORDERS = [("rotate", "keys"), ("revoke", "gatekeeper"), ("unrevoke", "gatekeeper")]


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_without_the_operators_key_nothing_can_be_ordered(
    order: tuple[str, ...], tmp_path: Path
) -> None:
    answer = run(*order, "--var", str(tmp_path))

    assert answer.returncode == 2
    assert "no operator's key" in answer.stderr
    assert "--var" in answer.stderr


def test_without_a_stack_there_is_nobody_to_order_about(tmp_path: Path) -> None:
    ensure_pinned_identities(Layout.at(tmp_path))

    answer = run("rotate", "keys", "--var", str(tmp_path))

    assert answer.returncode == 2
    assert f"no stack runs in {tmp_path}" in answer.stderr


def test_an_openbao_that_does_not_answer_is_said(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    ensure_pinned_identities(layout)
    folder = make_private_directory(tmp_path / "tls")
    ensure_listener_tls(folder, layout.openbao_ca, layout.operator / "ca.pem", now=NOW)
    for path in (layout.role_id("operator"), layout.secret_id("operator")):
        path.write_text("none")

    answer = run("rotate", "keys", "--url", "https://127.0.0.1:1", "--var", str(tmp_path))

    assert answer.returncode == 1
    assert "OpenBao did not answer" in answer.stderr
    assert answer.stdout == ""
