"""Three NATS nodes on this machine: a static configuration each, live material from Watcher.

What rotates (trust, certificates, accounts) is in ``live/``, which Watcher replaces whole; the
static part names those files and never changes, so that a reload is all a rotation needs. There
is no HTTP monitoring port: monitoring goes over the system account.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from devstack.children import Child, Program
from devstack.conditions import wait_until
from devstack.endpoints import NatsEndpoint, port_of
from devstack.guests import Guest, guest_users
from devstack.layout import Layout
from devstack.processes import Supervisor
from devstack.programs import find_nats_server
from svc_core.adapters.files import write_private
from svc_core.domain.identity import NATS_ROUTE, Deployment

STAGE: Final = 1
LIVE_FILES: Final = (
    "ca.pem",
    "route-ca.pem",
    "server.pem",
    "server-key.pem",
    "route.pem",
    "route-key.pem",
    "accounts.conf",
)
"""What must be in ``live/`` before a node can start."""

_STOP_WITHIN: Final = timedelta(seconds=1.5)
_LISTEN_WITHIN: Final = timedelta(seconds=20)

_MEMORY: Final = "192MiB"
"""From here on a node collects its garbage more often rather than grow (Go's ``GOMEMLIMIT``). Under
the load of a soak it settles between 160 and 200 MiB without a limit."""

_CONFIG: Final = """\
server_name: {name}
listen: "127.0.0.1:{port}"
log_file: "{directory}/nats.log"
logfile_size_limit: 16MB
logfile_max_num: 2
pid_file: "{directory}/nats.pid"
max_payload: 256KB
max_control_line: 4KB
max_connections: 200
# Every rotation replaces every connection, and a server keeps a kilobyte about each that ended.
max_closed_clients: 256
max_subscriptions: 500
write_deadline: "5s"
ping_interval: "20s"
ping_max: 2
lame_duck_duration: "30s"
lame_duck_grace_period: "5s"
tls {{
  cert_file: "{directory}/live/server.pem"
  key_file: "{directory}/live/server-key.pem"
  ca_file: "{directory}/live/ca.pem"
  verify_and_map: true
  timeout: 5
  handshake_first: true
  min_version: "1.3"
}}
jetstream {{
  store_dir: "{directory}/js"
  max_mem: 64MB
  max_file: 1GB
}}
cluster {{
  name: securetransport
  listen: "127.0.0.1:{route_port}"
  routes: [{routes}]
  no_advertise: true
  tls {{
    cert_file: "{directory}/live/route.pem"
    key_file: "{directory}/live/route-key.pem"
    ca_file: "{directory}/live/route-ca.pem"
    verify_and_map: true
    timeout: 5
    min_version: "1.3"
  }}
  authorization {{
    user: "{route_user}"
  }}
}}
include "live/accounts.conf"
"""


def prepare_nodes(
    layout: Layout,
    nodes: Sequence[NatsEndpoint],
    deployment: Deployment,
    guests: Sequence[Guest] = (),
) -> None:
    """Write the static configuration of every node; safe to repeat."""
    for node in nodes:
        directory = layout.node(node.name)
        (directory / "js").mkdir(parents=True, exist_ok=True)
        # No node runs now; whoever reads a former pid might signal a stranger.
        (directory / "nats.pid").unlink(missing_ok=True)
        text = node_config(directory, node, nodes, deployment) + guest_users(guests, deployment)
        write_private(directory / "nats.conf", text.encode())


def node_config(
    directory: Path,
    node: NatsEndpoint,
    nodes: Sequence[NatsEndpoint],
    deployment: Deployment,
) -> str:
    """Return the static configuration of one node.

    Args:
        directory: the node's own; absolute.
        node: the node.
        nodes: all of the cluster, itself included.
        deployment: the start of the routes' SPIFFE id.
    """
    routes = [f'"tls://127.0.0.1:{n.route_port}"' for n in nodes if n.name != node.name]
    return _CONFIG.format(
        name=node.name,
        port=port_of(node.url),
        route_port=node.route_port,
        directory=directory,
        routes=", ".join(routes),
        route_user=deployment.spiffe_id(NATS_ROUTE),
    )


def has_live_material(node: NatsEndpoint) -> bool:
    """Say whether everything the node needs to start is there."""
    live = Path(node.live_dir)
    return all((live / name).is_file() for name in LIVE_FILES)


async def start_nodes(
    supervisor: Supervisor,
    layout: Layout,
    nodes: Sequence[NatsEndpoint],
    *,
    live_within: timedelta,
    writers: Sequence[Child] = (),
) -> None:
    """Start every node once its live material is there, and wait until all of them listen.

    Args:
        supervisor: watches over them.
        layout: where they live.
        nodes: prepared by `prepare_nodes`.
        live_within: how long to wait for the material.
        writers: the children that write it, for the error.

    Raises:
        StackStartError: no material, or a node did not listen in time.
        MissingProgramError: nats-server is not installed.
    """
    program = find_nats_server()

    async def is_written() -> bool:
        return all(map(has_live_material, nodes))

    await wait_until(is_written, within=live_within, part="NATS material", involved=writers)
    children = [_start(supervisor, layout, node, program) for node in nodes]

    async def all_listen() -> bool:
        return all([await _listens(node) for node in nodes])

    await wait_until(all_listen, within=_LISTEN_WITHIN, part="NATS", involved=children)


def _start(supervisor: Supervisor, layout: Layout, node: NatsEndpoint, program: Path) -> Child:
    directory = layout.node(node.name)
    return supervisor.start(
        Program(
            name=node.name,
            argv=(str(program), "-c", str(directory / "nats.conf")),
            log_file=directory / "output.log",
            structured_log=directory / "nats.log",
            directory=directory,
            environment={"HOME": str(directory), "GOMEMLIMIT": _MEMORY},
            stage=STAGE,
            stop_within=_STOP_WITHIN,
        )
    )


async def _listens(node: NatsEndpoint) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(node.url))
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
