"""Ports and the file that remembers them."""

import json
import socket
from pathlib import Path

import pytest

from devstack.endpoints import plan_endpoints, read_endpoints, write_endpoints
from devstack.errors import NoFreePortError, PortInUseError, StackDamagedError
from devstack.layout import Layout
from devstack.ports import choose_ports, is_free


def test_every_part_has_a_port_of_its_own_below_the_ephemeral_ones(tmp_path: Path) -> None:
    endpoints = plan_endpoints(Layout(tmp_path), profile="demo", base_port=None)
    ports = list(endpoints.ports().values())
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert len(set(ports)) == len(ports) == 12
    assert max(ports) < first_ephemeral


def test_a_further_replica_has_one_more_port_and_moves_nobody_elses(tmp_path: Path) -> None:
    alone = plan_endpoints(Layout(tmp_path), profile="demo", base_port=None)
    two = plan_endpoints(Layout(tmp_path), profile="demo", base_port=None, replicas=2)

    assert two.ports().keys() - alone.ports().keys() == {"metadata-2"}
    assert alone.ports().items() <= two.ports().items()


def test_what_was_written_is_read_again_and_reused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first = plan_endpoints(layout, profile="demo", base_port=None)
    write_endpoints(layout.endpoints_file, first)

    assert read_endpoints(layout) == first
    assert plan_endpoints(layout, profile="demo", base_port=None) == first


def test_the_file_has_the_documented_shape(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_endpoints(layout.endpoints_file, plan_endpoints(layout, profile="demo", base_port=None))
    document = json.loads(layout.endpoints_file.read_text())

    assert document["openbao"].keys() == {"url", "ca_file", "cluster_port"}
    assert [node["name"] for node in document["nats"]] == ["n1", "n2", "n3"]
    assert document["nats"][0].keys() == {"name", "url", "route_port", "pid_file", "live_dir"}
    assert document["admin"].keys() == {"metadata", "watcher", "gatekeeper", "authcontroller"}
    assert layout.endpoints_file.stat().st_mode & 0o777 == 0o644


def test_a_remembered_port_that_was_taken_is_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        former = taken.getsockname()[1]
        chosen = choose_ports(["a"], remembered={"a": former}, base_port=None, seed="x")

    assert chosen["a"] != former


def test_a_base_port_means_consecutive_ports() -> None:
    base = next(p for p in range(20000, 32000, 7) if all(is_free(p + i) for i in range(3)))

    chosen = choose_ports(["a", "b", "c"], remembered={}, base_port=base, seed="x")

    assert chosen == {"a": base, "b": base + 1, "c": base + 2}


def test_a_taken_port_of_the_range_is_named_with_its_part() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError) as refusal:
            choose_ports(["openbao"], remembered={}, base_port=port, seed="x")

    assert (refusal.value.port, refusal.value.part) == (port, "openbao")


def test_a_range_beyond_the_last_port_is_refused() -> None:
    with pytest.raises(PortInUseError):
        choose_ports(["a", "b"], remembered={}, base_port=65535, seed="x")


def test_no_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devstack.ports.is_free", lambda _: False)

    with pytest.raises(NoFreePortError, match="openbao"):
        choose_ports(["openbao"], remembered={}, base_port=None, seed="x")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"profile": 1}', "\x00"])
def test_a_damaged_file_is_an_error_with_advice(tmp_path: Path, text: str) -> None:
    layout = Layout(tmp_path)
    layout.endpoints_file.write_text(text)

    with pytest.raises(StackDamagedError) as refusal:
        read_endpoints(layout)

    assert "--purge" in refusal.value.advice
