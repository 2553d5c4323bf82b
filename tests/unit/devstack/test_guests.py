"""Parties beside the system's own change nothing of it, and may do little themselves."""

from pathlib import Path

from devstack.bootstrap_spec import bootstrap_spec
from devstack.endpoints import plan_endpoints
from devstack.guests import LIGHT, SURVEYOR, guest_users
from devstack.layout import Layout
from devstack.nats_nodes import node_config, prepare_nodes
from svc_core.domain.identity import Deployment
from svc_core.domain.profiles import PROFILES

DEPLOYMENT = Deployment()
SOAK = PROFILES["soak"]


def test_a_stack_without_guests_is_set_up_as_ever() -> None:
    assert bootstrap_spec(SOAK, DEPLOYMENT) == bootstrap_spec(SOAK, DEPLOYMENT, ())
    assert guest_users((), DEPLOYMENT) == guest_users((SURVEYOR,), DEPLOYMENT) == ""


def test_guests_come_beside_what_there_is() -> None:
    without = bootstrap_spec(SOAK, DEPLOYMENT)
    spec = bootstrap_spec(SOAK, DEPLOYMENT, (LIGHT, SURVEYOR))

    assert without.roles.items() <= spec.roles.items()
    assert set(spec.roles) - set(without.roles) == {"nats_int/roles/light"}
    assert set(spec.policies) - set(without.policies) == {"light", "surveyor"}
    assert spec.app_roles["surveyor"]["token_policies"] == ["surveyor"]
    assert spec.fingerprint != without.fingerprint


def test_a_light_leaf_is_for_that_user_only_and_as_strict_as_any() -> None:
    role = bootstrap_spec(SOAK, DEPLOYMENT, (LIGHT,)).roles["nats_int/roles/light"]

    assert role["allowed_uri_sans"] == [DEPLOYMENT.spiffe_id("light")]
    assert (role["allow_any_name"], role["server_flag"], role["no_store"]) == (False, False, True)


def test_no_guest_reads_a_secret_or_changes_anything_but_its_leaf() -> None:
    assert "secret/data/" not in SURVEYOR.policy
    assert LIGHT.policy.count("secret/data/") == 1
    assert "secret/data/transport/desired" in LIGHT.policy
    for policy in (LIGHT.policy, SURVEYOR.policy):
        assert "delete" not in policy
        assert "create" not in policy


def test_nodes_know_the_guest_that_connects_beside_the_accounts(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    nodes = plan_endpoints(layout, profile="soak", base_port=None).nats

    prepare_nodes(layout, nodes, DEPLOYMENT, (LIGHT, SURVEYOR))

    text = (layout.node("n1") / "nats.conf").read_text()
    assert text.startswith(node_config(layout.node("n1"), nodes[0], nodes, DEPLOYMENT))
    assert text.count('user: "spiffe://securetransport.local/ns/default/sa/light"') == 1
    assert "surveyor" not in text
    assert text.count('allow: ["_INBOX_light.>"]') == 2
