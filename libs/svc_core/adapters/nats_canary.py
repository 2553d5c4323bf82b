"""The canary: a live handshake with one server, as a user who may do nothing.

A reload can be accepted and still be wrong (a truncated trust file is), so nothing less than a
connection with a leaf of the issuer in question proves that a server trusts it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from svc_core.adapters.nats_link import LinkCredentials, LinkTarget, NatsLink
from svc_core.adapters.tls_contexts import client_context
from svc_core.domain.identity import CANARY
from svc_core.domain.subjects import inbox_prefix
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import SvcError

_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class NatsCanary:
    """Shakes hands with servers and reports who refused."""

    servers: tuple[str, ...]

    async def prove(self, canary: TlsMaterial) -> Sequence[str]:
        """Connect to every server as the canary; return the servers that failed, with reasons."""
        results = dict.fromkeys(self.servers, "")

        async def check(url: str) -> None:
            results[url] = await prove_server(url, canary)

        async with asyncio.TaskGroup() as group:
            for url in self.servers:
                group.create_task(check(url))
        return tuple(f"{url}: {reason}" for url, reason in results.items() if reason)


async def prove_server(url: str, canary: TlsMaterial) -> str:
    """Connect to one server and round-trip; return the empty string, or why it failed."""
    context = await asyncio.to_thread(client_context, canary)
    credentials = LinkCredentials(context, canary.issuer, canary.chain_pem)
    target = LinkTarget(url, credentials, inbox_prefix(CANARY), CANARY, _TIMEOUT_S)
    try:
        link = await NatsLink.open(target)
    except SvcError as err:
        return str(err)
    await link.close()
    return ""
