"""What an implementation of ML-DSA and ML-KEM must offer, whichever library it comes from.

A provider computes; it decides nothing. Sizes, contexts and the one error that peers may see are
checked by `svc_core.crypto.signing` and `svc_core.crypto.kem`, once for all providers. What a
library cannot do at all it says with `UnsupportedError`, so that the registry can say why.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from svc_core.crypto.algorithms import Algorithm, KemAlgorithm
from svc_core.domain.secrets import SecretBytes


class Operation(StrEnum):
    """What a provider may be chosen for, each by itself."""

    SIGN = "sign"
    VERIFY = "verify"
    ENCAPSULATE = "encapsulate"
    DECAPSULATE = "decapsulate"


class UnsupportedError(Exception):
    """A library lacks something this project needs of it; the text says what, for a person."""


class PrivateKey(Protocol):
    """A parsed signing key; usable from several threads."""

    @property
    def public(self) -> bytes:
        """The raw public key."""
        ...

    def sign(self, message: bytes, context: bytes) -> bytes:
        """Return a signature in pure mode under a ``context`` of 0 to 255 bytes."""
        ...


class PublicKey(Protocol):
    """A parsed verifying key; usable from several threads."""

    def verify(self, signature: bytes, message: bytes, context: bytes) -> None:
        """Return if ``signature`` holds, or raise `VerificationError`, whatever the reason."""
        ...


class DecapsulationKey(Protocol):
    """A parsed ML-KEM private key."""

    @property
    def public(self) -> bytes:
        """The raw public key."""
        ...

    def decapsulate(self, ciphertext: bytes) -> SecretBytes:
        """Return the 32-byte secret in a ciphertext of the right size."""
        ...


class SigningProvider(Protocol):
    """ML-DSA of one library."""

    def private_key(self, algorithm: Algorithm, seed: SecretBytes) -> PrivateKey:
        """Return the key pair that FIPS 204 derives from ``seed`` (32 bytes)."""
        ...

    def public_key(self, algorithm: Algorithm, public: bytes) -> PublicKey:
        """Return a raw public key of the right size, parsed."""
        ...


class KemProvider(Protocol):
    """ML-KEM of one library."""

    def private_key(self, algorithm: KemAlgorithm, seed: SecretBytes) -> DecapsulationKey:
        """Return the key pair that FIPS 203 derives from ``seed`` (64 bytes, d then z)."""
        ...

    def encapsulate(self, algorithm: KemAlgorithm, public: bytes) -> tuple[bytes, SecretBytes]:
        """Return a ciphertext for the holder of ``public`` and the secret inside.

        Raises:
            VerificationError: ``public`` fails the modulus check of FIPS 203.
        """
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """One library under the name settings use."""

    name: str
    version: str
    signing: SigningProvider
    kem: KemProvider
