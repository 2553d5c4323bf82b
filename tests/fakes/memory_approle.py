"""One instance's AppRole in memory: OpenBao's half, the disk, and failures at chosen effects."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from svc_core.domain.secrets import SecretBytes
from svc_core.errors import AccessDeniedError
from svc_core.ports.credentials import SecretId
from tests.fakes.mishaps import Mishaps


@dataclass
class MemoryAppRole:
    """An `AppRoleCredential` that starts with the secret-id the operator provisioned."""

    mishaps: Mishaps = field(default_factory=Mishaps)
    prefix: str = ""
    """What the accessors made here begin with, where several instances share one AppRole."""
    lease: timedelta = timedelta(hours=1)
    alive: set[str] = field(default_factory=lambda: {"provisioned"})
    """Accessors OpenBao knows."""
    on_disk: str = "provisioned"
    """Accessor of the secret-id on disk."""
    made_at: dict[str, float] = field(default_factory=dict)
    """Loop time at which each accessor but the provisioned one was made."""
    is_disk_full: bool = False
    adopted_at: list[float] = field(default_factory=list)
    renewed_at: list[float] = field(default_factory=list)
    _granted_at: float = 0.0
    _made: int = 0

    async def fetch_kept(self) -> SecretId | None:
        """Return the secret-id on disk, unless OpenBao has forgotten it."""
        return self._secret_id(self.on_disk) if self.on_disk in self.alive else None

    async def make_secret_id(self) -> SecretId:
        """Make ``made-1``, ``made-2`` and so on, after the prefix."""
        with self.mishaps.effect():
            self._made += 1
            accessor = f"{self.prefix}made-{self._made}"
            self.alive.add(accessor)
            self.made_at[accessor] = asyncio.get_running_loop().time()
        return self._secret_id(accessor)

    async def adopt(self, secret_id: SecretId) -> None:
        """Log in, if OpenBao knows the secret-id."""
        with self.mishaps.effect():
            if secret_id.accessor not in self.alive:
                raise AccessDeniedError("no such secret-id")
            self._granted_at = asyncio.get_running_loop().time()
            self.adopted_at.append(self._granted_at)

    async def keep(self, secret_id: SecretId) -> None:
        """Put it on the disk, unless that is full."""
        with self.mishaps.effect():
            if self.is_disk_full:
                raise AccessDeniedError("the disk took nothing")
            self.on_disk = secret_id.accessor

    async def destroy(self, accessor: str) -> None:
        """Forget it."""
        with self.mishaps.effect():
            self.alive.discard(accessor)

    async def fetch_renewal_due(self) -> timedelta:
        """Half of the lease after the token was granted or renewed."""
        age = timedelta(seconds=asyncio.get_running_loop().time() - self._granted_at)
        return max(timedelta(0), self.lease / 2 - age)

    async def renew_token(self) -> None:
        """Grant the lease again."""
        self._granted_at = asyncio.get_running_loop().time()
        self.renewed_at.append(self._granted_at)

    @staticmethod
    def _secret_id(accessor: str) -> SecretId:
        return SecretId(accessor, SecretBytes(f"secret of {accessor}".encode()))
