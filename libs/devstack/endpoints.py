"""Where every part of one local stack listens, kept in ``endpoints.json``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from devstack.errors import StackDamagedError
from devstack.layout import NODES, SERVICES, Layout, metadata_replicas
from devstack.ports import choose_ports
from svc_core.adapters.files import write_private

_OPENBAO = "openbao"
_OPENBAO_CLUSTER = "openbao-cluster"


@dataclass(frozen=True, slots=True)
class OpenBaoEndpoint:
    """OpenBao's listener; ``cluster_port`` is its raft port, used by itself only."""

    url: str
    ca_file: str
    cluster_port: int


@dataclass(frozen=True, slots=True)
class NatsEndpoint:
    """One NATS node: its client URL, its route port and the files that belong to it."""

    name: str
    url: str
    route_port: int
    pid_file: str
    live_dir: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Everything a client of the stack needs to find it."""

    profile: str
    openbao: OpenBaoEndpoint
    nats: tuple[NatsEndpoint, ...]
    admin: Mapping[str, str]
    """``https://127.0.0.1:port`` of the admin listener of every service and further replica."""

    def ports(self) -> dict[str, int]:
        """Return every port by the part that owns it."""
        chosen = {_OPENBAO: port_of(self.openbao.url), _OPENBAO_CLUSTER: self.openbao.cluster_port}
        for node in self.nats:
            chosen[node.name] = port_of(node.url)
            chosen[_route(node.name)] = node.route_port
        return chosen | {name: port_of(url) for name, url in self.admin.items()}


def port_of(url: str) -> int:
    """Return the port at the end of ``url``."""
    return int(url.rpartition(":")[2])


def read_endpoints(layout: Layout) -> Endpoints | None:
    """Return what ``endpoints.json`` says, or None when there is no stack.

    Raises:
        StackDamagedError: the file is there but says something else.
    """
    try:
        text = layout.endpoints_file.read_text()
    except FileNotFoundError:
        return None
    try:
        document = json.loads(text)
        return Endpoints(
            profile=str(document["profile"]),
            openbao=OpenBaoEndpoint(**document["openbao"]),
            nats=tuple(NatsEndpoint(**node) for node in document["nats"]),
            admin=dict(document["admin"]),
        )
    except (ValueError, KeyError, TypeError) as err:
        raise StackDamagedError(f"{layout.endpoints_file} is damaged: {err}") from err


def write_endpoints(path: Path, endpoints: Endpoints) -> None:
    """Write ``endpoints`` as JSON; the file holds no secret."""
    write_private(path, (json.dumps(asdict(endpoints), indent=2) + "\n").encode())
    path.chmod(0o644)


def plan_endpoints(
    layout: Layout, *, profile: str, base_port: int | None, replicas: int = 1
) -> Endpoints:
    """Choose where everything listens: as the last time where those ports are still free.

    Args:
        layout: of the stack.
        profile: of all its services.
        base_port: first of the ports; None chooses free ones.
        replicas: of Metadata.

    Raises:
        PortInUseError: ``base_port`` was given and a port of its range is taken.
        NoFreePortError: there are not enough free ports.
    """
    former = read_endpoints(layout)
    children = (*SERVICES, *metadata_replicas(replicas)[1:])
    names = [_OPENBAO, _OPENBAO_CLUSTER, *NODES, *map(_route, NODES), *children]
    remembered = former.ports() if former and base_port is None else {}
    ports = choose_ports(names, remembered=remembered, base_port=base_port, seed=str(layout.root))
    return Endpoints(
        profile=profile,
        openbao=OpenBaoEndpoint(
            url=f"https://127.0.0.1:{ports[_OPENBAO]}",
            ca_file=str(layout.openbao_ca),
            cluster_port=ports[_OPENBAO_CLUSTER],
        ),
        nats=tuple(_node(layout, name, ports) for name in NODES),
        admin={name: f"https://127.0.0.1:{ports[name]}" for name in children},
    )


def _node(layout: Layout, name: str, ports: Mapping[str, int]) -> NatsEndpoint:
    directory = layout.node(name)
    return NatsEndpoint(
        name=name,
        url=f"tls://127.0.0.1:{ports[name]}",
        route_port=ports[_route(name)],
        pid_file=str(directory / "nats.pid"),
        live_dir=str(directory / "live"),
    )


def _route(name: str) -> str:
    return f"{name}-route"
