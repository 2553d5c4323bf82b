"""Loopback ports: the same ones at every start where possible, never out of the ephemeral range.

A port from the ephemeral range could be taken by any outgoing connection while a child restarts.
"""

import hashlib
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from devstack.errors import NoFreePortError, PortInUseError

_LOWEST: Final = 20000
_EPHEMERAL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_EPHEMERAL_START: Final = 32768
_HIGHEST_PORT: Final = 65535


def choose_ports(
    names: Sequence[str], *, remembered: Mapping[str, int], base_port: int | None, seed: str
) -> dict[str, int]:
    """Return a free loopback port for every name.

    Args:
        names: parts that need a port.
        remembered: ports of the last start; reused where still free.
        base_port: use exactly this port and the following ones instead.
        seed: spreads different stacks over the range.

    Raises:
        PortInUseError: a port of the range at ``base_port`` is taken.
        NoFreePortError: the range below the ephemeral ports has too few free ones.
    """
    if base_port is not None:
        return _consecutive(names, base_port)
    candidates = _candidates(seed)
    chosen: dict[str, int] = {}
    for name in names:
        former = remembered.get(name)
        if former is not None and former not in chosen.values() and is_free(former):
            chosen[name] = former
            continue
        taken = {*chosen.values(), *remembered.values()}
        port = next((p for p in candidates if p not in taken and is_free(p)), None)
        if port is None:
            raise NoFreePortError(f"no free port for {name} on 127.0.0.1")
        chosen[name] = port
    return chosen


def is_free(port: int) -> bool:
    """Say whether a server could listen on ``port`` of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set it too: a port in TIME_WAIT is free for them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _consecutive(names: Sequence[str], base_port: int) -> dict[str, int]:
    chosen = {name: base_port + offset for offset, name in enumerate(names)}
    for name, port in chosen.items():
        if port > _HIGHEST_PORT or not is_free(port):
            raise PortInUseError(port, name)
    return chosen


def _candidates(seed: str) -> list[int]:
    try:
        first_ephemeral = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError):
        first_ephemeral = _USUAL_EPHEMERAL_START
    end = first_ephemeral if first_ephemeral > _LOWEST else _USUAL_EPHEMERAL_START
    span = end - _LOWEST
    start = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") % span
    return [_LOWEST + (start + step) % span for step in range(span)]
