"""ML-DSA (FIPS 204, pure mode, hedged) behind two objects that hold a parsed key.

Parsing costs a third of a signature, so callers keep `Signer` and `Verifier` objects. Both may be
used from several threads. Which library computes is the provider's matter; what is refused, and
how, is decided here for all of them. The randomness of a signature is the library's own.
"""

from enum import Enum
from typing import Final, Self

from svc_core.crypto.algorithms import MAX_CONTEXT_SIZE, SIGNING_SEED_SIZE, Algorithm
from svc_core.crypto.provider_cryptography import CRYPTOGRAPHY
from svc_core.crypto.providers import PrivateKey, PublicKey, SigningProvider
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError

__all__ = ["NO_CONTEXT", "SEED_SIZE", "Algorithm", "NoContext", "Signer", "Verifier"]

SEED_SIZE: Final = SIGNING_SEED_SIZE


class NoContext(Enum):
    """A type of its own for the empty context, so that nobody passes it by accident."""

    NO_CONTEXT = b""


NO_CONTEXT: Final = NoContext.NO_CONTEXT
"""The empty context of FIPS 204: to judge published vectors and to talk to others, never ours."""


class Signer:
    """A private key, parsed once."""

    __slots__ = ("_key", "algorithm", "public")

    def __init__(self, algorithm: Algorithm, key: PrivateKey) -> None:
        self._key = key
        self.algorithm = algorithm
        self.public: bytes = key.public

    @classmethod
    def from_seed(
        cls,
        algorithm: Algorithm,
        seed: SecretBytes,
        *,
        provider: SigningProvider = CRYPTOGRAPHY.signing,
    ) -> Self:
        """Make the key pair that FIPS 204 derives from ``seed``.

        Args:
            algorithm: the parameter set.
            seed: 32 bytes; the only form in which private keys are stored.
            provider: whose implementation signs.

        Raises:
            ValueError: ``seed`` is not 32 bytes.
        """
        if len(seed) != SEED_SIZE:
            raise ValueError(f"the seed of a signing key has {SEED_SIZE} bytes, not {len(seed)}")
        return cls(algorithm, provider.private_key(algorithm, seed))

    def sign(self, message: bytes, *, context: bytes | NoContext) -> bytes:
        """Return the signature over ``message``; every call gives another one.

        Args:
            message: any number of bytes, also none.
            context: what kind of thing is signed, 1 to 255 bytes; or `NO_CONTEXT`.

        Raises:
            ValueError: ``context`` is empty or longer than 255 bytes.
        """
        return self._key.sign(message, _checked(context))


class Verifier:
    """A public key, parsed once."""

    __slots__ = ("_key", "algorithm")

    def __init__(self, algorithm: Algorithm, key: PublicKey) -> None:
        self._key = key
        self.algorithm = algorithm

    @classmethod
    def from_public(
        cls,
        algorithm: Algorithm,
        public: bytes,
        *,
        provider: SigningProvider = CRYPTOGRAPHY.signing,
    ) -> Self:
        """Parse a raw public key; it never comes with the message it is to verify.

        Raises:
            ValueError: ``public`` has not the size of ``algorithm``.
        """
        if len(public) != algorithm.public_size:
            raise ValueError(
                f"a public key of {algorithm} has {algorithm.public_size} bytes, not {len(public)}"
            )
        return cls(algorithm, provider.public_key(algorithm, public))

    def verify(self, signature: bytes, message: bytes, *, context: bytes | NoContext) -> None:
        """Return if ``signature`` covers ``message`` under ``context``.

        Args:
            signature: from a peer, any size.
            message: what it should cover.
            context: as for `Signer.sign`; the verifying side's own, never a peer's.

        Raises:
            VerificationError: it does not, whatever the reason.
            ValueError: ``context`` is empty or longer than 255 bytes.
        """
        own = _checked(context)
        if len(signature) != self.algorithm.signature_size:
            raise VerificationError
        self._key.verify(signature, message, own)


def _checked(context: bytes | NoContext) -> bytes:
    if isinstance(context, NoContext):
        return context.value
    # An empty context would make signatures of different kinds of things interchangeable.
    if not 0 < len(context) <= MAX_CONTEXT_SIZE:
        raise ValueError(
            f"a signature needs a context of 1 to {MAX_CONTEXT_SIZE} bytes, not {len(context)}"
        )
    return context
