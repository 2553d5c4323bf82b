"""Servers for a benchmark: one NATS server with mutual TLS, one without, in a directory that goes.

They have every processor but the first, which is for what is measured.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from benchmarks.machine import usable_cpus
from benchmarks.places import CHAIN, KEY, SERVER, TRUST, ServerPlace, write_certificates
from devstack.children import Child, Program
from devstack.conditions import wait_until
from devstack.ports import choose_ports
from devstack.processes import Supervisor, open_supervisor
from devstack.programs import find_nats_server
from devstack.registry import Registry
from svc_core.adapters.files import make_private_directory, write_private
from svc_core.adapters.system_clock import SystemClock

_STAGE: Final = 1
_STOP_WITHIN: Final = timedelta(seconds=2)
_LISTEN_WITHIN: Final = timedelta(seconds=20)
_CONFIG: Final = """\
server_name: {name}
listen: "127.0.0.1:{port}"
log_file: "{folder}/nats.log"
max_payload: 256KB
write_deadline: "5s"
jetstream {{
  store_dir: "{folder}/js"
  max_mem: 64MB
  max_file: 2GB
}}
"""
_TLS: Final = """\
tls {{
  cert_file: "{own}/{chain}"
  key_file: "{own}/{key}"
  ca_file: "{own}/{trust}"
  verify: true
  timeout: 5
  handshake_first: true
  min_version: "1.3"
}}
"""


@dataclass(frozen=True, slots=True)
class BenchServers:
    """The same server twice."""

    secure: ServerPlace
    plain: ServerPlace


@asynccontextmanager
async def open_bench_servers() -> AsyncIterator[BenchServers]:
    """Start both, wait until they listen, and end them.

    Raises:
        MissingProgramError: nats-server is not installed.
        StackStartError: one did not listen in time.
    """
    with tempfile.TemporaryDirectory(prefix="st-bench-") as text:
        folder = Path(text)
        names = ("secure", "plain")
        ports = choose_ports(names, remembered={}, base_port=None, seed=text)
        certificates = make_private_directory(folder / "certificates")
        write_certificates(certificates, now=SystemClock().now())
        registry = Registry(folder / "servers.json")
        async with open_supervisor(registry, keep=False, announce=lambda _: None) as supervisor:
            with _on_all_but_the_first():
                children = [
                    _start(supervisor, folder / name, ports[name], tls)
                    for name, tls in zip(names, (certificates / SERVER, None), strict=True)
                ]
            await _all_listen(children, list(ports.values()))
            yield BenchServers(
                secure=ServerPlace(f"tls://localhost:{ports['secure']}", str(certificates)),
                plain=ServerPlace(f"nats://localhost:{ports['plain']}"),
            )


def _start(supervisor: Supervisor, folder: Path, port: int, tls: Path | None) -> Child:
    make_private_directory(folder)
    config = _CONFIG.format(name=folder.name, port=port, folder=folder)
    if tls is not None:
        config += _TLS.format(own=tls, chain=CHAIN, key=KEY, trust=TRUST)
    write_private(folder / "nats.conf", config.encode())
    return supervisor.start(
        Program(
            name=folder.name,
            argv=(str(find_nats_server()), "-c", str(folder / "nats.conf")),
            log_file=folder / "output.log",
            structured_log=folder / "nats.log",
            directory=folder,
            environment={"HOME": str(folder)},
            stage=_STAGE,
            stop_within=_STOP_WITHIN,
        )
    )


async def _all_listen(children: list[Child], ports: list[int]) -> None:
    async def probe() -> bool:
        return all([await _listens(port) for port in ports])

    await wait_until(probe, within=_LISTEN_WITHIN, part="NATS", involved=children)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@contextmanager
def _on_all_but_the_first() -> Iterator[None]:
    """Have what is started meanwhile run elsewhere: a child inherits where it may run."""
    cpus = usable_cpus()
    os.sched_setaffinity(0, cpus[1:] or cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cpus)
