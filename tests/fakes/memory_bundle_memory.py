"""A `BundleMemory` that outlives what it was given to."""

from dataclasses import dataclass

from svc_core.errors import ConfigError


@dataclass
class MemoryBundleMemory:
    """The newest version, in memory."""

    version: int = 0
    is_full: bool = False
    """Whether the disk takes nothing more."""

    async def fetch(self) -> int:
        """Return the version."""
        return self.version

    async def store(self, version: int) -> None:
        """Remember ``version``."""
        if self.is_full:
            raise ConfigError("no space left on device")
        self.version = version
