"""What the local stack writes is what the services and servers read."""

from dataclasses import replace
from pathlib import Path

import pytest

from devstack.bootstrap_spec import APP_ROLES, bootstrap_spec
from devstack.endpoints import plan_endpoints
from devstack.identities import ensure_pinned_identities
from devstack.layout import SERVICES, Layout, metadata_replicas
from devstack.nats_nodes import node_config
from devstack.services import ServicePlan, write_configuration
from services.authcontroller.config import AuthControllerSettings
from services.gatekeeper.config import GatekeeperSettings
from services.metadata.config import MetadataSettings
from services.watcher.config import WatcherSettings
from svc_core.adapters.pinned import read_pinned_identities
from svc_core.config import ServiceSettings, TrustSettings
from svc_core.domain.identity import METADATA, Deployment
from svc_core.domain.profiles import PROFILES
from svc_core.domain.subjects import LEAST_STREAM_BYTES, MOST_STREAM_BYTES
from svc_core.errors import ConfigError
from svc_core.settings_loader import load_settings


def plan_at(root: Path, *, metadata: int = 1) -> ServicePlan:
    layout = Layout(root)
    endpoints = plan_endpoints(layout, profile="demo", base_port=None, replicas=metadata)
    return ServicePlan(layout, endpoints, Deployment(), replicas=3)


@pytest.mark.parametrize(
    ("service", "model"),
    [
        ("metadata", MetadataSettings),
        ("watcher", WatcherSettings),
        ("gatekeeper", GatekeeperSettings),
        ("authcontroller", AuthControllerSettings),
    ],
)
def test_a_service_accepts_its_configuration(
    tmp_path: Path, service: str, model: type[ServiceSettings]
) -> None:
    plan = plan_at(tmp_path)

    path = write_configuration(plan, service)
    settings = load_settings(model, config_file=path, environ={})

    assert settings.profile == "demo"
    assert settings.deployment == Deployment()
    assert settings.nats.servers == tuple(node.url for node in plan.endpoints.nats)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("size", "is_taken"),
    [
        pytest.param(LEAST_STREAM_BYTES - 1, False, id="too small"),
        pytest.param(LEAST_STREAM_BYTES, True, id="smallest"),
        pytest.param(MOST_STREAM_BYTES, True, id="all that is reserved"),
        pytest.param(MOST_STREAM_BYTES + 1, False, id="more than is reserved"),
    ],
)
def test_the_size_of_streams_is_metadatas(tmp_path: Path, size: int, *, is_taken: bool) -> None:
    path = write_configuration(replace(plan_at(tmp_path), stream_bytes=size), METADATA)

    if not is_taken:
        with pytest.raises(ConfigError, match="stream_bytes"):
            load_settings(MetadataSettings, config_file=path, environ={})
        return
    settings = load_settings(MetadataSettings, config_file=path, environ={})

    assert settings.stream_bytes == size


def test_a_further_replica_has_a_directory_a_port_and_a_name_of_its_own(tmp_path: Path) -> None:
    plan = plan_at(tmp_path, metadata=2)

    paths = [write_configuration(plan, name) for name in metadata_replicas(2)]
    first, second = (load_settings(MetadataSettings, config_file=p, environ={}) for p in paths)

    assert (first.instance, second.instance) == ("metadata-1", "metadata-2")
    assert first.acl_file == second.acl_file
    assert first.openbao.secret_id_file != second.openbao.secret_id_file
    for replica in (first, second):
        assert replica.admin.dns_names == ("metadata", "localhost")
    assert first.admin.port != second.admin.port
    assert first.state_dir != second.state_dir
    assert first.log.file != second.log.file


@pytest.mark.parametrize("service", SERVICES)
def test_directories_of_a_service_are_its_own(tmp_path: Path, service: str) -> None:
    write_configuration(plan_at(tmp_path), service)

    assert (tmp_path / service / "state").stat().st_mode & 0o777 == 0o700


def test_a_node_dials_the_others_and_reads_what_rotates_from_live(tmp_path: Path) -> None:
    nodes = plan_at(tmp_path).endpoints.nats

    text = node_config(tmp_path / "n1", nodes[0], nodes, Deployment())

    assert f"127.0.0.1:{nodes[1].route_port}" in text
    assert text.count(f"127.0.0.1:{nodes[0].route_port}") == 1
    assert 'include "live/accounts.conf"' in text
    assert "\nhttp" not in text


def test_the_pinned_identities_are_signed_and_stay_the_same(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    ensure_pinned_identities(layout)
    before = layout.metadata_identities.read_bytes()
    ensure_pinned_identities(layout)

    trust = TrustSettings(
        operator_key_file=layout.operator_key,
        metadata_identities_file=layout.metadata_identities,
    )
    assert [identity.id for identity in read_pinned_identities(trust)] == ["metadata-1"]
    assert layout.metadata_identities.read_bytes() == before


def test_a_further_replica_is_pinned_and_stays_so(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    ensure_pinned_identities(layout)
    seed = layout.service("metadata") / "state" / "identity.seed"
    before = seed.read_bytes()
    ensure_pinned_identities(layout, replicas=2)
    both = layout.metadata_identities.read_bytes()
    ensure_pinned_identities(layout)

    trust = TrustSettings(
        operator_key_file=layout.operator_key,
        metadata_identities_file=layout.metadata_identities,
    )
    assert [i.id for i in read_pinned_identities(trust)] == ["metadata-1", "metadata-2"]
    assert layout.metadata_identities.read_bytes() == both
    assert seed.read_bytes() == before


def test_a_list_that_is_not_the_operators_is_made_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    ensure_pinned_identities(layout)
    (layout.operator / "identity.seed").unlink()
    before = layout.metadata_identities.read_bytes()

    ensure_pinned_identities(layout)

    assert layout.metadata_identities.read_bytes() != before


def test_every_certificate_role_is_strict() -> None:
    spec = bootstrap_spec(PROFILES["demo"], Deployment())

    for path, role in spec.roles.items():
        assert role["allow_any_name"] is False, path
        assert role["no_store"] is True, path
        assert role["not_before_duration"] == "67s", path
        assert role["max_ttl"] == "75s", path
    assert len(spec.roles) == 13


def test_another_profile_or_policy_is_another_set_up() -> None:
    spec = bootstrap_spec(PROFILES["demo"], Deployment())
    other = bootstrap_spec(PROFILES["testing"], Deployment())

    assert spec.fingerprint == bootstrap_spec(PROFILES["demo"], Deployment()).fingerprint
    assert spec.fingerprint != other.fingerprint
    assert set(spec.policies) == set(APP_ROLES)
