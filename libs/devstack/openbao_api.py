"""OpenBao's HTTP API for the one who sets it up: a token that can change, plain JSON calls."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from svc_core.domain.secrets import SecretBytes
from svc_core.errors import (
    AccessDeniedError,
    NotFoundError,
    RequestRefusedError,
    SecretStoreError,
)

Answer = Mapping[str, Any]
"""JSON as OpenBao answered; empty when it answered with nothing."""

CONNECTIONS: Final = 4
"""Most calls that are answered at a time; waiting for one's turn counts as waiting for it."""

_TIMEOUT_S: Final = 5.0
_BAD_REQUEST: Final = 400
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_SERVER_ERROR: Final = 500
_LONGEST_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class OpenBaoApi:
    """Calls to one OpenBao; without a token where none is needed."""

    url: str
    session: aiohttp.ClientSession
    token: SecretBytes | None = None

    def with_token(self, token: SecretBytes) -> "OpenBaoApi":
        """Return the same API under another token."""
        return OpenBaoApi(self.url, self.session, token)

    async def read(self, path: str) -> Answer:
        """GET ``path``; raises as `call` does."""
        return await self.call("GET", path)

    async def write(self, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """POST ``body`` to ``path``; raises as `call` does."""
        return await self.call("POST", path, body or {})

    async def call(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Answer:
        """Make one call below ``/v1/``.

        Raises:
            SecretStoreError: no answer, or a server error.
            AccessDeniedError: the token may not do this (403).
            NotFoundError: there is nothing at ``path`` (404).
            RequestRefusedError: any other refusal (400).
        """
        headers = {"X-Vault-Token": self.token.reveal().decode()} if self.token else {}
        try:
            async with self.session.request(
                method, f"{self.url}/v1/{path}", json=body, headers=headers
            ) as response:
                document = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as err:
            raise SecretStoreError(f"OpenBao did not answer ({type(err).__name__})") from err
        answer: Answer = document or {}
        _check(response.status, path, answer)
        return answer

    async def health(self) -> int | None:
        """Return the status code of ``sys/health`` (200: usable); None without an answer."""
        try:
            async with self.session.get(f"{self.url}/v1/sys/health") as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return None


def _check(status: int, path: str, answer: Answer) -> None:
    if status < _BAD_REQUEST:
        return
    reasons = answer.get("errors") or [f"status {status}"]
    text = f"{path}: {'; '.join(map(str, reasons))[:_LONGEST_REASON].strip()}"
    if status == _FORBIDDEN:
        raise AccessDeniedError(text)
    if status == _NOT_FOUND:
        raise NotFoundError(text)
    if status >= _SERVER_ERROR:
        raise SecretStoreError(text)
    raise RequestRefusedError(text)


@asynccontextmanager
async def open_openbao_api(
    url: str, ca_file: Path, *, connections: int = CONNECTIONS
) -> AsyncIterator[OpenBaoApi]:
    """Yield the API of the OpenBao at ``url``, whose listener ``ca_file`` must have signed.

    Args:
        url: ``https://host:port``.
        ca_file: PEM.
        connections: most calls that are answered at a time.
    """
    context = ssl.create_default_context(cafile=str(ca_file))
    connector = aiohttp.TCPConnector(limit=connections, ssl=context)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield OpenBaoApi(url, session)
