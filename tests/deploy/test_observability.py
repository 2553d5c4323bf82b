"""Alerts fire where they should, and nothing is asked for that no service exports."""

import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from devstack.layout import service_of
from services.metadata.flows.accessor_janitor import unclaimed_counter
from services.metadata.flows.manifest_metrics import ManifestMetrics
from services.metadata.flows.rotation_metrics import IssuanceMetrics
from services.watcher.flows.reload_metrics import ReloadMetrics
from svc_core.adapters.nats_connection import NatsConnection, NatsUser
from svc_core.adapters.nats_link import LinkCredentials
from svc_core.adapters.system_clock import SystemClock
from svc_core.config import NatsSettings
from svc_core.domain.handshakes import Refusal
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER
from svc_core.domain.tls import TlsHealth, TlsState
from svc_core.flows.identity_following import IdentityFollower
from svc_core.flows.statements import Statements
from svc_core.runtime.admin_metrics import AdminMetrics
from svc_core.runtime.connection_metrics import export_connection
from svc_core.runtime.health import Health
from svc_core.runtime.metrics import RotationMetrics, StateReadings, export_state
from svc_core.runtime.publish_metrics import export_publishing
from svc_core.runtime.tls_watching import export_tls
from svc_core.runtime.traffic_metrics import TrafficMetrics
from svc_core.wire.identities import SignedIdentities
from tests.builders import seeded_entropy
from tests.deploy.deployment import OBSERVABILITY, ROOT, read_yaml, tool

pytestmark = pytest.mark.deploy

OF_PROMETHEUS = {"up"}
NO_METRIC = {"by", "on", "and", "or", "group_left", "le", "service", "code", "role", "bool"}
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\w*\s*\()")


class Held:
    """An identity whose certificate is fine."""

    health = TlsHealth(TlsState.OK, timedelta(seconds=60))


class Unread:
    """A list that nobody looks at."""

    name = "nowhere"

    def follow(self) -> AsyncIterator[bytes | None]:
        raise AssertionError

    def verified(self, raw: bytes) -> SignedIdentities:
        raise AssertionError


def unconnected() -> NatsConnection:
    settings = NatsSettings(servers=("tls://127.0.0.1:1",))

    def none() -> LinkCredentials:
        raise AssertionError

    return NatsConnection(settings, NatsUser(GATEKEEPER, "nobody"), none, seeded_entropy())


def exported() -> set[str]:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    RotationMetrics(registry).moved(issuer="ca-1-1", duration_s=0.1)
    TrafficMetrics(registry).rejected("message.replayed")
    IssuanceMetrics(registry)
    ManifestMetrics(registry)
    unclaimed_counter(registry).labels("gatekeeper")
    ReloadMetrics(registry)
    export_state(registry, StateReadings(*[lambda: 0.0] * 4))
    AdminMetrics(registry).refused(Refusal.EXPIRED)
    export_tls(registry, {"nats": Held()})
    connection = unconnected()
    export_publishing(registry, connection.publishing)
    export_connection(registry, connection)
    listed = SignedIdentities((), b"", 1, ())
    IdentityFollower(Unread(), listed, Statements([]), Health(SystemClock()), registry)
    return {sample.name for metric in registry.collect() for sample in metric.samples}


def asked(expression: str) -> set[str]:
    plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", expression)
    plain = re.sub(r"\b(by|on|group_left)\s*\([^)]*\)", " ", plain)
    return set(NAME.findall(plain)) - NO_METRIC


def rules() -> Iterator[dict[str, Any]]:
    for group in read_yaml(OBSERVABILITY / "alerts.yml")["groups"]:
        yield from group["rules"]


def dashboard() -> Any:
    return json.loads((OBSERVABILITY / "grafana" / "dashboard.json").read_text())


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def test_alerts_ask_only_for_metrics_that_exist() -> None:
    for rule in rules():
        unknown = asked(rule["expr"]) - exported() - recorded() - OF_PROMETHEUS
        assert unknown == set(), rule.get("alert", rule.get("record"))


def test_the_dashboard_asks_only_for_metrics_that_exist() -> None:
    expressions = {t["expr"]: p["title"] for p in dashboard()["panels"] for t in p["targets"]}
    expressions |= {a["expr"]: a["name"] for a in dashboard()["annotations"]["list"]}

    for expression, title in expressions.items():
        assert asked(expression) - exported() - recorded() == set(), title


def test_what_every_service_exports_about_publishing_and_its_connection_is_on_the_dashboard() -> (
    None
):
    registry, connection = CollectorRegistry(), unconnected()
    export_publishing(registry, connection.publishing)
    export_connection(registry, connection)
    shown = {name for p in dashboard()["panels"] for t in p["targets"] for name in asked(t["expr"])}

    assert {s.name for metric in registry.collect() for s in metric.samples} <= shown


def test_the_dashboards_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


def test_every_alert_says_what_to_do() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]
            assert rule["labels"]["severity"] in {"warning", "critical"}, rule["alert"]


def test_every_alert_is_tested() -> None:
    tests = read_yaml(OBSERVABILITY / "tests" / "alerts_test.yml")["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }

    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}


def test_the_tests_of_the_rules_pass() -> None:
    promtool = tool("promtool", setting="PROMTOOL")
    for command in (
        ["check", "rules", "alerts.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["test", "rules", "tests/alerts_test.yml"],
    ):
        said = subprocess.run(
            [promtool, *command], cwd=OBSERVABILITY, capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stdout + said.stderr


def test_every_service_is_scraped_under_the_name_in_its_certificate() -> None:
    job = read_yaml(OBSERVABILITY / "prometheus.yml")["scrape_configs"][0]
    targets = job["static_configs"][0]["targets"]
    names = read_yaml(ROOT / "compose.yaml")["services"]

    assert {service_of(t.partition(":")[0]) for t in targets} == {
        METADATA,
        WATCHER,
        GATEKEEPER,
        AUTHCONTROLLER,
    }
    assert {t.partition(":")[0] for t in targets} <= names.keys()
    assert "insecure_skip_verify" not in job["tls_config"]
