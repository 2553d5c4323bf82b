"""What an instance remembers of its bundles over restarts."""

from typing import Protocol


class BundleMemory(Protocol):
    """The newest version this instance has ever used; both methods may raise `ConfigError`."""

    async def fetch(self) -> int:
        """Return the version; 0 before the first."""
        ...

    async def store(self, version: int) -> None:
        """Remember ``version`` from now on."""
        ...
