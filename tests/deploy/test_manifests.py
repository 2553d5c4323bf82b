"""What is deployed to Kubernetes: valid, and no more powerful than it has to be."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from svc_core.domain.durations import parse_duration
from svc_core.domain.profiles import PROFILES
from tests.deploy.deployment import (
    KUSTOMIZATIONS,
    MINIKUBE,
    PINNED,
    containers,
    everywhere,
    need_kubectl,
    read_yaml,
    rendered,
    rendered_text,
    tool,
)

pytestmark = pytest.mark.deploy

VERSIONS = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
NOT_OF_KUBERNETES = {"AuthorizationPolicy", "Certificate", "Issuer"}
CERT_MANAGER_SHORTEST = timedelta(hours=1)
CERT_MANAGER_SHORTEST_BEFORE = timedelta(minutes=5)
NAMED_BY_WATCHER = ["nats-ca-tls", "nats-ca-tls-previous", "nats-trust"]


@pytest.fixture(scope="module", autouse=True)
def _can_render() -> None:
    need_kubectl()


def without_custom_resources(kustomization: str) -> str:
    documents = rendered_text(kustomization).split("\n---\n")
    return "\n---\n".join(
        document
        for document in documents
        if not any(f"\nkind: {kind}\n" in document for kind in NOT_OF_KUBERNETES)
    )


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_every_manifest_follows_the_schema_of_every_version(
    kustomization: str, tmp_path: Path
) -> None:
    validate = tool("kubernetes-validate")
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(without_custom_resources(kustomization))
    command = [validate, "--strict"]
    for version in VERSIONS:
        command += ["-k", version]

    said = subprocess.run([*command, str(manifests)], capture_output=True, text=True, check=False)

    assert said.returncode == 0, said.stdout + said.stderr


@pytest.fixture
def namespaces(kustomization: str) -> Iterator[None]:
    """Make the namespaces for real, since a dry run makes none, and remove those that were new."""
    kubectl = need_kubectl()
    if not os.environ.get("KUBECONFIG"):
        # Only a person can say which cluster may be asked.
        pytest.skip("NOT RUN: no real cluster, KUBECONFIG is not set")
    names = [m["metadata"]["name"] for m in rendered(kustomization) if m["kind"] == "Namespace"]
    made = [
        name
        for name in names
        if subprocess.run([kubectl, "create", "namespace", name], check=False).returncode == 0
    ]
    yield
    if made:
        subprocess.run([kubectl, "delete", "namespace", "--wait=false", *made], check=True)


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("kustomization", [k for k in KUSTOMIZATIONS if k.startswith("clusters/")])
def test_a_real_api_server_takes_every_manifest(kustomization: str) -> None:
    command = [need_kubectl(), "apply", "--dry-run=server", "-f", "-"]

    said = subprocess.run(
        command, input=rendered_text(kustomization), capture_output=True, text=True, check=False
    )

    assert said.returncode == 0, said.stderr


def test_no_container_is_privileged_or_can_become_so() -> None:
    for where, workload in everywhere("StatefulSet", "Deployment", "Job"):
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True, where
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), where
        assert not any("hostPath" in volume for volume in pod["volumes"]), where
        for container in containers(workload):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, where
            assert context["readOnlyRootFilesystem"] is True, where
            assert context["capabilities"] == {"drop": ["ALL"]}, where
            assert not context.get("privileged"), where


def test_every_container_has_limits_and_long_running_ones_probes() -> None:
    for where, workload in everywhere("StatefulSet", "Deployment"):
        for container in containers(workload):
            assert container["resources"].keys() == {"requests", "limits"}, where
        for container in workload["spec"]["template"]["spec"]["containers"]:
            probes = {"startupProbe", "livenessProbe", "readinessProbe"}
            assert probes <= container.keys(), where


def test_every_image_is_pinned_to_an_exact_version() -> None:
    for where, workload in everywhere("StatefulSet", "Deployment", "Job"):
        for container in containers(workload):
            assert PINNED.match(container["image"]), f"{where}: {container['image']}"


def test_every_namespace_refuses_what_is_not_restricted() -> None:
    for where, namespace in everywhere("Namespace"):
        labels = namespace["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted", where


def test_no_right_is_a_wildcard_or_reaches_beyond_its_namespace() -> None:
    for where, binding in everywhere("ClusterRole", "ClusterRoleBinding"):
        pytest.fail(f"{where}: nothing here needs the whole cluster ({binding['kind']})")
    for where, role in everywhere("Role"):
        for rule in role["rules"]:
            named = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "*" not in named, where
            assert "delete" not in named, where


def test_secrets_and_config_maps_are_reached_by_name_only() -> None:
    reached: list[str] = []
    for where, role in everywhere("Role"):
        for rule in role["rules"]:
            if not {"secrets", "configmaps", "pods/exec"} & set(rule["resources"]):
                continue
            reached.append(where)
            assert rule.get("resourceNames"), where

    assert reached


def test_watcher_reaches_three_secrets_and_three_pods() -> None:
    roles = [r for _, r in everywhere("Role") if r["metadata"]["name"] == "watcher"]

    named = {
        name
        for role in roles
        for rule in role["rules"]
        if {"secrets", "pods/exec"} & set(rule["resources"])
        for name in rule["resourceNames"]
    }

    assert named == {*NAMED_BY_WATCHER, "nats-0", "nats-1", "nats-2"}


def test_only_the_two_that_ask_the_api_get_a_token() -> None:
    with_token = {
        workload["metadata"]["name"]
        for _, workload in everywhere("StatefulSet")
        if workload["spec"]["template"]["spec"]["automountServiceAccountToken"]
    }

    assert with_token == {"metadata", "watcher"}


def test_every_namespace_with_pods_denies_what_no_policy_allows() -> None:
    for kustomization in KUSTOMIZATIONS:
        manifests = rendered(kustomization)
        namespaces = {m["metadata"]["namespace"] for m in manifests if m["kind"] == "StatefulSet"}
        denied = {
            m["metadata"]["namespace"]
            for m in manifests
            if m["kind"] == "NetworkPolicy"
            and m["spec"]["podSelector"] == {}
            and not m["spec"].get("ingress")
            and not m["spec"].get("egress")
            and set(m["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        }
        assert namespaces <= denied, kustomization


def test_pods_may_ask_for_names() -> None:
    for where, policy in everywhere("NetworkPolicy"):
        if policy["metadata"]["name"] in {"default-deny", "ambient"}:
            continue
        selectors = [
            peer["podSelector"]
            for rule in policy["spec"]["egress"]
            for peer in rule.get("to", [])
            if "namespaceSelector" in peer
        ]
        wanted = {"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}
        assert selectors == [{"matchExpressions": [wanted]}], where


def selects(selector: Mapping[str, str], workload: Mapping[str, Any]) -> bool:
    labels = workload["spec"]["template"]["metadata"]["labels"]
    first = workload["spec"].get("ordinals", {}).get("start", 0)
    numbers = range(first, first + workload["spec"]["replicas"])
    pods = {f"{workload['metadata']['name']}-{n}" for n in numbers}
    own = dict(selector)
    pod = own.pop("statefulset.kubernetes.io/pod-name", None)
    return (pod is None or pod in pods) and own.items() <= labels.items()


def test_every_budget_and_service_selects_pods_and_every_budget_can_be_met() -> None:
    for kustomization in KUSTOMIZATIONS:
        manifests = rendered(kustomization)
        workloads = [m for m in manifests if m["kind"] == "StatefulSet"]
        for manifest in manifests:
            spec = manifest.get("spec", {})
            if manifest["kind"] == "PodDisruptionBudget":
                chosen = [w for w in workloads if selects(spec["selector"]["matchLabels"], w)]
                assert [w["spec"]["replicas"] > spec["minAvailable"] for w in chosen] == [True]
            if manifest["kind"] == "Service" and "selector" in spec:
                assert any(selects(spec["selector"], w) for w in workloads), manifest["metadata"]


def test_a_service_without_pods_has_an_address_elsewhere() -> None:
    for kustomization in KUSTOMIZATIONS:
        manifests = rendered(kustomization)
        slices = {
            (m["metadata"]["namespace"], m["metadata"]["labels"]["kubernetes.io/service-name"]): m
            for m in manifests
            if m["kind"] == "EndpointSlice"
        }
        for manifest in manifests:
            if manifest["kind"] == "Service" and "selector" not in manifest["spec"]:
                place = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
                ports = {port["targetPort"] for port in manifest["spec"]["ports"]}
                assert {port["port"] for port in slices[place]["ports"]} == ports


def test_nats_reloads_from_a_mount_that_follows_its_secret() -> None:
    nats = next(w for _, w in everywhere("StatefulSet") if w["metadata"]["name"] == "nats")
    pod = nats["spec"]["template"]["spec"]
    live = next(m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "live")

    assert "subPath" not in live
    assert pod["containers"][0]["command"] == ["nats-server"]
    assert {"name": "live", "secret": {"secretName": "nats-ca-tls", "defaultMode": 0o440}} in (
        pod["volumes"]
    )


def test_cert_manager_is_asked_for_nothing_it_refuses() -> None:
    certificates = [m for _, m in everywhere("Certificate")]

    assert certificates
    for certificate in certificates:
        duration = parse_duration(certificate["spec"]["duration"])
        before = parse_duration(certificate["spec"]["renewBefore"])
        assert duration >= CERT_MANAGER_SHORTEST
        assert CERT_MANAGER_SHORTEST_BEFORE <= before < duration
        assert certificate["spec"]["privateKey"]["rotationPolicy"] == "Always"


def test_only_the_production_profile_has_leaves_long_enough_for_cert_manager() -> None:
    long_enough = {n for n, p in PROFILES.items() if p.leaf_ttl >= CERT_MANAGER_SHORTEST}

    assert long_enough == {"production"}


def test_the_alternative_chart_is_as_strict() -> None:
    values = read_yaml(MINIKUBE / "openbao-values.yaml")
    raft = values["server"]["ha"]["raft"]["config"]

    assert values["global"]["tlsDisable"] is False
    assert values["server"]["dev"]["enabled"] is False
    assert 'audit "file"' in raft
    # The setting itself is what may not be there: with it a node would join whoever answers.
    assert "tls_skip_verify" not in raft
