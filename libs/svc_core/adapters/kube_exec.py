"""Commands in a pod, decided by what the kubelet says of them and by nothing else.

Output, an opened socket or a missing close frame prove nothing: the status arrives on a channel
of its own (3), also for a command that could not be started, and afterwards the socket often just
ends.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, cast

import aiohttp
import msgspec

from svc_core.adapters.kube import KubeApi, kube_errors
from svc_core.errors import KubernetesError

_Opening = AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]

_STATUS_CHANNEL: Final = 3
_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class PodContainer:
    """Where a command runs."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True, slots=True)
class ExecOutcome:
    """How a command ended."""

    failure: str
    """Empty when it ended well; else the exit code or why it could not be started."""


async def run_in_pod(api: KubeApi, place: PodContainer, command: Sequence[str]) -> ExecOutcome:
    """Run ``command`` (not a shell line) and return how it ended.

    Needs both ``get`` and ``create`` on ``pods/exec``.

    Raises:
        KubernetesError: the connection ended before the command's status came.
        AccessDeniedError, NotFoundError, RequestRefusedError: as the API answered.
    """
    with kube_errors():
        async with asyncio.timeout(_TIMEOUT_S):
            opening: object = await api.exec_core.connect_get_namespaced_pod_exec(
                place.pod,
                place.namespace,
                container=place.container,
                command=cast("str", list(command)),
                stdin=False,
                stdout=True,
                stderr=True,
                tty=False,
                _preload_content=False,
            )
            async with cast("_Opening", opening) as socket:
                status = await _status(socket)
    if status is None:
        raise KubernetesError(f"{place.pod}: the connection ended before the command's status")
    return read_status(status)


async def _status(socket: aiohttp.ClientWebSocketResponse) -> bytes | None:
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY:
            continue
        frame = bytes(message.data)
        if frame[:1] == bytes([_STATUS_CHANNEL]):
            return frame[1:]
    return None


def read_status(raw: bytes) -> ExecOutcome:
    """Return what a status message says; total: nonsense is a failed command."""
    try:
        status: dict[str, Any] = msgspec.json.decode(raw, type=dict)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return ExecOutcome("a status that cannot be read")
    if status.get("status") == "Success":
        return ExecOutcome("")
    message = str(status.get("message") or status.get("reason") or "no reason given")
    return ExecOutcome(message)
