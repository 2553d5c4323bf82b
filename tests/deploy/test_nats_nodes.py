"""A node is set up alike in all three places, and knows how much memory it may take."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from devstack.endpoints import NatsEndpoint
from devstack.nats_nodes import node_config
from svc_core.domain.identity import Deployment
from tests.deploy.deployment import ROOT, containers, everywhere, read_yaml

pytestmark = pytest.mark.deploy

OF_A_PLACE: Final = frozenset(
    {"server_name", "listen", "http", "log_file", "logfile_size_limit", "logfile_max_num"}
    | {"pid_file", "store_dir", "cert_file", "key_file", "ca_file", "routes", "user"}
)
"""What must differ; everything else must not."""
SETTING: Final = re.compile(r"^ *(?P<key>\w+)(?:: *(?P<value>.+)| *(?P<block>\{))$", re.MULTILINE)
MIB: Final = re.compile(r"(\d+)(?:MiB|Mi|m)")
MOST: Final = 0.9
"""Of the limit: what is not Go's own is in there too."""


def settings(text: str) -> list[tuple[str, str]]:
    """Return every setting that is of no place, in the order of the file."""
    found = [(m["key"], m["value"] or m["block"]) for m in SETTING.finditer(text)]
    return [(key, value) for key, value in found if key not in OF_A_PLACE]


def mebibytes(text: str) -> int:
    match = MIB.fullmatch(text)
    assert match, text
    return int(match[1])


def test_both_configurations_have_the_same_settings() -> None:
    node = NatsEndpoint("n1", "tls://127.0.0.1:4222", 6222, "/n1/live", "/n1/nats.pid")
    here = node_config(Path("/n1"), node, [node], Deployment())
    there = (ROOT / "deploy" / "nats" / "nats.conf").read_text()

    assert len(settings(here)) > 20
    assert settings(here) == settings(there)


def test_garbage_is_collected_before_a_server_meets_its_limit() -> None:
    checked = 0
    for where, workload in everywhere("StatefulSet"):
        for container in containers(workload):
            if container["name"] == "nats":
                environment = {entry["name"]: entry.get("value") for entry in container["env"]}
                limit = mebibytes(container["resources"]["limits"]["memory"])
                assert mebibytes(environment["GOMEMLIMIT"]) <= MOST * limit, where
                checked += 1
    assert checked
    services: dict[str, Any] = read_yaml(ROOT / "compose.yaml")["services"]
    for name in ("nats-1", "nats-2", "nats-3"):
        nats = services[name]
        limit = mebibytes(nats["mem_limit"])
        assert mebibytes(nats["environment"]["GOMEMLIMIT"]) <= MOST * limit, name
