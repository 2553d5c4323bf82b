"""The process of the light clients: ``python -m devstack.light_clients ORDER``.

It opens what `devstack.light_crowd` stands on, runs until SIGTERM, and says twice a second in a
small JSON file how its clients are.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import uvloop

from devstack.endpoints import Endpoints, read_endpoints
from devstack.errors import StackDamagedError
from devstack.guests import LIGHT
from devstack.layout import Layout
from devstack.light_crowd import Crowd, LightClient, LightCounts, together
from devstack.light_issuing import SessionIssuer
from devstack.openbao_api import open_openbao_api
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.pinned import read_pinned_identities
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.config import (
    CryptoSettings,
    LogSettings,
    NatsSettings,
    OpenBaoSettings,
    TrustSettings,
)
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.profiles import PROFILES
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafIssuing
from svc_core.flows.statements import Statements
from svc_core.runtime.health import Health
from svc_core.runtime.interpreter import tune_interpreter
from svc_core.runtime.logs import configure_logging
from svc_core.runtime.surroundings import Surroundings

_TELL_S: Final = 0.5
_CALLS_AT_A_TIME: Final = 16
"""To OpenBao: a hundred machines would not wait for each other either."""


@dataclass(frozen=True, slots=True)
class LightOrder:
    """How many clients, and of which stack."""

    root: str
    """The stack's directory."""
    count: int
    """Of this process."""
    part: int = 1
    """Number of this process among those that share the clients of a stack."""


def light_file(layout: Layout, part: int) -> Path:
    """Return where one process says how its clients are."""
    return layout.service(LIGHT.name) / f"counts-{part}.json"


def read_counts(layout: Layout, parts: int) -> LightCounts | None:
    """Return how the clients of all ``parts`` are; None before everybody has said so."""
    try:
        found = [
            LightCounts(**json.loads(light_file(layout, part).read_text()))
            for part in range(1, parts + 1)
        ]
    except (OSError, ValueError, TypeError):
        return None
    return together(found)


async def hold_connections(order: LightOrder) -> None:
    """Open ``order.count`` clients and keep them until SIGTERM.

    Raises:
        StackDamagedError: there is no stack.
        ConfigError: what was pinned cannot be read.
    """
    layout = Layout.at(Path(order.root))
    endpoints = read_endpoints(layout)
    if endpoints is None:
        raise StackDamagedError(f"there is no stack in {layout.root}")
    configure_logging(
        LogSettings(file=layout.log_of(LIGHT.name)), service=LIGHT.name, instance=LIGHT.name
    )
    clock, crypto = SystemClock(), CryptoSuite.of(CryptoSettings().policy())
    profile = PROFILES[endpoints.profile]
    around = Surroundings(clock, system_entropy, profile, Health(clock), crypto)
    nats = NatsSettings(servers=tuple(node.url for node in endpoints.nats))
    async with _open_crowd(layout, endpoints, around) as crowd:
        crowd.clients = [
            LightClient(f"{LIGHT.name}-{order.part}-{number}", nats, crowd, around)
            for number in range(order.count)
        ]
        await _run(crowd, light_file(layout, order.part))


@asynccontextmanager
async def _open_crowd(
    layout: Layout, endpoints: Endpoints, around: Surroundings
) -> AsyncIterator[Crowd]:
    url, ca_file = endpoints.openbao.url, layout.openbao_ca
    trust = TrustSettings(
        operator_key_file=layout.operator_key,
        metadata_identities_file=layout.metadata_identities,
    )
    settings = OpenBaoSettings(
        url=url,
        ca_file=ca_file,
        role_id_file=layout.role_id(LIGHT.name),
        secret_id_file=layout.secret_id(LIGHT.name),
    )
    statements = Statements(read_pinned_identities(trust))
    async with (
        open_openbao(settings, LIGHT.name) as session,
        open_openbao_api(url, ca_file, connections=_CALLS_AT_A_TIME) as api,
    ):
        yield Crowd(
            DesiredReader(OpenBaoSecretStore(session), None, statements, around.profile.name),
            LeafIssuing(SessionIssuer(api, layout), around),
            around.clock,
        )


async def _run(crowd: Crowd, told: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(crowd.read()), group.create_task(_tell(crowd, told))]
        for client in crowd.clients:
            tasks += [
                group.create_task(client.connection.run()),
                group.create_task(client.follow()),
            ]
        await stop.wait()
        for task in tasks:
            task.cancel()
    async with asyncio.TaskGroup() as group:
        for client in crowd.clients:
            group.create_task(client.connection.close())


async def _tell(crowd: Crowd, told: Path) -> None:
    temporary = told.with_name(f".{told.name}.{os.getpid()}")
    while True:
        temporary.write_text(json.dumps(asdict(crowd.counts())))
        temporary.replace(told)
        await asyncio.sleep(_TELL_S)


def main() -> None:
    """Hold the connections that the order in the first argument asks for."""
    order = LightOrder(**json.loads(sys.argv[1]))
    os.umask(0o077)
    tune_interpreter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(hold_connections(order))


if __name__ == "__main__":
    main()
