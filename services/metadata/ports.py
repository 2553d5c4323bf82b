"""Roles only the authority needs: mint, key wrap, proofs, declarations, hints, tokens, the ACL."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from svc_core.domain.identity import ServiceName
from svc_core.domain.subjects import DurableSpec, StreamSpec
from svc_core.domain.tls import TlsMaterial

Term = Callable[[], int | None]
"""Returns the term under which this process holds the lease; None when it may be another's."""


@dataclass(frozen=True, slots=True)
class MintedIssuer:
    """The certificates of one issuer, for connections and for routes."""

    pem: str
    route_pem: str
    not_after: datetime
    """The earlier end of the two."""


class IssuerMint(Protocol):
    """Every method may raise `SecretStoreError` (retry) or `AccessDeniedError`."""

    async def mint(self, name: str, root: str) -> MintedIssuer:
        """Make both issuers called ``name``, signed by ``root``, or find what is made already."""
        ...

    async def silence(self, name: str) -> None:
        """Have both issuers called ``name`` sign nothing any more; no error when they are gone."""
        ...

    async def remove(self, name: str) -> None:
        """Delete issuers and keys called ``name``; no error when they are gone."""
        ...


@dataclass(frozen=True, slots=True)
class MintedRoot:
    """The certificate of one root."""

    pem: str
    key: str
    """Id of its key, by which that is found even when the certificate is gone."""
    fingerprint: str
    """SHA-256 of the certificate's DER, lower-case hex."""
    not_after: datetime


class RootMint(Protocol):
    """Every method may raise `SecretStoreError` (retry) or `AccessDeniedError`."""

    async def fetch(self, name: str) -> MintedRoot:
        """Return the root called ``name``; raise `NotFoundError` when there is none."""
        ...

    async def make(self, name: str) -> MintedRoot:
        """Make a root called ``name``, or find what an earlier attempt made."""
        ...

    async def remove(self, name: str, key: str) -> None:
        """Delete the root called ``name``, then its key; no error when they are gone."""
        ...


class KeyWrap(Protocol):
    """Encryption under a key that never leaves OpenBao."""

    async def wrap(self, plaintext: bytes) -> str:
        """Return the ciphertext as printable text."""
        ...

    async def unwrap(self, wrapped: str) -> bytes:
        """Return the plaintext."""
        ...


class ServerProof(Protocol):
    """A live handshake with every server."""

    async def prove(self, canary: TlsMaterial) -> Sequence[str]:
        """Connect to every server as the canary; return the servers that failed, with reasons."""
        ...


class StreamDeclaration(Protocol):
    """Streams and durables as code."""

    async def declare(
        self, streams: Sequence[StreamSpec], durables: Sequence[DurableSpec], *, replicas: int
    ) -> None:
        """Create or update each; raise `BusError` when JetStream cannot now."""
        ...


class HintSender(Protocol):
    """Live messages that nobody has to acknowledge."""

    async def send(self, subject: str, payload: bytes) -> None:
        """Publish ``payload`` once; raise `BusError` when the broker cannot be reached."""
        ...


class TokenRegistry(Protocol):
    """OpenBao's tokens by their accessors. Every method may raise `SecretStoreError` (retry)."""

    async def fetch_accessors(self, service: ServiceName) -> frozenset[str]:
        """Return the accessor of every token that ``service`` logged in for."""
        ...

    async def revoke(self, accessor: str) -> None:
        """End one token; no error when it is gone already."""
        ...


class AclManifest(Protocol):
    """The ACL manifest where people edit it."""

    @property
    def name(self) -> str:
        """How mistakes call it."""
        ...

    def follow(self) -> AsyncGenerator[bytes | None, None]:
        """Yield its bytes now and whenever they may have changed; None while there is none.

        Iterating may raise `KubernetesError` (retry), `AccessDeniedError` or `ConfigError`.
        """
        ...
