"""Asking a service's admin listener, trusting what Watcher published at this very moment."""

import ssl
from dataclasses import dataclass
from typing import Final

import aiohttp

from devstack.endpoints import read_endpoints
from devstack.errors import ServiceUnreachableError
from devstack.layout import Layout
from svc_core.adapters.tls_contexts import trusting_context

_TIMEOUT_S: Final = 3.0
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class AdminAnswer:
    """Status code and text of one answer."""

    status: int
    text: str

    @property
    def is_ok(self) -> bool:
        """Whether the answer is 200."""
        return self.status == _OK


async def fetch_admin(layout: Layout, service: str, path: str) -> AdminAnswer:
    """GET ``path`` of one service's admin listener.

    Args:
        layout: of a stack of this machine, of this process or another.
        service: ``metadata``, ``watcher``, ``gatekeeper`` or ``authcontroller``.
        path: begins with a slash.

    Raises:
        ServiceUnreachableError: no answer, or from someone whom the trust file does not cover.
    """
    endpoints = read_endpoints(layout)
    if endpoints is None:
        raise ServiceUnreachableError(f"there is no stack in {layout.root}")
    try:
        # Built anew each time: what is trusted changes with every rotation.
        context = trusting_context(layout.trust_file.read_text())
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"{endpoints.admin[service]}{path}") as response,
        ):
            return AdminAnswer(response.status, await response.text())
    except (OSError, ssl.SSLError, aiohttp.ClientError, TimeoutError) as err:
        reason = f"{service} does not answer ({type(err).__name__})"
        raise ServiceUnreachableError(reason) from err
