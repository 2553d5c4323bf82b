"""A nats-server of somebody else that knows everything about the cluster but has no route leaf."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from devstack.ports import choose_ports
from devstack.programs import find_nats_server
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.outsider import Identity
from tests.e2e.waiting import until

_CONFIG: Final = """\
server_name: intruder
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
cluster {{
  name: securetransport
  listen: "127.0.0.1:{route}"
  routes: [{routes}]
  tls {{
    cert_file: "{certificate}"
    key_file: "{key}"
    ca_file: "{trust}"
    timeout: 5
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Intruder:
    """A running server that tries to join."""

    monitor: int

    async def routes(self) -> list[Any]:
        """Return the routes it has."""
        answer = await self._get("routez")
        return list(answer["routes"] or [])

    async def is_up(self) -> bool:
        """Say whether it answers."""
        try:
            return "routes" in await self._get("routez")
        except aiohttp.ClientError:
            return False

    async def _get(self, page: str) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.monitor}/{page}") as response,
        ):
            answer: dict[str, Any] = await response.json(content_type=None)
            return answer


@asynccontextmanager
async def open_intruder(
    stack: LoadedStack, shown: Identity, folder: Path
) -> AsyncIterator[Intruder]:
    """Start a server that dials every route port with the certificate ``shown``."""
    nodes = stack.stack.endpoints.nats
    names = ("port", "monitor", "route")
    ports = choose_ports(names, remembered={}, base_port=None, seed=str(folder))
    config = folder / "intruder.conf"
    config.write_text(
        _CONFIG.format(
            **ports,
            routes=", ".join(f'"tls://127.0.0.1:{node.route_port}"' for node in nodes),
            certificate=shown.certificate,
            key=shown.key,
            trust=Path(nodes[0].live_dir).resolve() / "route-ca.pem",
        )
    )
    with (folder / "intruder.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            find_nats_server(), "-c", config, stdout=log, stderr=log
        )
    try:
        intruder = Intruder(ports["monitor"])
        await until(intruder.is_up, within_s=10, what="the intruder's monitoring port")
        yield intruder
    finally:
        process.terminate()
        await process.wait()
