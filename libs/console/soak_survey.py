"""What a running stack holds at one moment: in OpenBao, on disk, in its processes.

A sample is a flat mapping from names like ``issuers/nats_int`` or ``memory/metadata`` to numbers;
the first part of a name says how its growth is judged (`console.soak_trends`).
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from devstack.bootstrap import log_in
from devstack.guests import SURVEYOR
from devstack.layout import NODES, SERVICES, Layout
from devstack.openbao_api import OpenBaoApi
from svc_core.errors import AccessDeniedError, NotFoundError

Figures = Mapping[str, float]

_MOUNTS: Final = ("pki", "nats_int", "nats_route")
_GROWING: Final = frozenset({"journal", "js", "data", "audit"})
"""Directories whose files are kept on purpose, within limits of their own: only their size is
shown."""
_KIB: Final = 1024
_DEPTH: Final = 2
_OWN: Final = ("RssAnon", "RssShmem")
_TIMES: Final = slice(11, 13)
"""User and system time in ``/proc/<pid>/stat``, of the fields after the command's name."""


class Survey:
    """Counts what one stack holds, again and again."""

    def __init__(self, layout: Layout, api: OpenBaoApi) -> None:
        self._layout = layout
        self._api = api
        self._session: OpenBaoApi | None = None

    async def take(self, pids: Mapping[str, int]) -> dict[str, float]:
        """Return every figure as it is now.

        Args:
            pids: the processes to look at, by name.

        Raises:
            SecretStoreError, AccessDeniedError: OpenBao cannot be asked.
        """
        figures = dict(await asyncio.to_thread(local_figures, self._layout, pids))
        try:
            figures |= await self._openbao_figures()
        except AccessDeniedError:
            # A token lives an hour, a soak may live longer.
            self._session = None
            figures |= await self._openbao_figures()
        return figures

    async def _openbao_figures(self) -> dict[str, float]:
        if self._session is None:
            self._session = await log_in(self._api, self._layout, SURVEYOR.name)
        session = self._session
        figures: dict[str, float] = {}
        for mount in _MOUNTS:
            figures[f"issuers/{mount}"] = len(await names(session, f"{mount}/issuers"))
            figures[f"keys/{mount}"] = len(await names(session, f"{mount}/keys"))
        for service in SERVICES:
            accessors = await names(session, f"auth/approle/role/{service}/secret-id")
            figures[f"secret-ids/{service}"] = len(accessors)
        figures["tokens"] = len(await names(session, "auth/token/accessors"))
        return figures | await kv_figures(session)


async def names(session: OpenBaoApi, path: str) -> tuple[str, ...]:
    """Return the names that a LIST of ``path`` gives; none when there is nothing."""
    try:
        answer = await session.call("LIST", path)
    except NotFoundError:
        return ()
    return tuple(answer["data"]["keys"])


async def kv_figures(session: OpenBaoApi) -> dict[str, float]:
    """Return how many documents and stored versions the KV store has, by the start of the path."""
    documents: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    async for path in _walk(session, ""):
        try:
            answer = await session.read(f"secret/metadata/{path}")
        except NotFoundError:
            continue  # removed a moment ago
        # Deep enough to tell what it is, not whose.
        group = "/".join(path.split("/")[:_DEPTH])
        documents[group] += 1
        versions[group] += _stored_versions(answer["data"])
    counted = {"documents": documents, "versions": versions}
    return {
        f"{what}/{name}": float(count)
        for what, counts in counted.items()
        for name, count in counts.items()
    }


async def _walk(session: OpenBaoApi, folder: str) -> AsyncIterator[str]:
    for name in await names(session, f"secret/metadata/{folder}"):
        if name.endswith("/"):
            async for path in _walk(session, f"{folder}{name}"):
                yield path
        else:
            yield f"{folder}{name}"


def _stored_versions(metadata: Mapping[str, Any]) -> int:
    versions = metadata.get("versions") or {}
    return sum(not v.get("destroyed") and not v.get("deletion_time") for v in versions.values())


def local_figures(layout: Layout, pids: Mapping[str, int]) -> Figures:
    """Return what is on disk below ``layout`` and what its processes use; blocks."""
    figures: dict[str, float] = {}
    for name in (*SERVICES, "operator"):
        figures[f"files/{name}"] = count_files(layout.service(name))
    figures["files/trust"] = count_files(layout.root / "trust.d")
    for node in NODES:
        figures[f"files/{node}"] = count_files(layout.node(node))
        figures[f"bytes/{node}"] = size_of(layout.node(node))
    figures["bytes/openbao"] = size_of(layout.openbao / "data")
    figures["bytes/log"] = size_of(layout.logs)
    for name, pid in pids.items():
        figures |= process_figures(name, pid)
    return figures


def process_figures(name: str, pid: int) -> Figures:
    """Return what one process uses; nothing once it is gone.

    Memory of its own in bytes (what it maps from files is the kernel's to drop), descriptors,
    threads, and processor time in seconds since it started: its slope is what a rotation period
    costs.
    """
    proc = Path("/proc") / str(pid)
    try:
        status = dict(_fields((proc / "status").read_text()))
        # The command's name may hold anything, closing brackets too; the last one ends it.
        stat = (proc / "stat").read_text().rpartition(")")[2].split()
        return {
            f"memory/{name}": sum(float(status[kind].split()[0]) for kind in _OWN) * _KIB,
            f"threads/{name}": float(status["Threads"]),
            f"processor/{name}": sum(map(int, stat[_TIMES])) / os.sysconf("SC_CLK_TCK"),
            f"descriptors/{name}": float(len(os.listdir(proc / "fd"))),  # noqa: PTH208 (only counted)
        }
    except (OSError, KeyError, ValueError, IndexError):
        return {}


def count_files(folder: Path) -> int:
    """Return how many files and links lie below ``folder``, apart from what is kept on purpose."""
    return sum(1 for path in _files(folder) if not _is_kept(path, folder))


def size_of(folder: Path) -> int:
    """Return the bytes of all files below ``folder``; one that vanishes meanwhile has none."""
    total = 0
    for path in _files(folder):
        with suppress(OSError):
            total += path.lstat().st_size
    return total


def _is_kept(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return bool(_GROWING.intersection(parts[:-1])) or ".log" in parts[-1]


def _files(folder: Path) -> Iterator[Path]:
    for place, _, files in os.walk(folder):
        for name in files:
            yield Path(place) / name


def _fields(text: str) -> Iterable[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name, value.strip()
