"""What servers show on the wire, judged by OpenSSL's own programs, over two CA rotations."""

import asyncio
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from devstack.layout import NODES, SERVICES
from devstack.process_ids import ProcessId
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.waiting import until

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="NOT RUN: the openssl command is not installed"
)

ROTATIONS: Final = 2
SERVED_WITHIN_S: Final = 15.0
CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class ServedChain:
    """What one server sends in its handshake, in PEM."""

    leaf: str
    intermediate: str

    @classmethod
    async def fetch(cls, address: str) -> Self:
        """Shake hands with TLS from the first byte on and take what the server sends."""
        words = ("openssl", "s_client", "-connect", address, "-showcerts", "-tls1_3")
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        sent = CERTIFICATE.findall(output.decode())
        assert len(sent) == 2, f"{address} sends {len(sent)} certificates, not leaf + intermediate"
        return cls(*sent)

    @property
    def issuer(self) -> str:
        """The name of the intermediate."""
        name = x509.load_pem_x509_certificate(self.intermediate.encode()).subject
        common = str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        return common.removeprefix("SecureTransport ")

    def verify(self, folder: Path, *arguments: str) -> str:
        """Have ``openssl verify`` judge the leaf; return its complaint, empty for none."""
        leaf, intermediate = folder / "leaf.pem", folder / "intermediate.pem"
        leaf.write_text(self.leaf)
        intermediate.write_text(self.intermediate)
        names = ("-purpose", "sslserver", "-verify_ip", "127.0.0.1", "-verify_hostname")
        words = ["openssl", "verify", *arguments, *names, "localhost"]
        done = subprocess.run(
            [*words, "-untrusted", str(intermediate), str(leaf)],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stderr


def addresses(stack: LoadedStack) -> dict[str, str]:
    """Return ``host:port`` of every TLS listener that clients of this system meet."""
    endpoints = stack.stack.endpoints
    nodes = {node.name: node.url.removeprefix("tls://") for node in endpoints.nats}
    admin = {name: url.removeprefix("https://") for name, url in endpoints.admin.items()}
    return nodes | admin


async def fetch_all(stack: LoadedStack) -> dict[str, ServedChain]:
    """Return what every listener serves now."""
    return {name: await ServedChain.fetch(at) for name, at in addresses(stack).items()}


def node_processes(stack: LoadedStack) -> dict[str, ProcessId]:
    """Return the NATS processes as their own pid files name them."""
    return {
        node.name: ProcessId.of(int(Path(node.pid_file).read_text()))
        for node in stack.stack.endpoints.nats
    }


@pytest.mark.timeout(180)
async def test_openssl_accepts_every_listener_and_its_issuer_changes_with_every_rotation(
    stack: LoadedStack, tmp_path: Path
) -> None:
    before = node_processes(stack)
    restarts = {child.name: child.restarts for child in stack.stack.children}
    served = [await check_all(stack, tmp_path)]
    since = datetime.now(UTC)

    for _ in range(ROTATIONS):
        rotation = await stack.next_rotation(since=since)
        since = rotation.boundary_at
        await all_serve(stack, rotation.issuer)
        served.append(await check_all(stack, tmp_path))

    for name in (*NODES, *SERVICES):
        issuers = [chains[name].issuer for chains in served]
        leaves = [chains[name].leaf for chains in served]
        assert len(set(issuers)) == len(set(leaves)) == ROTATIONS + 1, f"{name}: {issuers}"
    assert node_processes(stack) == before
    assert {child.name: child.restarts for child in stack.stack.children} == restarts


@pytest.mark.timeout(90)
async def test_the_load_of_that_time_lost_and_doubled_nothing(stack: LoadedStack) -> None:
    order = stack.order
    assert order is not None
    stack.order_load("standing")

    traffic = await stack.account(order)

    assert traffic.acked
    assert not traffic.duplicated
    assert not traffic.unasked


async def all_serve(stack: LoadedStack, issuer: str) -> None:
    """Wait until every listener serves a leaf of ``issuer``; asking all of them takes a second."""

    async def is_so() -> bool:
        return {chain.issuer for chain in (await fetch_all(stack)).values()} == {issuer}

    await until(is_so, within_s=SERVED_WITHIN_S, what=f"every listener serving {issuer}")


async def check_all(stack: LoadedStack, folder: Path) -> dict[str, ServedChain]:
    """Have OpenSSL judge every listener in both ways of trusting; return what they serve."""
    trust, root = stack.layout.trust_file, stack.layout.trust / "root.pem"
    chains = await fetch_all(stack)
    for name, chain in chains.items():
        assert not chain.verify(folder, "-partial_chain", "-trusted", str(trust)), name
        assert not chain.verify(folder, "-trusted", str(root)), name
        # The control: without -partial_chain the intermediates alone must not do.
        assert chain.verify(folder, "-trusted", str(trust)), name
    return chains
