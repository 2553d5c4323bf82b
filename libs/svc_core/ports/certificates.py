"""Signing of leaf certificates by a named issuer."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LeafRequest:
    """What to ask an issuer for."""

    mount: str
    """``nats_int`` for clients and servers, ``nats_route`` for the cluster's routes."""
    issuer: str
    role: str
    csr_pem: str
    ttl: timedelta


class CertificateIssuer(Protocol):
    """May raise `SecretStoreError` (retry), `NotFoundError` (issuer gone), `AccessDeniedError`."""

    async def sign_leaf(self, request: LeafRequest) -> str:
        """Return the leaf certificate as PEM (without its chain)."""
        ...
