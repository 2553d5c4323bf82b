"""A process of the authority that is frozen at any of its calls, and goes on with what it knew."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from services.metadata.ports import IssuerMint, MintedIssuer
from svc_core.ports.secret_store import Document, SecretStore, Versioned
from tests.unit.metadata.world import Authority, World, after

T = TypeVar("T")
FROZEN_S = 10.0


@dataclass
class Frost:
    """Stops one process at its call number ``at`` of ``verb`` below ``path``, until it thaws."""

    verb: str = ""
    path: str = ""
    at: int = 0
    is_before: bool = True
    """Whether it stops before the call is made, or before it hears the answer."""
    count: int = 0
    runs: asyncio.Event = field(default_factory=asyncio.Event)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.runs.set()

    @property
    def has_thawed(self) -> bool:
        """Whether it has been frozen and goes on."""
        return self.came.is_set() and self.runs.is_set()

    async def around(self, verb: str, path: str, work: Awaitable[T]) -> T:
        """Do ``work``, with a stop where there is to be one."""
        is_it = verb == self.verb and path.startswith(self.path)
        self.count += is_it
        strikes = is_it and self.count == self.at
        if strikes and self.is_before:
            self._freeze()
        await self.runs.wait()
        result = await work
        if strikes and not self.is_before:
            self._freeze()
        await self.runs.wait()
        return result

    def _freeze(self) -> None:
        self.runs.clear()
        self.came.set()
        after(FROZEN_S, self.runs.set)


@dataclass
class FrostyStore:
    """A `SecretStore` as a process sees it that may freeze at any call."""

    inner: SecretStore
    frost: Frost
    stored: list[tuple[str, bool]] = field(default_factory=list)
    """Where it stored something, and whether that was after it had thawed."""

    async def fetch(self, path: str) -> Versioned | None:
        """Fetch, when it runs."""
        return await self.frost.around("fetch", path, self.inner.fetch(path))

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        """Store, when it runs."""
        work = self._store(path, data, expected_version)
        return await self.frost.around("store", path, work)

    async def _store(self, path: str, data: Document, expected_version: int | None) -> int:
        version = await self.inner.store(path, data, expected_version=expected_version)
        self.stored.append((path, self.frost.has_thawed))
        return version

    async def fetch_names(self, path: str) -> tuple[str, ...]:
        """List, when it runs."""
        return await self.frost.around("list", path, self.inner.fetch_names(path))

    async def remove(self, path: str) -> None:
        """Remove, when it runs."""
        await self.frost.around("remove", path, self.inner.remove(path))


@dataclass
class FrostyMint:
    """An `IssuerMint` of the same process."""

    inner: IssuerMint
    frost: Frost

    async def mint(self, name: str, root: str) -> MintedIssuer:
        """Mint, when it runs."""
        return await self.frost.around("mint", name, self.inner.mint(name, root))

    async def silence(self, name: str) -> None:
        """Silence, when it runs."""
        await self.frost.around("silence", name, self.inner.silence(name))

    async def remove(self, name: str) -> None:
        """Remove, when it runs."""
        await self.frost.around("delete", name, self.inner.remove(name))


def start_frosty(world: World, frost: Frost, holder: str = "metadata-1") -> Authority:
    """Return a process of the authority that ``frost`` can stop."""
    return start_on(world, FrostyStore(world.store, frost), holder)


def start_on(world: World, store: FrostyStore, holder: str = "metadata-1") -> Authority:
    """Return a process of the authority that sees the world through ``store``."""
    return world.start(holder, store=store, mint=FrostyMint(world.mint, store.frost))
