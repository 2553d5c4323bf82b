"""A versioned key-value store with check-and-set (OpenBao KV v2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Document = Mapping[str, object]
"""JSON-shaped data of one entry."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """One entry as stored; ``version`` counts from 1."""

    data: Document
    version: int


class SecretStore(Protocol):
    """Every method may raise `SecretStoreError` (retry) or `AccessDeniedError`."""

    async def fetch(self, path: str) -> Versioned | None:
        """Return the newest version of ``path``, or None when there is none."""
        ...

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        """Write ``data`` and return its version.

        Args:
            expected_version: 0 to create only, n to replace version n, None to write regardless.

        Raises:
            StaleWriteError: the newest version is another.
        """
        ...

    async def fetch_names(self, path: str) -> tuple[str, ...]:
        """Return the names directly below ``path``; folders end in ``/``; empty when none."""
        ...

    async def remove(self, path: str) -> None:
        """Delete ``path`` with all its versions; no error when it is gone already."""
        ...
