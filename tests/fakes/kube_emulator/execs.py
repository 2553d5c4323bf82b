"""``pods/exec``: commands in containers that are no containers, and their status channel."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import WSMsgType, web

PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDERR, _STATUS = b"\x02", b"\x03"

Hangup = Callable[[], bool]
"""Send SIGHUP to the container's first process; False when there is none."""


@dataclass(slots=True)
class Container:
    """What commands meet in one pod."""

    hang_up: Hangup = lambda: True
    programs: frozenset[str] = field(default=frozenset({"sh", "kill"}))
    """What is in its image: without ``kill`` a Debian one, without ``sh`` one from scratch."""
    commands: list[list[str]] = field(default_factory=list)
    """Every command that was asked for."""


def process_named_in(pid_file: Path) -> Hangup:
    """Return the way to a real process that writes its pid into a file."""

    def hang_up() -> bool:
        try:
            os.kill(int(pid_file.read_text()), signal.SIGHUP)
        except (OSError, ValueError):
            return False
        return True

    return hang_up


def execute(container: Container, command: Sequence[str]) -> tuple[bytes, dict[str, Any]]:
    """Return what ``command`` writes to standard error and the status that ends it."""
    container.commands.append(list(command))
    program = command[0]
    if program not in container.programs:
        text = f'exec: "{program}": executable file not found in $PATH'
        return b"", _failure("InternalError", f"error executing command in container: {text}", text)
    line = " ".join(command[2:]) if program == "sh" else " ".join(command)
    if line.startswith("exit "):
        return b"", _exit(int(line.removeprefix("exit ")))
    if line in {"kill -HUP 1", "nats-server --signal reload=1"}:
        return (b"", _exit(0)) if container.hang_up() else (b"kill: no such process\n", _exit(1))
    return b"sh: not found\n", _exit(127)


def _exit(code: int) -> dict[str, Any]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return _failure(
        "NonZeroExitCode",
        f"command terminated with non-zero exit code: exit status {code}",
        str(code),
    )


def _failure(reason: str, message: str, cause: str) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": {"causes": [{"reason": "ExitCode", "message": cause}]},
    }


async def serve_exec(request: web.Request, container: Container) -> web.StreamResponse:
    """Answer one upgraded request; the socket ends without a close frame, as it mostly does."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    if not any(name.strip() in PROTOCOLS for name in offered.split(",")):
        return web.Response(status=403, text="no subprotocol in common")
    socket = web.WebSocketResponse(protocols=PROTOCOLS)
    await socket.prepare(request)
    stderr, status = execute(container, request.query.getall("command"))
    if stderr:
        await socket.send_bytes(_STDERR + stderr)
    await socket.send_bytes(_STATUS + json.dumps(status).encode())
    if request.transport is not None:
        request.transport.close()
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            break
    return socket
