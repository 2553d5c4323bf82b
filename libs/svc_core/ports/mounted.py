"""Certificates that somebody else puts beside this process, cert-manager for instance."""

from dataclasses import dataclass
from typing import Protocol

from svc_core.domain.secrets import SecretBytes


@dataclass(frozen=True, slots=True)
class MountedPair:
    """One version of a certificate with its key, never parts of two."""

    chain_pem: str
    """Leaf first; the issuer's certificate may follow."""
    key_pem: SecretBytes


class MountedCertificates(Protocol):
    """Where such a certificate is."""

    @property
    def name(self) -> str:
        """Where it comes from, for people."""
        ...

    async def read(self) -> MountedPair | None:
        """Return the current version; None while there is none, or only a part of one."""
        ...
