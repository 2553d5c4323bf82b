"""The credential a service logs in to OpenBao with, and its replacement step by step."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from svc_core.domain.secrets import SecretBytes


@dataclass(frozen=True, slots=True)
class SecretId:
    """One AppRole secret-id; its accessor names it without being able to log in."""

    accessor: str
    value: SecretBytes


class AppRoleCredential(Protocol):
    """Every method may raise `SecretStoreError` (retry) or `AccessDeniedError`."""

    async def fetch_kept(self) -> SecretId | None:
        """Return the secret-id on disk; None when there is none that OpenBao knows."""
        ...

    async def make_secret_id(self) -> SecretId:
        """Have OpenBao make one more secret-id; those before it stay valid."""
        ...

    async def adopt(self, secret_id: SecretId) -> None:
        """Log in with ``secret_id`` and use that session from now on."""
        ...

    async def keep(self, secret_id: SecretId) -> None:
        """Write ``secret_id`` to disk for the next start: atomic, synced, mode 0600."""
        ...

    async def destroy(self, accessor: str) -> None:
        """Destroy the secret-id behind ``accessor``; no error when it is gone already."""
        ...

    async def fetch_renewal_due(self) -> timedelta:
        """Log in if that has not happened; return how long the token needs no renewal."""
        ...

    async def renew_token(self) -> None:
        """Extend the token's life, or log in anew when it cannot be extended any more."""
        ...
